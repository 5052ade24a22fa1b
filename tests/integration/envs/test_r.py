"""R with packages of its own, from a repository that is made here; built by an account without rights."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from tests import r_repository
from tests.conftest import wait_until
from tests.environments import Lab, builders
from tests.r_repository import archive

from hubwright.envs import building, offering
from hubwright.errors import ConfigError, MachineError

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
LAB = "  lab: {kind: r, repository: ./cran, packages: [top]}"
NEEDS = {"top": "low (>= 1.0)"}


def publish(lab: Lab, *packages: tuple[str, str, bytes]) -> None:
    r_repository.write(lab.folder / "cran", *packages, needs=NEEDS)


@pytest.fixture(scope="module")
def lab(lab: Lab) -> Lab:
    """One with a repository in which `top` needs `low`."""
    publish(
        lab,
        ("low", "1.0", archive("low", "1.0")),
        ("top", "1.0", archive("top", "1.0", "top_of <- function() low::low_version()\n", Imports=NEEDS["top"])),
    )
    return lab.write(LAB)


def library(lab: Lab) -> Path:
    return Path(lab.current().prefix)


def test_packages_and_what_they_need_are_installed_and_a_kernel_runs(built):
    version = built.current()
    assert version.language.startswith("R ")
    assert (version.packages["top"], version.packages["low"]) == ("1.0", "1.0")
    assert {path.name for path in library(built).iterdir()} == {"low", "top"}
    assert offering.unfinished("lab", built.entry("lab"), built.site) == ""
    spec = json.loads((built.kernel() / "kernel.json").read_text())
    assert (spec["language"], spec["display_name"]) == ("R", "lab")
    assert (built.kernel() / "logo-64x64.png").exists()


def test_what_is_installed_is_roots(built):
    found = [library(built), *library(built).rglob("*")]
    assert len(found) > 10
    assert {path.stat().st_uid for path in found} == {0}
    assert not any(path.stat().st_mode & 0o022 for path in found)
    assert {path.name for path in library(built).parent.iterdir()} == {"library", "kernel", "version.json"}


def test_authors_programs_run_without_rights(changed):
    seen = Path("/var/lib") / f"hwt-seen-{os.getpid()}"
    seen.mkdir()
    seen.chmod(0o777)
    more = {"configure": f"#!/bin/sh\ntouch {seen}/$(id -u)\ncat /etc/shadow >{seen}/shadow 2>/dev/null || :\n"}
    code = f"evil_one <- 1\nwriteLines('x', file.path('{seen}', Sys.info()[['user']]))\n"
    publish(changed, ("evil", "1.0", archive("evil", "1.0", code, more)))
    try:
        changed.write(LAB.replace("top", "evil")).build()
        found = {path.name for path in seen.iterdir()}
        assert found in [{str(uid), name, "shadow"} for uid, name in builders().items()]
        assert (seen / "shadow").read_text() == ""
    finally:
        shutil.rmtree(seen)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("packages: [no.such.package]", "the repository has no package no.such.package"),
        ("packages: [top, low==0.9]", "low == 0.9 is asked for, and the repository has 1.0"),
        ("packages: [broken]", "configuration failed for package ‘broken’"),
        ("packages: [lame]", "object 'nowhere' not found"),
        ("packages: [top], imports: [nothing]", "there is no package called ‘nothing’"),
    ],
)
def test_what_cannot_be_built_says_why_and_the_old_version_serves(changed, entry, words):
    before = library(changed)
    publish(
        changed,
        ("broken", "1.0", archive("broken", "1.0", more={"configure": "#!/bin/sh\necho no compiler here; exit 1\n"})),
        ("lame", "1.0", archive("lame", "1.0", "lame_one <- nowhere + 1\n")),
    )
    with pytest.raises(MachineError) as told:
        changed.write(f"  lab: {{kind: r, repository: ./cran, {entry}}}").build()
    assert words in str(told.value)
    assert library(changed) == before
    versions = before.parent.parent
    assert {path.name for path in versions.iterdir()} == {str(one.number) for one in changed.versions().all()}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("program: /usr/bin/no-such-r", "/usr/bin/no-such-r is no program"),
        ("repository: ./nowhere", "nowhere is no folder"),
    ],
)
def test_what_is_not_there_is_told_before_a_build(changed, entry, words):
    changed.write(f"  lab: {{kind: r, packages: [top], {entry}}}")
    assert words in str(*offering.check({"lab": changed.entry("lab")}, changed.site))
    told = rf"^environments\.lab\.{entry.partition(':')[0]}: .*{words}"
    with pytest.raises(ConfigError, match=told):
        changed.build()
    with pytest.raises(ConfigError, match=told):
        building.write_lock("lab", changed.entry("lab"), changed.site, lambda step: None)


def test_an_archive_that_is_not_what_the_index_says_is_refused(changed):
    publish(changed, ("whole", "1.0", archive("whole", "1.0")))
    path = changed.folder / "cran/src/contrib/whole_1.0.tar.gz"
    path.write_bytes(path.read_bytes() + b"more")
    changed.write(LAB.replace("top", "whole"))
    with pytest.raises(MachineError, match="it is damaged"):
        changed.build()
    path.unlink()


def test_a_lock_gives_the_same_versions_again_from_the_archive(changed):
    path = building.write_lock("lab", changed.entry("lab"), changed.site, lambda step: None)
    try:
        told = json.loads(path.read_text().partition("\n")[2])
        assert {name: one["Version"] for name, one in told["Packages"].items()} == {"low": "1.0", "top": "1.0"}
        publish(changed, ("low", "1.1", archive("low", "1.1")))
        version = changed.build()
        assert version.packages["low"] == "1.0"
        path.write_text(path.read_text().replace(told["Packages"]["low"]["Sha256"], "0" * 64))
        with pytest.raises(MachineError, match=r"low_1.0.tar.gz is another than when it was locked"):
            changed.build()
        path.write_text(path.read_text().replace(told["R"]["Version"], "3.6.3"))
        with pytest.raises(Exception, match=r"the lock was made with R 3.6.3, and this is R "):
            changed.build()
    finally:
        path.unlink()
    assert changed.build().packages["low"] == "1.1"


@pytest.mark.parametrize("left", [64, 2000], ids=["at its start", "before it is loaded"])
def test_a_full_disk_is_told_and_the_old_version_serves(changed, left):
    """R's own words for it would be that a file is not there, or that loading failed."""
    functions = "".join(f"f{number} <- function() '{os.urandom(400).hex()}'\n" for number in range(800))
    publish(changed, ("large", "1.0", archive("large", "1.0", functions)))
    before = changed.current()
    versions = changed.site.environments / "lab" / "versions"
    kept = versions.with_name("kept")
    shutil.copytree(versions, kept, symlinks=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "tmpfs", str(versions)], check=True)
    try:
        shutil.copytree(kept / str(before.number), versions / str(before.number), symlinks=True)
        free = os.statvfs(versions)
        ballast = versions / str(before.number) / "ballast"
        ballast.write_bytes(bytes(free.f_bavail * free.f_frsize - left * 1024))
        done = changed.write(LAB.replace("top", "large")).env("build", "lab")
        assert done.returncode == 71, done.stderr
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert changed.current() == before
        assert [*library(changed).glob("*/DESCRIPTION")]
        assert [path.name for path in versions.iterdir()] == [str(before.number)]
    finally:
        subprocess.run(["umount", "-l", str(versions)], check=True)
        shutil.rmtree(kept)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_build_that_is_broken_off_ends_what_it_runs(changed, number):
    before = library(changed)
    versions = before.parent.parent
    mark = str(3_000_000 + os.getpid())
    more = {"configure": f"#!/bin/sh\nexec sleep {mark}\n"}
    publish(changed, ("slow", "1.0", archive("slow", "1.0", more=more)))
    doing = subprocess.Popen(
        changed.write(LAB.replace("top", "slow")).command("build", "lab"),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # also where the tests run in the background
    )
    try:
        wait_until(lambda: sleeps(mark), 60)
    finally:
        doing.send_signal(number)
        doing.wait(20)
    wait_until(lambda: not sleeps(mark), 20)
    assert library(changed) == before
    changed.write(LAB).build()
    assert {path.name for path in versions.iterdir()} == {str(one.number) for one in changed.versions().all()}


def sleeps(mark: str) -> bool:
    """Whether a process is there that sleeps for so many seconds."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if path.read_bytes().split(b"\0")[:2] == [b"sleep", mark.encode()]:
                return True
    return False
