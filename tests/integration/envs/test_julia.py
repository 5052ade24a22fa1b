"""Julia environments built for real: an account without rights makes them, everybody reads them, nobody changes them."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import julia_here
from tests.conftest import Account, wait_until
from tests.environments import Lab, builders, built_as

from hubwright.envs import offering
from hubwright.envs.versions import Version
from hubwright.errors import ConfigError, MachineError

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
LAB = """\
  lab:
    kind: julia
    julia: {julia}
    version: "1.5"
    packages: [Words, ./Greeting]
    registries: [./registry/Registry]
    pkg_server: ""
"""
IMAGE = """\
  image:
    kind: julia
    julia: {julia}
    packages: [Extra, ./Greeting]
    registries: [./registry/Registry]
    pkg_server: ""
    sysimage: [Greeting]
    warm_up: ./warm_up.jl
"""
LOADED = 'using Greeting; println(greet("you"))'
IN_IMAGE = """
greeting = only(found for (key, found) in Base.loaded_modules if key.name == "Greeting")
println(greeting.greet("you"))
"""
"""Loads nothing: the package is there when Julia starts."""


@pytest.fixture(scope="module")
def lab(lab: Lab) -> Lab:
    """One with a registry of small packages, and a folder with one that needs another."""
    julia_here.registry(lab.folder / "registry", "IJulia", "Words", "Extra")
    shutil.copytree(julia_here.PACKAGES / "Greeting", lab.folder / "Greeting")
    (lab.folder / "odd" / "Project.toml").mkdir(parents=True)
    (lab.folder / "warm_up.jl").write_text("import Greeting\nGreeting.think()\n")
    return lab.write((LAB + IMAGE).format(julia=julia_here.julia() / "usr"))


@pytest.fixture(scope="module", autouse=True)
def imaging(lab: Lab) -> Iterator[subprocess.Popen[str]]:
    """The build of an image, which takes minutes: it is begun first of all, and the last test waits for it."""
    command = lab.command("build", "image")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as building:
        manifest = lab.site.environments / "image/versions/1/depot/environments/hubwright/Manifest.toml"
        wait_until(
            lambda: building.poll() is not None or "IJulia" in (manifest.read_text() if manifest.exists() else ""), 60
        )
        yield building
        if building.poll() is None:
            building.kill()


@pytest.fixture(scope="module")
def built(lab: Lab, imaging: object) -> Lab:
    lab.build()
    return lab


@pytest.fixture
def changed(built: Lab) -> Iterator[Lab]:
    """One whose hub.yaml and folder may be changed."""
    before = (built.folder / "hub.yaml").read_text(), built.yaml
    yield built
    (built.folder / "hub.yaml").write_text(before[0])
    built.yaml = before[1]
    shutil.rmtree(built.folder / "Greeting")
    shutil.copytree(julia_here.PACKAGES / "Greeting", built.folder / "Greeting")


def place(lab: Lab, name: str = "lab") -> Path:
    current = lab.versions(name).current()
    assert current
    return Path(current.prefix)


def run(lab: Lab, who: Account, code: str, *, name: str = "lab", fails: bool = False) -> str:
    """Run a program in the environment's Julia as an account; return what it prints, or the error that it ends with."""
    done = subprocess.run(
        [str(place(lab, name) / "bin" / "julia"), "-e", code],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=who.home,
        env={"HOME": str(who.home), "PATH": os.defpath, "LANG": "C.UTF-8"},
        user=who.uid,
        group=who.gid,
        extra_groups=[],
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stderr if fails else done.stdout


def swap(lab: Lab, old: str, new: str) -> None:
    assert old in lab.yaml
    lab.write(lab.yaml.removeprefix("environments:\n").replace(old, new))


def test_what_is_built_is_roots_and_everybody_reads_it(built):
    version = built.versions().current()
    assert version
    assert (version.language, dict(version.packages)) == (
        "1.5.3",
        {"Words": "1.2.0", "Greeting": "0.3.0", "IJulia": "0.0.1"},
    )
    found = [(path, path.lstat()) for path in place(built).rglob("*")]
    assert len([path for path, _ in found if path.suffix == ".ji"]) == 3
    wrong = [path for path, told in found if told.st_uid or told.st_mode & 0o022 or not told.st_mode & stat.S_IROTH]
    assert wrong == []


def test_two_people_load_what_is_shared_and_nothing_is_compiled_again(built, ada, bob):
    for who in (ada, bob):
        assert run(built, who, LOADED) == "hello, you\n"
        assert not (who.home / ".julia").exists()


def test_what_one_adds_comes_on_top_and_is_ones_own(built, ada, bob):
    own = ada.home / ".julia/environments/v1.5"
    run(built, ada, 'import Pkg; Pkg.generate("Mine"); Pkg.develop(Pkg.PackageSpec(path="Mine")); Pkg.add("Extra")')
    assert run(built, ada, "using Mine, Extra, Greeting; println(Extra.more())") == "hello!\n"
    assert sorted(path.name for path in (ada.home / ".julia/packages").iterdir()) == ["Extra"], "Words is shared"
    assert "Package Extra not found" in run(built, bob, "using Extra", fails=True)
    text = (own / "Project.toml").read_text()
    assert "Greeting" not in text
    assert run(built, ada, LOADED) == "hello, you\n"
    assert (own / "Project.toml").read_text() == text


def test_nobody_can_change_what_is_shared(built, bob):
    said = run(built, bob, 'import Greeting; write(joinpath(dirname(pathof(Greeting)), "x"), "x")', fails=True)
    assert "permission denied" in said.lower()
    run(built, bob, 'import Pkg; Pkg.activate(LOAD_PATH[end - 1]); Pkg.rm("Words")', fails=True)
    assert run(built, bob, LOADED) == "hello, you\n"


def test_one_command_adds_a_later_package_or_says_why_not(changed, ada, bob):
    own = bob.home / ".julia/environments/v1.5/Project.toml"
    own.parent.mkdir(parents=True)
    own.write_text("# mine\n[deps]\n")
    done = changed.env("add", "lab", "Extra")
    assert done.returncode == 0, done.stderr
    assert "Extra" in (changed.folder / "hub.yaml").read_text()
    assert run(changed, bob, "using Extra, Greeting; println(Extra.more())") == "hello!\n"
    assert own.read_text() == "# mine\n[deps]\n"
    assert run(changed, ada, "using Mine, Extra, Greeting; println(Extra.more())") == "hello!\n", "her own, still"
    before, text = place(changed), (changed.folder / "hub.yaml").read_text()
    wrong = changed.env("add", "lab", "NoSuchPackage")
    assert wrong.returncode == 71
    assert "environments.lab: Julia says: The following package names could not be resolved: * NoSuchPackage" in (
        wrong.stderr
    )
    assert "Traceback" not in wrong.stderr
    assert (changed.folder / "hub.yaml").read_text() == text
    assert place(changed) == before


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("./Greeting", "./Nowhere", "packages: .*/Nowhere cannot be read: No such file"),
        ("./Greeting", "./registry", "registry is no package: it has no Project.toml"),
        ("./Greeting", "./odd", "odd/Project.toml cannot be read: Is a directory"),
        ('version: "1.5"', 'version: "1.10"', "is Julia 1.5.3, not 1.10"),
        ("registry/Registry", "registry/Words.jl", "Julia says: .*Registry.toml"),
    ],
)
def test_what_cannot_be_built_is_one_sentence_and_the_old_version_serves(changed, old, new, words):
    before = place(changed)
    swap(changed, old, new)
    with pytest.raises((ConfigError, MachineError), match=words):
        changed.build()
    assert place(changed) == before


def test_a_package_that_does_not_load_is_not_taken_and_its_error_is_told(changed, ada):
    before = place(changed)
    (changed.folder / "Greeting/src/Greeting.jl").write_text('module Greeting\nerror("not today")\nend\n')
    assert offering.unfinished("lab", changed.entry("lab"), changed.site) == "has changed since it was built."
    with pytest.raises(MachineError, match="not today"):
        changed.build()
    assert place(changed) == before
    assert run(changed, ada, LOADED) == "hello, you\n"


def test_what_others_may_change_is_not_built(changed, ada):
    os.chown(changed.folder / "Greeting/src/Greeting.jl", ada.uid, ada.gid)
    with pytest.raises(ConfigError, match=r"Greeting.jl can be changed by others than root"):
        changed.build()


def test_what_packages_do_when_they_are_compiled_they_do_without_rights(changed):
    open_to_all = changed.folder / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    (changed.folder / "Greeting/src/Greeting.jl").write_text(f"""
module Greeting
mark = "{open_to_all}/" * string(ccall(:getuid, Cuint, ()))
touch(mark)
depot = DEPOT_PATH[1]
symlink("/etc/shadow", joinpath(depot, "packages", "shadow"))
symlink("Words", joinpath(depot, "packages", "inside"))
cp("/bin/true", joinpath(depot, "packages", "suid")); chmod(joinpath(depot, "packages", "suid"), 0o4777)
run(`mkfifo $(joinpath(depot, "packages", "pipe"))`)
greet(name) = name
end
""")
    changed.build()
    assert built_as(open_to_all)
    packages = place(changed) / "depot" / "packages"
    assert sorted(path.name for path in packages.iterdir()) == ["IJulia", "Words", "inside", "suid"]
    assert stat.S_IMODE((packages / "suid").stat().st_mode) == 0o755
    assert (packages / "inside").readlink() == Path("Words")


def test_a_build_that_is_killed_ends_julia_too_and_a_second_one_is_refused(changed):
    before, versions = place(changed), changed.site.environments / "lab" / "versions"
    names = {path.name for path in versions.iterdir()}
    building = subprocess.Popen(changed.command("build", "lab"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: any(path.name not in names and (path / "depot").exists() for path in versions.iterdir()), 60)
    wait_until(lambda: _runs_on(versions), 30)
    refused = changed.env("build", "lab")
    assert refused.returncode == 77
    assert "is just being built, by process" in refused.stderr
    building.send_signal(signal.SIGKILL)
    building.wait(20)
    wait_until(lambda: not _runs_on(versions), 10)
    assert place(changed) == before
    changed.build()
    assert not [path for path in versions.iterdir() if not (path / "version.json").exists()]


def _runs_on(versions: Path) -> list[str]:
    """Return the processes of the accounts without rights that have to do with these versions."""
    accounts, found = builders(), []
    for path in Path("/proc").iterdir():
        try:
            if path.name.isdecimal() and path.stat().st_uid in accounts:
                text = (path / "environ").read_bytes()
                found += [path.name] if str(versions).encode() in text else []
        except OSError:
            continue
    return found


def test_a_full_disk_is_told_and_the_old_version_serves(changed, ada):
    before, versions = place(changed), changed.site.environments / "lab" / "versions"
    kept = versions.with_name("kept")
    shutil.copytree(versions, kept, symlinks=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=755", "tmpfs", str(versions)], check=True)
    try:
        shutil.copytree(kept / before.name, before, symlinks=True)
        free = os.statvfs(versions)
        (versions / before.name / "ballast").write_bytes(bytes(free.f_bavail * free.f_frsize - 2**19))
        done = changed.env("build", "lab")
        assert done.returncode == 71, done.stderr
        assert "no space left on device" in done.stderr.lower()
        assert "Traceback" not in done.stderr
        assert place(changed) == before
        assert run(changed, ada, LOADED) == "hello, you\n"
    finally:
        subprocess.run(["umount", "-l", str(versions)], check=True)
        shutil.rmtree(kept)


def test_a_lock_makes_two_machines_equal(changed):
    assert changed.env("lock", "lab").returncode == 0
    lock = changed.folder / "lab.lock"
    assert str(changed.site.environments) not in lock.read_text()
    julia_here.release(changed.folder / "registry", "Words", "1.2.0", "1.3.0")
    try:
        locked = changed.build()
        assert locked.packages["Words"] == "1.2.0"
        assert run_anywhere(locked) == "hello, you\n"
        swap(changed, "packages: [Words, ", "packages: [Extra, Words, ")
        refused = changed.env("build", "lab")
        assert refused.returncode == 77
        assert "hubwright env lock lab" in refused.stderr
    finally:
        lock.unlink()
    assert changed.env("lock", "lab").returncode == 0
    assert 'version = "1.3.0"' in lock.read_text()
    lock.unlink()


def run_anywhere(version: Version) -> str:
    done = subprocess.run(
        [f"{version.prefix}/bin/julia", "-e", LOADED],
        capture_output=True,
        text=True,
        timeout=120,
        env={"HOME": "/nonexistent"},
    )
    return done.stdout or done.stderr


@pytest.mark.timeout(1200)
def test_an_image_makes_julia_start_faster_with_its_packages(built, imaging, module_account):
    said, _ = imaging.communicate(timeout=1000)
    assert imaging.returncode == 0, said
    eve = module_account()
    listed = "println(join(sort([key.name for key in keys(Base.loaded_modules)]), ' '))"
    assert {"Greeting", "IJulia", "Words"} <= set(run(built, eve, listed, name="image").split())
    assert "Greeting" not in run(built, eve, listed)
    assert run(built, eve, "using Extra; println(Extra.more())", name="image") == "hello!\n"
    assert not (eve.home / ".julia").exists(), "what is not in the image is compiled for the image"
    took: dict[str, list[float]] = {"lab": [], "image": []}
    for _ in range(4):
        for name, times in took.items():
            begin = time.monotonic()
            assert run(built, eve, f"{LOADED}; Greeting.think()", name=name) == "hello, you\n"
            times.append(time.monotonic() - begin)
    assert min(took["image"]) < 0.7 * min(took["lab"]), took
    swap(built, "sysimage: [Greeting]", "sysimage: [Greeting, Extra]")
    assert offering.unfinished("image", built.entry("image"), built.site) == "has changed since it was built."
    swap(built, "sysimage: [Greeting, Extra]", "sysimage: [Greeting]")


@pytest.mark.timeout(2400)
def test_an_image_is_made_anew_when_a_package_in_it_has_changed(changed, imaging, module_account):
    """The list is the same, what is in a folder counts. The old image stays beside it, for the kernels that run in it."""
    imaging.communicate(timeout=1000)
    assert imaging.returncode == 0
    eve, before = module_account(), place(changed, "image")
    assert offering.unfinished("image", changed.entry("image"), changed.site) == ""
    source, project = changed.folder / "Greeting/src/Greeting.jl", changed.folder / "Greeting/Project.toml"
    source.write_text(source.read_text().replace('"$(Words.hello()), $name"', '"good day, $name"'))
    project.write_text(project.read_text().replace('version = "0.3.0"', 'version = "0.4.0"'))
    assert offering.unfinished("image", changed.entry("image"), changed.site) == "has changed since it was built."
    assert run(changed, eve, IN_IMAGE, name="image") == "hello, you\n", "the old one serves"
    done = subprocess.run(changed.command("build", "image"), capture_output=True, text=True, timeout=1300)
    assert done.returncode == 0, done.stderr
    assert changed.current("image").packages["Greeting"] == "0.4.0"
    assert offering.unfinished("image", changed.entry("image"), changed.site) == ""
    assert run(changed, eve, IN_IMAGE, name="image") == "good day, you\n"
    assert changed.cell(eve, IN_IMAGE, "image") == "good day, you\n"
    old, new = before / "depot/hubwright.so", place(changed, "image") / "depot/hubwright.so"
    assert changed.cell(eve, "print(unsafe_string(Base.JLOptions().image_file))", "image") == str(new)
    assert (old.is_file(), old != new) == (True, True)
    wanted = f"{before}/bin/julia", "-e", IN_IMAGE
    kept = subprocess.run(wanted, capture_output=True, text=True, timeout=120, env={"HOME": "/nonexistent"})
    assert kept.stdout == "hello, you\n", kept.stderr
