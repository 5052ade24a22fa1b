"""What an environment brings never runs as root or the hub, and what others may change is not shared."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest
from tests import wheels
from tests.environments import built_as, site_of

from hubwright.envs import building, cleaning, offering, python, trying
from hubwright.errors import ConfigError, MachineError

pytestmark = pytest.mark.root


def test_what_an_environment_runs_at_its_start_runs_without_rights(folder):
    _, site = site_of(folder, "hub: {}\n")
    prefix, open_to_all = folder / "venv", folder / "open"
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", str(prefix)], check=True)
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    line = f"import os, sys; open('{open_to_all}/' + str(os.getuid()), 'w').write(str(sys.stdin.isatty()))"
    next(prefix.glob("lib/python3*/site-packages")).joinpath("evil.pth").write_text(line + "\n")
    with trying.account(site), pytest.raises(MachineError, match="has no ipykernel"):
        python.ask(prefix / "bin" / "python", "environments.x")
    account = pwd.getpwnam(built_as(open_to_all))
    assert account.pw_uid != 0
    assert os.getgrouplist(account.pw_name, account.pw_gid) == [account.pw_gid]


def test_an_environment_in_somebodys_home_is_not_shared(folder, account):
    ada = account()
    prefix = ada.home / "venv"
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", str(prefix)], check=True)
    environments, site = site_of(folder, f"environments:\n  lab: {{kind: existing, prefix: {prefix}}}\n")
    told = list(offering.check(environments, site))
    assert [problem.severity for problem in told] == ["error"]
    assert f"{prefix} cannot be shared: " in told[0].what
    with pytest.raises(MachineError, match="cannot be shared"):
        building.build("lab", environments["lab"], site, print)


def test_requirements_that_others_may_change_are_not_built(folder, account):
    listed = account().home / "requirements.txt"
    listed.write_text("six\n")
    environments, site = site_of(folder, f"environments:\n  lab: {{kind: uv, requirements: {listed}}}\n")
    with pytest.raises(ConfigError, match="whoever can change it decides"):
        building.build("lab", environments["lab"], site, print)


def test_a_python_that_others_may_change_is_not_run(folder, account):
    ada = account()
    program, ran = ada.home / "python3", folder / "ran"
    program.write_text(f'#!/bin/sh\ntouch {ran}\nexec /usr/bin/python3 "$@"\n')
    program.chmod(0o755)
    os.chown(program, ada.uid, ada.gid)
    environments, site = site_of(folder, f"environments:\n  lab: {{kind: uv, python: {program}, packages: [six]}}\n")
    told = list(offering.check(environments, site))
    assert [problem.where for problem in told if problem.severity == "error"] == ["hub.yaml environments.lab.python"]
    for command in (building.build, building.write_lock):
        with pytest.raises(ConfigError, match=r"environments\.lab\.python: .* whoever can change it decides"):
            command("lab", environments["lab"], site, print)
    assert not ran.exists()


def test_a_python_that_is_not_there_is_told(folder):
    environments, site = site_of(folder, "environments:\n  lab: {kind: uv, python: /opt/no/python3, packages: [six]}\n")
    (told,) = offering.check(environments, site)
    assert (told.where, told.what) == ("hub.yaml environments.lab.python", "/opt/no/python3 is no program.")


def test_what_comes_only_as_source_is_not_built_unless_that_is_said(folder):
    package = folder / "packages"
    package.mkdir()
    source = folder / "source"
    source.mkdir()
    (source / "setup.py").write_text(
        "from setuptools import setup\nimport os\n"
        f"open('{folder}/ran', 'w').close()\n"
        "setup(name='onlysource', version='1.0', py_modules=['onlysource'])\n"
    )
    (source / "onlysource.py").write_text("")
    subprocess.run(
        ["tar", "-czf", str(package / "onlysource-1.0.tar.gz"), "--transform", "s,^source,onlysource-1.0,", "source"],
        cwd=folder,
        check=True,
    )
    environments, site = site_of(
        folder,
        f"environments:\n  lab: {{kind: uv, packages: [onlysource], index: 'https://pypi.org/simple', find_links: {package}}}\n",
    )
    with pytest.raises(MachineError, match="source"):
        building.build("lab", environments["lab"], site, print)
    assert not (folder / "ran").exists()


BACKEND = """
import os, wheels
from pathlib import Path
open("{seen}/" + str(os.getuid()), "w").close()
def build_wheel(folder, config_settings=None, metadata_directory=None):
    for place in ("{cache}", "{cache}/uv", "{prefixes}"):
        try:
            open(place + "/evil", "w").close()
        except OSError:
            continue
        open("{seen}/wrote", "w").close()
    return wheels.write(Path(folder), "authors", files={{"authors.py": "import os", "evil.pth": "import authors"}}).name
"""


def test_what_is_built_from_its_source_is_not_built_by_root(folder):
    """Neither for a lock. What it needs comes as wheels, which are downloaded once more."""
    seen, place = folder / "seen", folder / "packages"
    for made in (seen, place):
        made.mkdir()
    seen.chmod(0o777)
    named = (
        f"{{kind: uv, packages: [authors], from_source: true, find_links: {place}, index: 'https://pypi.org/simple'}}"
    )
    environments, site = site_of(folder, f"environments:\n  lab: {named}\n")
    known = {"seen": seen, "cache": site.environments / ".cache", "prefixes": site.environments / "lab/versions"}
    wheels.write_source(place, "authors", BACKEND.format(**known))
    building.write_lock("lab", environments["lab"], site, print)
    assert built_as(seen)
    (seen / next(seen.iterdir()).name).unlink()
    version = building.build("lab", environments["lab"], site, print)
    assert built_as(seen)
    assert version.packages["authors"] == "1.0"
    found = [path for path in Path(version.prefix).parent.rglob("*") if path.lstat().st_uid != 0]
    assert found == []
    assert not [*Path(version.prefix).parent.glob(".bench-*")]
    pip = Path(version.prefix) / "bin" / "pip"
    assert subprocess.run([str(pip), "--version"], user="nobody", cwd="/").returncode == 0


def test_what_a_wheel_brings_never_runs_as_root(folder):
    """A line of a `.pth` is run whenever the environment's Python starts, also to compile it.

    Any name will do for an environment, and any Python of the machine.
    """
    seen = folder / "seen"
    seen.mkdir()
    seen.chmod(0o777)
    evil = {"evil.pth": f"import os; open('{seen}/' + str(os.getuid()), 'w').close()\n", "evil.py": ""}
    place = wheels.write(folder / "wheels", "evil", files=evil).parent
    named = f"  python: {{kind: uv, python: /usr/bin/python3, packages: [evil], find_links: {place},"
    environments, site = site_of(folder, f"environments:\n{named} index: 'https://pypi.org/simple'}}\n")
    version = building.build("python", environments["python"], site, print)
    assert built_as(seen)
    packages = next(Path(version.prefix).glob("lib/python3*/site-packages"))
    assert [*packages.glob("__pycache__/evil.*.pyc")]
    assert [*packages.glob("ipykernel/__pycache__/kernelbase.*.pyc")]
    assert (Path(version.prefix) / "bin" / "python").resolve() == Path("/usr/bin/python3").resolve()
    assert [waste.name for waste in cleaning.find(["python"], site, versions=False) if waste.name] == []
    assert [waste.name for waste in cleaning.find([], site, versions=False) if waste.name] == ["python"]


def test_what_builds_share_is_roots_alone(folder):
    _, site = site_of(folder, "hub: {}\n")
    building.make_folders(site)
    assert (site.environments / ".cache").stat().st_mode & 0o777 == 0o700
    assert site.environments.stat().st_mode & 0o777 == 0o755
