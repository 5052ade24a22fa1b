"""Environments built for real with uv: beside the old one, tried, taken at once; and what two people see of them."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.conftest import Account, wait_until
from tests.running import Notebook, Service
from tests.slowness import SLOWNESS

from hubwright.envs import building

pytestmark = pytest.mark.root
YAML = """\
hub:
  listen: "127.0.0.1:{port}"
auth: {kind: pam, allow: all}
environments:
  science:
    kind: uv
    display: Science
    packages: [six==1.16.0]
  secret:
    kind: existing
    prefix: PREFIX
    allow: {groups: [GROUP]}
"""


@pytest.fixture(scope="module")
def member(module_account: Callable[..., Account]) -> Account:
    return module_account()


@pytest.fixture(scope="module")
def built(service: Callable[..., Service], member: Account) -> Service:
    """A service that has built both at its start; `secret` is for the members of one Unix group."""
    one = service(YAML.replace("GROUP", member.name).replace("PREFIX", sys.prefix))
    return one.up(wait=240)


def env(service: Service, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        service.command("env", *words),
        capture_output=True,
        text=True,
        timeout=170,
        env=service.env(),
        stdin=subprocess.DEVNULL,
    )


def row(service: Service, name: str = "science") -> dict[str, Any]:
    return next(one for one in json.loads(env(service, "list", "--json").stdout) if one["name"] == name)


def rewrite(service: Service, old: str, new: str) -> None:
    path = service.folder / "hub.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def processor() -> float:
    """Return the seconds of a processor that all commands have used which have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def shown(notebook: Notebook) -> dict[str, str]:
    """Return names and what people read; without the R that a machine with Debian's IRkernel has for everybody."""
    specs = notebook.ask("GET", "api/kernelspecs").json()["kernelspecs"]
    return {name: one["spec"]["display_name"] for name, one in specs.items() if name != "ir"}


def test_two_people_see_what_is_theirs_and_run_it(built, member, person):
    hers, his = built.opened(member.name), built.opened(person.name)
    subprocess.run(
        ["/usr/bin/python3", "-m", "venv", "--without-pip", person.home / "mine"],
        user=person.uid,
        group=person.gid,
        extra_groups=[],
        check=True,
    )
    mine = shown(his).pop("own-mine")
    assert mine.startswith("mine (~/mine): broken, it has no ipykernel; install it with ")
    assert {name: text for name, text in shown(his).items() if name != "own-mine"} == {
        "python3": "Python 3 (ipykernel)",
        "science": "Science",
    }
    assert shown(hers) == {"python3": "Python 3 (ipykernel)", "science": "Science", "secret": "secret"}
    refused = his.ask("POST", "api/kernels", {"name": "own-mine"})
    assert refused.status_code == 500
    assert "it has no ipykernel" in refused.json()["message"]
    for notebook in (hers, his):
        kernel = notebook.kernel("science")
        assert kernel.run("import six; print(six.__version__)") == "1.16.0\n"
        assert kernel.run("import os; print(oct(os.umask(0o22)))") == "0o22\n", "also where it has made their folders"
    assert hers.kernel("secret").run("6*7") == "42"
    assert his.ask("POST", "api/kernels", {"name": "secret"}).status_code >= 400
    looked = subprocess.run(
        ["ls", str(built.environments / "secret" / "current" / "kernel")],
        user=person.uid,
        group=person.gid,
        extra_groups=[],
        capture_output=True,
    )
    assert b"Permission denied" in looked.stderr


def test_what_one_installs_is_ones_own(built, member, person):
    hers, his = built.opened(member.name).kernel("science"), built.opened(person.name).kernel("science")
    said = hers.run("%pip install six==1.17.0")
    assert "Successfully installed six-1.17.0" in said, said
    fresh = built.opened(member.name).kernel("science")
    assert fresh.run("import six; print(six.__version__)") == "1.17.0\n"
    assert str(member.home) in fresh.run("import six; print(six.__file__)")
    assert fresh.run("!pip --version").count(str(built.environments))
    assert "Successfully installed toolz-0.12.1" in fresh.run("!pip install toolz==0.12.1")
    assert str(member.home) in built.opened(member.name).kernel("science").run("import toolz; print(toolz.__file__)")
    assert his.run("import six; print(six.__version__)") == "1.16.0\n"
    assert row(built)["state"] == ""


def test_whoever_would_change_the_shared_environment_hears_what_to_do(built, person):
    kernel = built.opened(person.name).kernel("science")
    prefix = (built.environments / "science" / "current" / "prefix").resolve()
    for words in ("install toolz", "-q uninstall -y six"):
        said = kernel.run(f"!{prefix}/bin/pip3 {words}")
        assert said.startswith("The environment science is shared, and nobody changes it in place."), said
        assert "%pip install" in said
        assert "hubwright env add science" in said
    assert "six" in kernel.run(f"!{prefix}/bin/pip list")
    assert f"outside environment {person.home}" in kernel.run("%pip uninstall -y six")
    for words in (f"--prefix {prefix}", f"--target {prefix}/lib"):
        assert f"Permission denied: '{prefix}" in kernel.run(f"%pip install {words} toolz")
    assert "Successfully installed toolz" in kernel.run("%pip install --no-user toolz")
    assert "toolz" not in json.loads(env(built, "show", "science", "--json").stdout)["installed"]
    assert not [*prefix.rglob("toolz*")]


@pytest.fixture(params=["full", "in the way"])
def poor(request: pytest.FixtureRequest, account: Callable[..., Account]) -> Iterator[Account]:
    """Somebody whose home is a disk without a byte left, or has a file where his packages would go."""
    someone = account()
    options = f"size=256k,mode=700,uid={someone.uid},gid={someone.gid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(someone.home)], check=True)
    if request.param == "full":
        free = os.statvfs(someone.home)
        (someone.home / "ballast").write_bytes(bytes(free.f_bavail * free.f_frsize))
    else:
        folder = someone.home / ".local" / "share" / "hubwright"
        folder.parent.mkdir(parents=True)
        folder.write_text("in the way")
    subprocess.run(["chown", "-R", f"{someone.uid}:{someone.gid}", str(someone.home)], check=True)
    yield someone
    subprocess.run(["umount", "-l", str(someone.home)], check=True)


def test_a_home_that_takes_nothing_still_has_its_kernel(built, poor):
    kernel = built.start(poor.name).kernel("science")
    assert kernel.run("import six; print(six.__version__)") == "1.16.0\n"
    said = kernel.run("%pip install toolz")
    assert re.search(rf"No space left on device|Not a directory: '{poor.home}/\.local", said), said
    assert str(built.environments) not in said
    built.stop(poor.name)


def test_a_new_version_is_for_new_kernels_and_the_old_one_comes_back_at_once(built, person):
    notebook = built.opened(person.name)
    running = notebook.kernel("science")
    assert running.run("1+1") == "2"
    rewrite(built, "packages: [six==1.16.0]", "packages: [six==1.15.0]")
    assert row(built)["state"] == "has changed since it was built."
    done = env(built, "build")
    assert done.returncode == 0, done.stderr
    assert running.run("import six; print(six.__version__)") == "1.16.0\n"
    notebook.ask("POST", f"api/kernels/{running.id}/restart")
    again = notebook.kernel("science")
    assert again.run("import six; print(six.__version__)") == "1.15.0\n"
    used, began = processor(), time.monotonic()
    assert env(built, "rollback", "science").returncode == 0
    took = time.monotonic() - began
    assert notebook.kernel("science").run("import six; print(six.__version__)") == "1.16.0\n"
    assert processor() - used < 1.5 * SLOWNESS, "the command with its start; bench/rollback.py measures it undisturbed"
    assert took < 5 * SLOWNESS, "the same, while others want the processors"
    newer, began = row(built)["version"] + 1, time.monotonic()
    for number in (newer, newer - 1):
        assert building.roll_back("science", built.site, number).number == number
        assert (built.environments / "science" / "current").readlink().name == str(number)
    assert time.monotonic() - began < 0.5 * SLOWNESS, "the switch alone, twice"
    rewrite(built, "packages: [six==1.15.0]", "packages: [six==1.16.0]")


def test_a_restart_takes_the_new_version(built, person):
    notebook = built.opened(person.name)
    kernel = notebook.kernel("science")
    before = kernel.run("import sys, os; print(os.environ['HUBWRIGHT_SHARED'])")
    rewrite(built, "packages: [six==1.16.0]", "packages: [six==1.16.0, toolz]")
    assert env(built, "build", "science").returncode == 0
    assert notebook.ask("POST", f"api/kernels/{kernel.id}/restart").status_code == 200
    from tests.running import Kernel

    restarted = Kernel(notebook, kernel.id)
    assert restarted.run("import os; print(os.environ['HUBWRIGHT_SHARED'])") != before
    assert restarted.run("import toolz; print(toolz.__name__)") == "toolz\n"


@pytest.mark.parametrize(
    ("packages", "words"),
    [
        ("[six, no-such-package-of-hubwright]", "no-such-package-of-hubwright"),
        ('[six, "numpy==0.0.1"]', "numpy"),
    ],
)
def test_what_cannot_be_built_changes_nothing_and_says_why(built, packages, words):
    before, text = row(built)["version"], (built.folder / "hub.yaml").read_text()
    listed = next(line for line in text.splitlines() if "packages:" in line).partition(": ")[2]
    rewrite(built, listed, packages)
    done = env(built, "build", "science")
    rewrite(built, packages, listed)
    assert done.returncode == 71
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert row(built)["version"] == before
    assert row(built)["state"] == ""


def test_what_is_built_and_does_not_work_is_not_taken(built):
    before = row(built)["version"]
    rewrite(built, "display: Science", "display: Science\n    imports: [no_such_module]")
    done = env(built, "build", "science")
    rewrite(built, "\n    imports: [no_such_module]", "")
    assert done.returncode == 71
    assert "was built and does not work" in done.stderr
    assert "ModuleNotFoundError" in done.stderr
    assert row(built)["version"] == before


def test_a_build_that_is_killed_leaves_the_old_and_no_litter(built):
    before = row(built)["version"]
    rewrite(built, "display: Science", "display: Scientific")
    building = subprocess.Popen(
        built.command("env", "build", "science"), env=built.env(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    versions = built.environments / "science" / "versions"
    numbers = {path.name for path in versions.iterdir()}
    wait_until(lambda: len({path.name for path in versions.iterdir()} - numbers) == 1, 60)
    refused = env(built, "build", "science")
    assert refused.returncode == 77
    assert "is just being built, by process" in refused.stderr
    building.send_signal(signal.SIGKILL)
    building.wait(20)
    assert row(built)["version"] == before
    wait_until(lambda: env(built, "build", "science").returncode == 0, 120)  # uv, its child, ends by itself
    assert {path.name for path in versions.iterdir()} == {str(one["version"]) for one in _kept(built)}
    rewrite(built, "display: Scientific", "display: Science")


def _kept(service: Service) -> list[dict[str, int]]:
    return list(json.loads(env(service, "show", "science", "--json").stdout)["kept"])


def test_a_full_disk_is_told_and_the_old_version_serves(built, person):
    before = row(built)["version"]
    versions = built.environments / "science" / "versions"
    kept = versions.with_name("kept")
    shutil.copytree(versions, kept, symlinks=True)
    used = subprocess.run(["du", "-sm", str(kept)], capture_output=True, text=True, check=True).stdout
    size = int(used.split()[0]) + 20
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m,mode=755", "tmpfs", str(versions)], check=True)
    try:
        shutil.copytree(kept, versions, symlinks=True, dirs_exist_ok=True)
        (versions / str(before) / "ballast").write_bytes(bytes(os.statvfs(versions).f_bavail * 4096 - 2**20))
        done = env(built, "build", "science")
        assert done.returncode == 71, done.stderr
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert row(built)["version"] == before
        assert built.opened(person.name).kernel("science").run("6*7") == "42"
    finally:
        built.stop(person.name)
        subprocess.run(["umount", "-l", str(versions)], check=True)
        shutil.rmtree(kept)


def test_a_lock_makes_two_builds_equal_and_is_of_one_hub_yaml(built):
    assert env(built, "lock", "science").returncode == 0
    lock = built.folder / "science.lock"
    text = lock.read_text()
    assert "six==" in text
    assert "--hash=sha256:" in text
    try:
        assert row(built)["state"] == "has changed since it was built."
        assert env(built, "build", "science").returncode == 0
        installed = json.loads(env(built, "show", "science", "--json").stdout)["installed"]
        pinned = {line.split("==")[0]: line.split("==")[1].split()[0] for line in text.splitlines() if "==" in line}
        assert {name.lower().replace("_", "-"): version for name, version in installed.items()} == pinned
        rewrite(built, "display: Science", "display: Science!")
        refused = env(built, "build", "science")
        assert refused.returncode == 77
        assert "hubwright env lock science" in refused.stderr
    finally:
        lock.unlink()
        rewrite(built, "display: Science!", "display: Science")


def test_packages_and_environments_come_and_go_by_a_command(built):
    done = env(built, "add", "science", "tomli")
    assert done.returncode == 0, done.stderr
    assert "tomli" in (built.folder / "hub.yaml").read_text()
    assert "tomli" in json.loads(env(built, "show", "science", "--json").stdout)["installed"]
    text = (built.folder / "hub.yaml").read_text()
    wrong = env(built, "add", "science", "no-such-package-of-hubwright")
    assert wrong.returncode == 71
    assert (built.folder / "hub.yaml").read_text() == text
    assert env(built, "remove", "science", "tomli").returncode == 0
    assert "tomli" not in (built.folder / "hub.yaml").read_text()
    assert env(built, "remove", "secret", "--yes").returncode == 0
    assert not (built.environments / "secret").exists()
    assert [one["name"] for one in json.loads(env(built, "list", "--json").stdout)] == ["default", "science"]
