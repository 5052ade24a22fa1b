"""`kind: existing`: an environment that is there already is found, checked, and not touched."""

from __future__ import annotations

import json
import os
import shutil
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conftest import Account
from tests.running import PREFIX, Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
YAML = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
environments:
  chemistry: {kind: existing, prefix: PREFIX}
"""
Seen = dict[str, tuple[int, int, int, int, int, str]]


def seen(prefix: Path) -> Seen:
    """Return all that is in a folder, itself with it: type and mode, owner, size, and when it was written."""
    found: Seen = {}
    for path in (prefix, *sorted(prefix.rglob("*"))):
        at = path.lstat()
        target = os.readlink(path) if path.is_symlink() else ""
        found[str(path)] = (at.st_mode, at.st_uid, at.st_gid, at.st_size, at.st_mtime_ns, target)
    return found


@pytest.fixture(scope="module")
def prefix(module_account: object) -> Iterator[Path]:
    """A virtual environment of root's with a package of its own, without bytecode; it borrows ipykernel."""
    made = Path("/opt") / f"hwt-{os.getpid()}-chemistry"
    venv.create(made, symlinks=True)
    packages = next(made.glob("lib/python3*/site-packages"))
    beside = next(PREFIX.glob("lib/python3*/site-packages"))
    (packages / "beside.pth").write_text(f"{beside}\n")
    (packages / "hwt_molecules").mkdir()
    (packages / "hwt_molecules/__init__.py").write_text("COUNT = 3\n")
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def before(prefix: Path) -> Seen:
    """What was there before anything looked at it."""
    return seen(prefix)


@pytest.fixture(scope="module")
def built(service: Callable[..., Service], prefix: Path, before: Seen) -> Service:
    return service(YAML.replace("PREFIX", str(prefix))).up(wait=120)


def test_a_build_leaves_all_of_it_as_it_was(built: Service, prefix: Path, before: Seen) -> None:
    """The one at the start, and another."""
    assert f"{prefix}/lib/python3.{sys.version_info[1]}/site-packages/hwt_molecules/__init__.py" in before
    assert seen(prefix) == before
    built.cli("env", "build", "chemistry")
    assert seen(prefix) == before


def test_kernels_and_what_is_installed_in_them_leave_all_of_it_as_it_was(
    built: Service, person: Account, prefix: Path, before: Seen
) -> None:
    kernel = built.opened(person.name).kernel("chemistry")
    assert kernel.run("import hwt_molecules as m; print(m.COUNT, m.__file__)").startswith(f"3 {prefix}/lib/")
    assert "Permission denied" in kernel.run(f"open('{prefix}/mine', 'w')")
    kernel.run("%pip --version")
    assert seen(prefix) == before


def test_commands_that_look_leave_all_of_it_as_it_was(built: Service, prefix: Path, before: Seen) -> None:
    told = json.loads(built.cli("env", "list", "--json").stdout)
    assert [one["state"] for one in told if one["name"] == "chemistry"] == [""]
    assert str(prefix) in built.cli("env", "show", "chemistry").stdout
    refused = built.cli("env", "lock", "chemistry", check=False)
    assert refused.returncode == 77
    assert "nothing to lock" in refused.stderr
    built.cli("env", "rollback", "chemistry")
    built.cli("env", "clean", "--versions", "--yes")
    assert seen(prefix) == before


def test_a_prefix_that_is_not_there_is_told_with_what_to_name(built: Service, prefix: Path) -> None:
    path = built.folder / "hub.yaml"
    text = path.read_text()
    path.write_text(text.replace(str(prefix), f"{prefix}-gone"))
    told = [built.cli(*words, check=False) for words in (("env", "build", "chemistry"), ("check",))]
    path.write_text(text)
    for done in told:
        assert done.returncode != 0
        assert "environments.chemistry.prefix" in done.stderr + done.stdout
        assert f"{prefix}-gone/bin/python does not exist." in done.stderr + done.stdout
        assert "Name the folder whose bin has a python." in done.stderr + done.stdout
        assert "Traceback" not in done.stderr


def test_removing_it_from_hub_yaml_leaves_all_of_it_as_it_was(built: Service, prefix: Path, before: Seen) -> None:
    built.cli("env", "remove", "chemistry", "--yes")
    assert "chemistry" not in (built.folder / "hub.yaml").read_text()
    assert not (built.environments / "chemistry").exists()
    assert seen(prefix) == before
