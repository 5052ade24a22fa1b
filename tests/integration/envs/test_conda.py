"""Environments of conda packages: solved and linked from a channel that is made here, with a Python that runs."""

from __future__ import annotations

import http.server
import json
import shutil
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests import conda_channel, conda_r, wheels
from tests.conda_channel import Package, module
from tests.conftest import wait_until
from tests.environments import Lab, built_as

from hubwright.cli.showing import size
from hubwright.envs import building, cache, offering
from hubwright.errors import ConfigError, MachineError, Refused

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
LAB = "  lab: {kind: conda, channels: [./channel], packages: [beta]}"


@pytest.fixture(scope="module")
def lab(lab: Lab) -> Lab:
    """One with a channel of a Python, ipykernel, and small packages; `beta` is for the older of two `alpha`.

    That one holds what is left of a package that has no name any more, as it comes.
    """
    older = module("alpha", "1.0")
    older = replace(older, files={**older.files, "site-packages/nameless-1.0.dist-info/METADATA": ""})
    conda_channel.base(lab.folder / "channel")
    conda_channel.write(
        lab.folder / "channel",
        older,
        module("alpha", "2.0"),
        module("beta", depends=["python", "alpha <2"]),
    )
    return lab.write(LAB)


def prefix(lab: Lab) -> Path:
    return Path(lab.current().prefix)


def du(folder: Path) -> int:
    """Return bytes on the disk, as du counts them."""
    said = subprocess.run(["du", "-sxB1", str(folder)], capture_output=True, text=True, check=True).stdout
    return int(said.split()[0])


def say(lab: Lab, code: str) -> str:
    """Run a line in the environment's own Python, as an account without rights."""
    command = [str(prefix(lab) / "bin" / "python"), "-c", code]
    return subprocess.run(command, user="nobody", capture_output=True, text=True, check=True, cwd="/").stdout


def test_packages_that_fit_together_are_linked_and_a_kernel_runs(built):
    version = built.current()
    assert version.packages["alpha"] == "1.0", "the newer one is not for beta"
    assert {"python", "ipykernel", "pip"} < {*version.packages}
    assert say(built, "import beta, alpha; print(alpha.__version__)") == "1.0\n"
    assert offering.unfinished("lab", built.entry("lab"), built.site) == ""
    row = json.loads(built.env("list", "--json").stdout)[1]
    assert row["kind"] == "conda"
    assert row["bytes"] > 20 * 2**20


def test_what_is_linked_is_roots_readable_compiled_and_shared_with_the_cache(built):
    for path in (prefix(built), *prefix(built).rglob("*")):
        found = path.lstat()
        assert found.st_uid == 0, path
        assert path.is_symlink() or (found.st_mode & stat.S_IWOTH == 0 and found.st_mode & stat.S_IROTH), path
    packages = prefix(built) / f"lib/python{conda_channel.MINOR}/site-packages"
    assert [*packages.glob("__pycache__/beta.*.pyc")]
    assert [*packages.glob("ipykernel/__pycache__/kernelbase.*.pyc")]
    kept = next(cache.folder(built.site).glob("conda/packages/alpha-1.0-0/site-packages/alpha.py"))
    assert kept.samefile(packages / "alpha.py")
    assert say(built, "import beta; print(beta.__cached__)").endswith(".pyc\n")


def test_what_packages_bring_never_runs_as_root(changed, seen):
    write = f"import os; open('{seen}/' + str(os.getuid()), 'w').close()\n"
    evil = module("evil", text=write, depends=["python"])
    files = {
        **evil.files,
        "site-packages/evil.pth": write,
        "etc/conda/activate.d/evil.sh": f"touch {seen}/$(id -u)\nexport EVIL_DATA=$CONDA_PREFIX/share\n",
        "bin/.evil-post-link.sh": f"touch {seen}/post-link\n",
    }
    conda_channel.write(changed.folder / "channel", Package("evil", depends=["python"], files=files, noarch="python"))
    changed.write(LAB.replace("beta", "evil")).build()
    assert built_as(seen)
    launch = (changed.kernel() / "launch").read_text()
    assert f"export EVIL_DATA={prefix(changed)}/share\n" in launch
    assert f"export CONDA_PREFIX={prefix(changed)}\n" in launch


def test_an_environment_file_is_understood(changed):
    (changed.folder / "environment.yml").write_text(
        "name: course\nchannels: [./channel]\ndependencies: [alpha=2]\nvariables: {COURSE_DATA: /srv/a b}\n"
    )
    changed.write("  lab: {kind: conda, file: environment.yml, imports: [alpha]}")
    assert changed.build().packages["alpha"] == "2.0"
    assert "export COURSE_DATA='/srv/a b'\n" in (changed.kernel() / "launch").read_text()
    (changed.folder / "environment.yml").write_text("channels: [./channel]\ndependencies: [alpha=1]\n")
    assert offering.unfinished("lab", changed.entry("lab"), changed.site) == "has changed since it was built."


PIP = """\
channels: [./channel]
dependencies:
  - alpha
  - theta
  - pip: [--no-index, -f wheels, -r more.txt, omega]
"""
BACKEND = """\
import os, wheels
from pathlib import Path
open("{seen}/" + str(os.getuid()), "w").close()
def build_wheel(folder, config_settings=None, metadata_directory=None):
    return wheels.write(Path(folder), "sigma").name
"""


@pytest.fixture
def seen(lab: Lab) -> Iterator[Path]:
    """A folder in which everybody may leave a mark."""
    made = lab.folder / "seen"
    made.mkdir()
    made.chmod(0o777)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def with_pip(changed: Lab, seen: Path) -> Lab:
    """One whose environment file has packages of pip: wheels, one that comes as source, and one that conda has."""
    theta = module("theta")
    told = {"site-packages/theta-1.0.dist-info/direct_url.json": '{"url": "file:///feedstock", "dir_info": {}}'}
    conda_channel.write(changed.folder / "channel", replace(theta, files={**theta.files, **told}))
    place = changed.folder / "wheels"
    main = "__version__ = '1.0'\ndef main():\n    print('omega runs')\n"
    wheels.write(place, "omega", files={"omega.py": main}, needs=["alpha", "theta", "psi"], scripts="omega")
    marks = {"psi.py": "", "psi.pth": f"import os; open('{seen}/' + str(os.getuid()), 'w').close()\n"}
    wheels.write(place, "psi", files=marks)
    wheels.write_source(place, "sigma", BACKEND.format(seen=seen))
    (changed.folder / "more.txt").write_text("sigma  # from its source\n")
    (changed.folder / "environment.yml").write_text(PIP)
    return changed.write("  lab: {kind: conda, file: environment.yml, imports: [omega, sigma]}")


def test_pips_packages_come_on_top_and_never_run_as_root(with_pip, seen):
    steps: list[str] = []
    version = building.build("lab", with_pip.entry("lab"), with_pip.site, steps.append)
    for word in ("Looking for packages", "Linking alpha (", "Resolved 3 packages", "Trying its kernel"):
        assert any(step.startswith(word) for step in steps), steps
    assert {name: version.packages[name] for name in ("alpha", "theta", "omega", "psi", "sigma")} == {
        "alpha": "2.0",
        "theta": "1.0",
        "omega": "1.0",
        "psi": "1.0",
        "sigma": "1.0",
    }
    assert built_as(seen)
    assert subprocess.run([prefix(with_pip) / "bin/omega"], capture_output=True, text=True).stdout == "omega runs\n"
    packages = prefix(with_pip) / f"lib/python{conda_channel.MINOR}/site-packages"
    assert {(packages / name).stat().st_uid for name in ("omega.py", "sigma.py", "psi.pth")} == {0}
    assert [*packages.glob("__pycache__/omega.*.pyc")]
    assert not (prefix(with_pip) / ".lock").exists()
    (with_pip.folder / "more.txt").write_text("")
    assert offering.unfinished("lab", with_pip.entry("lab"), with_pip.site) == "has changed since it was built."


def test_what_of_pip_does_not_fit_condas_is_refused_and_what_is_not_there_told(with_pip):
    before = prefix(with_pip)
    for word, told in (("alpha<2", "alpha"), ("no-such-package", "no-such-package was not found")):
        (with_pip.folder / "environment.yml").write_text(PIP.replace("omega", f"'{word}'"))
        with pytest.raises(MachineError, match=told):
            with_pip.build()
    (with_pip.folder / "more.txt").unlink()
    with pytest.raises(ConfigError, match=r"more.txt cannot be read: No such file"):
        with_pip.build()
    assert prefix(with_pip) == before


def test_both_are_locked_together(with_pip):
    path = building.write_lock("lab", with_pip.entry("lab"), with_pip.site, lambda step: None)
    try:
        text = path.read_text()
        assert "# pip: omega==1.0 --hash=sha256:" in text
        assert "conda: $HUB/channel/noarch/theta-1.0-0.tar.bz2\n" in text
        assert "# pip: theta" not in text
        wheels.write(with_pip.folder / "wheels", "omega", "1.1", {"omega.py": "__version__ = '1.1'\n"})
        assert with_pip.build().packages["omega"] == "1.0"
        wheels.write(with_pip.folder / "wheels", "omega", "1.0", {"omega.py": "__version__ = 'another'\n"})
        with pytest.raises(MachineError, match=r"Hash mismatch for `omega==1\.0`"):
            with_pip.build()
    finally:
        path.unlink()


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("channels: [./channel], packages: [no-such-package]", "No candidates were found for no-such-package"),
        ("channels: [./channel], packages: [beta, 'alpha>=2']", "beta 1.0 would require alpha <2"),
        ("channels: [./nowhere], packages: [beta]", "nowhere is no folder"),
        ("channels: [./empty], packages: [beta]", "could not find subdir"),
        ("channels: [./broken], packages: [beta]", "failed to parse repodata.json"),
        ("channels: ['http://me:secret@127.0.0.1:9/x'], packages: [beta]", "Connection refused"),
        ("channels: [./channel], packages: [beta], imports: [no_such_module]", "ModuleNotFoundError"),
    ],
)
def test_what_cannot_be_built_says_why_and_the_old_version_serves(changed, entry, words):
    before = prefix(changed)
    (changed.folder / "empty").mkdir(exist_ok=True)
    for subdir in ("noarch", conda_channel.here()):
        (changed.folder / "broken" / subdir).mkdir(exist_ok=True, parents=True)
        (changed.folder / "broken" / subdir / "repodata.json").write_text("{")
    with pytest.raises((MachineError, ConfigError)) as told:
        changed.write(f"  lab: {{kind: conda, {entry}}}").build()
    assert words in str(told.value)
    assert "secret" not in str(told.value)
    assert prefix(changed) == before
    assert {path.name for path in (before.parent.parent).iterdir()} == {
        str(one.number) for one in changed.versions().all()
    }


def test_an_archive_that_is_not_what_the_index_says_is_refused(changed):
    channel = changed.folder / "damaged"
    conda_channel.write(channel, module("delta"))
    archive = channel / "noarch" / "delta-1.0-0.tar.bz2"
    archive.write_bytes(archive.read_bytes() + b"more")
    changed.write(LAB.replace("./channel", "./channel, ./damaged").replace("beta", "delta"))
    with pytest.raises(MachineError, match=r"delta-1.0-0.tar.bz2 is not what its channel's index says"):
        changed.build()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *words):
            super().__init__(*words, directory=str(channel))

        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        far = f"./channel, 'http://127.0.0.1:{server.server_port}/'"
        changed.write(LAB.replace("./channel", far).replace("beta", "delta"))
        with pytest.raises(MachineError, match="hash mismatch"):
            changed.build()
        server.shutdown()


def test_a_channel_that_others_may_change_is_not_taken(changed, account):
    theirs = account().home / "channel"
    shutil.copytree(changed.folder / "channel", theirs)
    changed.write(LAB.replace("./channel", str(theirs)))
    with pytest.raises(ConfigError, match="whoever can change it decides"):
        changed.build()


def test_a_lock_gives_the_same_again_and_on_another_machine(changed):
    changed.write(LAB.replace("beta", "gamma"))
    conda_channel.write(changed.folder / "channel", module("gamma", "1.0"))
    path = building.write_lock("lab", changed.entry("lab"), changed.site, lambda step: None)
    try:
        text = path.read_text()
        assert "conda: $HUB/channel/noarch/gamma-1.0-0.tar.bz2\n" in text
        assert "  sha256: " in text
        assert str(changed.folder) not in text
        conda_channel.write(changed.folder / "channel", module("gamma", "1.1"))
        assert changed.build().packages["gamma"] == "1.0"
        path.write_text(text.replace(conda_channel.here(), "osx-arm64"))
        with pytest.raises(MachineError, match=f"the lock is for osx-arm64, and this one is {conda_channel.here()}"):
            changed.build()
        path.write_text(text)
        changed.write(LAB)
        with pytest.raises(Refused, match="was made of other packages"):
            changed.build()
    finally:
        path.unlink()


def test_a_build_that_is_killed_ends_its_worker_and_leaves_no_litter(changed):
    before = prefix(changed)
    versions = before.parent.parent
    numbers = {path.name for path in versions.iterdir()}
    changed.write(LAB.replace("beta", "beta, gamma"))
    doing = subprocess.Popen(changed.command("build", "lab"), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_until(lambda: len({path.name for path in versions.iterdir()} - numbers) == 1, 60)
    with pytest.raises(Refused, match="is just being built, by process"):
        changed.build()
    with pytest.raises(Refused, match="An environment is just being built"), cache.alone(changed.site):
        raise AssertionError("the cache was emptied under a build")
    children = Path(f"/proc/{doing.pid}/task/{doing.pid}/children").read_text().split()
    doing.send_signal(signal.SIGKILL)
    doing.wait(20)
    wait_until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in children), 20)
    assert prefix(changed) == before
    changed.build()
    assert {path.name for path in versions.iterdir()} == {str(one.number) for one in changed.versions().all()}


def test_a_full_disk_is_told_and_leaves_what_was(changed):
    versions = changed.site.environments / "full" / "versions"
    versions.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "tmpfs", str(versions)], check=True)
    try:
        changed.write(LAB + "\n" + LAB.replace("lab:", "full:"))
        with pytest.raises(MachineError, match="No space left on device"):
            changed.build("full")
        assert [*versions.iterdir()] == []
    finally:
        subprocess.run(["umount", "-l", str(versions)], check=True)


def test_several_are_built_at_once_and_what_nobody_needs_is_cleaned(changed):
    others = LAB.replace("lab:", "first:") + "\n" + LAB.replace("lab:", "second:").replace("beta", "nothing-such")
    done = changed.write(LAB + "\n" + others + "\n" + LAB.replace("lab:", "third:")).env("build")
    assert done.returncode == 71
    assert "No candidates were found for nothing-such" in done.stderr
    assert "Traceback" not in done.stderr
    assert {name for name in ("first", "second", "third") if changed.versions(name).current()} == {"first", "third"}
    while len(changed.versions().all()) < 2:  # when this test runs alone
        changed.build()
    old = [str(one.number) for one in changed.versions().all()[:-1]]
    changed.write(LAB + "\n" + LAB.replace("lab:", "first:"))
    before = du(changed.site.environments)
    rows = {one["name"]: one["bytes"] for one in json.loads(changed.env("list", "--json").stdout)}
    assert rows["first"] == du(changed.site.environments / "first")
    shown = json.loads(changed.env("show", "lab", "--json").stdout)
    assert shown["bytes"] == rows["lab"]
    for one in shown["kept"]:
        assert one["bytes"] == du(changed.site.environments / "lab/versions" / str(one["version"]))
    text = changed.env("show", "lab").stdout
    assert f", {size(shown['kept'][-1]['bytes'])} current\n" in text
    assert f"counted once: {size(shown['bytes'])}." in text
    done = changed.env("clean", "--versions", "--yes")
    assert done.returncode == 0, done.stderr
    freed = before - du(changed.site.environments)
    assert f"{size(freed)} are free again." in done.stderr, "what is linked to the cache, too, counts once"
    for line in (
        "what builds have downloaded",
        f"lab, version {', '.join(old)}",
        "third, which hub.yaml does not name",
    ):
        assert line in done.stderr
    assert changed.versions().all() == [changed.current()]
    assert [one.number for one in changed.versions("first").all()] == [1]
    assert not (changed.site.environments / "third").exists()
    assert not (cache.folder(changed.site) / "conda").exists()
    assert say(changed, "import ipykernel; print(1)") == "1\n", "what is linked does not need the cache"
    with pytest.raises(Refused, match="no version before this one"):
        building.roll_back("lab", changed.site)
    assert "There is nothing that nobody needs." in changed.env("clean").stderr


def test_packages_come_and_go_by_a_command(changed):
    done = changed.env("add", "lab", "alpha<2")
    assert done.returncode == 0, done.stderr
    assert "alpha<2" in (changed.folder / "hub.yaml").read_text()
    done = changed.env("add", "lab", "x", "--python", "3.12")
    assert done.returncode == 77
    assert 'Name it among the packages: "python=3.12".' in done.stderr


def test_an_r_of_conda_runs_its_kernel(changed):
    conda_channel.write(changed.folder / "channel", *conda_r.packages())
    changed.write("  lab: {kind: conda, channels: [./channel], kernel: r, packages: [r-stats]}")
    version = changed.build()
    assert version.language.startswith("R ")
    assert {*version.packages} == {"r-base", "r-irkernel", "r-stats"}
    assert json.loads((changed.kernel() / "kernel.json").read_text())["language"] == "R"
    assert f"exec {prefix(changed)}/bin/R " in (changed.kernel() / "launch").read_text()
