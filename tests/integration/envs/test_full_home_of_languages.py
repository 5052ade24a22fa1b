"""What somebody with a home that takes no more has of a shared R and Julia: their kernels, and words that say why."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest
from tests import julia_here, r_repository
from tests.conftest import Account
from tests.running import Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
YAML = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
environments:
  stats: {kind: r, repository: ./cran, packages: [low]}
  julia:
    kind: julia
    julia: JULIA
    packages: [./Greeting]
    registries: [./registry/Registry]
    pkg_server: ""
"""


@pytest.fixture(scope="module")
def running(service: Callable[..., Service]) -> Service:
    """A service that has built both at its start."""
    one = service(YAML.replace("JULIA", str(julia_here.julia() / "usr/bin/julia")))
    low = ("low", "1.0", r_repository.archive("low", "1.0"))
    r_repository.write(one.folder / "cran", low, ("mine", "2.0", r_repository.archive("mine", "2.0")))
    julia_here.registry(one.folder / "registry", "IJulia", "Words", "Extra")
    shutil.copytree(julia_here.PACKAGES / "Greeting", one.folder / "Greeting")
    return one.up(wait=280)


@pytest.fixture(params=["bytes", "names"])
def poor(request: pytest.FixtureRequest, account: Callable[..., Account]) -> Iterator[Account]:
    """Somebody whose home has no byte left, or takes no file or folder more, as with a quota that is used up."""
    someone = account()
    options = f"size=256k,nr_inodes=20,mode=700,uid={someone.uid},gid={someone.gid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(someone.home)], check=True)
    try:
        found = os.statvfs(someone.home)
        if request.param == "bytes":
            (someone.home / "ballast").write_bytes(bytes(found.f_bavail * found.f_frsize))
        else:
            for number in range(found.f_favail):
                (someone.home / f"ballast-{number}").touch()
        yield someone
    finally:
        subprocess.run(["umount", "-l", str(someone.home)], check=True)


def shared(running: Service) -> dict[str, int]:
    """Return every file of the environments, with the time of its last change."""
    return {str(path): path.lstat().st_mtime_ns for path in running.environments.rglob("*")}


def install(running: Service) -> str:
    return f"install.packages('mine', repos = 'file://{running.folder}/cran')"


def test_kernels_start_and_what_is_installed_fails_for_lack_of_room(running, poor, person):
    """Also the first ones, which would make folders; and what is shared is as before, for everybody."""
    before, notebook = shared(running), running.start(poor.name)
    for _ in range(2):
        assert notebook.kernel("stats").run("cat(low::low_version())") == "1.0"
        assert notebook.kernel("julia").run('using Greeting; greet("you")') == '"hello, you"'
        assert notebook.kernel("python3").run("6*7") == "42"
    stats, julia = notebook.kernel("stats"), notebook.kernel("julia")
    said = stats.run(install(running))
    assert f"{poor.home}/.local" in said, said
    assert "No space left on device" in said, said
    assert stats.run("cat(requireNamespace('mine', quietly = TRUE))").endswith("FALSE")
    said = julia.run('import Pkg; Pkg.add("Extra")')
    assert "no space left on device" in said.lower(), said
    assert "Package Extra not found" in julia.run("using Extra")
    assert shared(running) == before
    other = running.opened(person.name)
    kernel = other.kernel("stats")
    kernel.run(install(running))
    assert kernel.run("cat(mine::mine_version())") == "2.0"
    assert other.kernel("julia").run('import Pkg; Pkg.add("Extra"); using Extra; Extra.more()').endswith('"hello!"')


def test_who_makes_room_installs_in_the_same_kernel(running, poor):
    notebook = running.start(poor.name)
    kernel = notebook.kernel("stats")
    assert "No space left on device" in kernel.run(install(running))
    for path in poor.home.glob("ballast*"):
        path.unlink()
    subprocess.run(["mount", "-o", "remount,size=16m,nr_inodes=1000", str(poor.home)], check=True)
    assert "No space left" not in kernel.run(install(running))
    assert kernel.run("cat(mine::mine_version())") == "2.0"
    assert notebook.kernel("stats").run("cat(mine::mine_version())") == "2.0"
