"""Environments of hub.yaml in containers: the ones that the local engine offers, built once, read-only, same path.

In an image with nothing of Hubwright in it, and in one that starts servers as ours does.
"""

from __future__ import annotations

import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import conda_channel, conda_home, julia_here, r_repository
from tests.conda_channel import module
from tests.conftest import Account, wait_until
from tests.integration.docker.containers import inspected, lend_start
from tests.integration.docker.daemon import FOLDERS, SKELETON, Dockerd
from tests.running import PREFIX, Notebook, Service

from hubwright.envs.versions import Versions
from hubwright.fields import instance_of
from hubwright.machine import using

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
OURS = "hwt/ours:1"
GONE = "this image cannot run it: there is no"
IMAGES = ["plain", "ours"]


@pytest.fixture(scope="module")
def member(module_account: Callable[..., Account]) -> Account:
    return module_account()


@pytest.fixture(scope="module")
def other(module_account: Callable[..., Account]) -> Account:
    return module_account()


def make_environment(folder: Path) -> str:
    """Make an environment on a Python that lies elsewhere than any image has one; return its prefix."""
    program = folder / "base/bin/python3"
    program.parent.mkdir(parents=True)
    shutil.copy(Path(sys.executable).resolve(), program)
    (folder / "base/lib").symlink_to("/usr/lib")
    prefix = folder / "prefix"
    subprocess.run([str(program), "-m", "venv", "--without-pip", str(prefix)], check=True, timeout=60)
    packages = next((prefix / "lib").glob("python3*/site-packages"))
    (packages / "lent.pth").write_text(str(next((PREFIX / "lib").glob("python3*/site-packages"))))
    return str(prefix)


def lend_python(folder: Path) -> None:
    """Put the machine's Python where uv finds those that it has fetched."""
    number = "{}.{}.{}".format(*sys.version_info[:3])
    prefix = folder / f"cpython-{number}-linux-{platform.machine()}-gnu"
    (prefix / "bin").mkdir(parents=True)
    shutil.copy(Path(sys.executable).resolve(), prefix / "bin" / f"python{conda_channel.MINOR}")
    left_out = shutil.ignore_patterns("test", "idlelib", "lib2to3", "ensurepip", "__pycache__", "config-*")
    library = f"lib/python{conda_channel.MINOR}"
    shutil.copytree(Path("/usr") / library, prefix / library, ignore=left_out, symlinks=True)


def environments(service: Service) -> Path:
    return Path("/opt/hubwright/environments") / instance_of(service.state)


@pytest.fixture(scope="module")
def running(
    docker_service: Callable[..., Service], dockerd: Dockerd, folder: Path, member: Account
) -> Iterator[Service]:
    """A service that has built an environment of each kind at its start; one has its Python where containers see none."""
    for name in ("nothing", "bin"):
        (folder / name).mkdir()
    only = {"allow": {"groups": [member.name]}}
    start = folder / "bin/jupyterhub-singleuser"
    version = f'case "$*" in *--version*) exec {PREFIX}/bin/jupyterhub-singleuser --version;; esac'
    start.write_text(f'#!/bin/sh\n{version}\nexec {shlex.join(lend_start(folder / "bin"))} "$@"\n')
    start.chmod(0o755)
    dockerd.make_skeleton(OURS, f"{folder}/bin:{PREFIX}/bin:/usr/local/bin:/usr/bin:/bin")
    volumes = [
        *FOLDERS,
        *({"source": name, "target": name} for name in ("/etc/R", "/etc/alternatives", f"{folder}/bin")),
    ]
    volumes.append({"source": f"{folder}/nothing", "target": f"{folder}/hidden"})
    size = {"cpu": 1, "memory": "1G"}
    images = {name: {"image": image} for name, image in zip(IMAGES, (SKELETON, OURS), strict=True)}
    more = {
        "profiles": {"sizes": {"One": size}, "images": images, "default": {"sizes": ["One"], "images": IMAGES}},
        "environments": {
            "default": {"kind": "uv", "display": "Course", "packages": ["six==1.16.0"]},
            "chem": {"kind": "conda", "channels": ["./channel"], "packages": ["alpha"]},
            "fetched": {"kind": "uv", "managed": True, "python": conda_channel.MINOR, "packages": ["six==1.16.0"]},
            "stats": {"kind": "r", "repository": "./cran", "packages": ["low"]},
            "apart": {"kind": "existing", "prefix": make_environment(folder / "apart")},
            "secret": {"kind": "existing", "prefix": str(PREFIX), **only},
            "hidden": {"kind": "existing", "prefix": make_environment(folder / "hidden"), **only},
            "julia": {
                "kind": "julia",
                "julia": str(julia_here.julia() / "usr/bin/julia"),
                "registries": ["./registry/Registry"],
                "packages": ["Words"],
                "pkg_server": "",
            },
        },
    }
    one = docker_service(more, volumes=volumes)
    conda_channel.write(conda_home.channel(one.folder / "channel"), module("pip"))
    r_repository.write(one.folder / "cran", ("low", "1.0", r_repository.archive("low", "1.0")))
    julia_here.registry(one.folder / "registry", "IJulia", "Words")
    lend_python(environments(one) / ".python")
    one.up(wait=280)
    try:
        yield one
    finally:
        one.clean()
        shutil.rmtree(environments(one), ignore_errors=True)


@pytest.fixture(scope="module", params=IMAGES)
def image(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def notebook(running: Service, member: Account, image: str) -> Iterator[Notebook]:
    """The member's, in each of the images."""
    yield running.start(member.name, body={"image": image})
    running.stop(member.name)


def shown(notebook: Notebook) -> dict[str, str]:
    listed = notebook.ask("GET", "api/kernelspecs").json()["kernelspecs"]
    return {name: one["spec"]["display_name"] for name, one in listed.items()}


def test_every_kind_is_seen_and_runs(notebook: Notebook, running: Service, folder: Path) -> None:
    """The kernel python3 is the one of `default`, and what one sees is by one's groups, as without containers."""
    everybody = {
        "python3": "Course",
        "apart": "apart",
        "fetched": "fetched",
        "chem": "chem",
        "julia": "julia",
        "stats": "stats",
    }
    found = {name: text for name, text in shown(notebook).items() if name != "ir"}  # the machine's own, by /usr
    assert found.pop("hidden").startswith(f"hidden: broken, {GONE} {folder}/hidden/base/bin/python3"), found
    assert found == {**everybody, "secret": "secret"}
    there = environments(running)
    assert notebook.kernel().run("import six; print(six.__file__)").startswith(f"{there}/default/versions/")
    assert (
        notebook.kernel("chem").run("import alpha; print(alpha.__file__)").startswith(f"{there}/chem/versions/1/prefix")
    )
    shared = "import os, sys; print(os.environ['HUBWRIGHT_SHARED'], sys.base_prefix)"
    assert notebook.kernel("apart").run(shared).split() == [
        f"{folder}/apart/prefix/lib/python{conda_channel.MINOR}/site-packages",
        f"{folder}/apart/base",
    ]
    base = notebook.kernel("fetched").run("import sys; print(sys.base_prefix)")
    assert base.startswith(f"{there}/.python/cpython-{conda_channel.MINOR}"), base
    assert notebook.kernel("stats").run("cat(low::low_version())") == "1.0"
    assert notebook.kernel("julia").run("using Words; println(6 * 7)") == "42\n"


def test_nobody_writes_into_them_and_what_one_installs_is_ones_own(
    notebook: Notebook, running: Service, dockerd: Dockerd, member: Account
) -> None:
    kernel = notebook.kernel()
    assert "PermissionError" in kernel.run("import six; open(six.__file__, 'a')")
    mounts = inspected(dockerd, running, member.name)["Mounts"]
    assert {str(environments(running))} == {one["Source"] for one in mounts if "/environments" in one["Source"]}
    assert not [one for one in mounts if "/environments" in one["Source"] and one["RW"]]
    assert kernel.run("import sys; print(sys.prefix)").startswith(f"{member.home}/.local/share/hubwright/environments/")


def test_who_is_in_no_group_sees_what_everybody_sees(running: Service, other: Account) -> None:
    for image in IMAGES:
        notebook = running.start(other.name, body={"image": image})
        assert not {"secret", "hidden"} & set(shown(notebook))
        there = str(environments(running) / "secret/current/kernel")
        assert "PermissionError" in notebook.kernel().run(f"import os; os.listdir({there!r})")
        running.stop(other.name)


def test_a_new_version_and_the_one_before_reach_a_server_that_runs(running: Service, other: Account) -> None:
    """By the next kernel; one that runs keeps its own."""
    number = "import six; print(six.__version__)"
    notebook = running.start(other.name, body={"image": "plain"})
    before = notebook.kernel()
    path = running.folder / "hub.yaml"
    path.write_text(path.read_text().replace("six==1.16.0", "six==1.17.0"))
    running.cli("env", "build", "default")
    assert notebook.kernel().run(number) == "1.17.0\n"
    assert before.run(number) == "1.16.0\n"
    running.cli("env", "rollback", "default")
    assert notebook.kernel().run(number) == "1.16.0\n"
    running.stop(other.name)


def test_an_old_version_stays_while_a_kernel_in_a_container_is_of_it(running: Service, other: Account) -> None:
    versions = Versions(environments(running) / "default")
    notebook = running.start(other.name, body={"image": "plain"})
    notebook.kernel().run("import six")
    current = versions.current()
    assert current
    folder = versions.folder_of(current)
    running.cli("env", "build", "default")
    assert other.name in {user.account for user in using.users([folder])[folder]}
    told = running.cli("env", "clean", "--versions", "--yes").stderr
    assert f"default, version {current.number}, stays: in use by" in told and folder.exists()
    running.stop(other.name)
    wait_until(lambda: not using.users([folder]), 60)
    running.cli("env", "clean", "--versions", "--yes")
    assert not folder.exists()


def test_what_does_not_work_in_an_image_is_told(running: Service, folder: Path) -> None:
    """When the service starts, and by `hubwright check`; once for each image."""
    for said in (running.output(), " ".join(running.cli("check").stdout.split())):
        for image in (SKELETON, OURS):
            words = (
                f"environments.hidden: does not work in containers of the image {image}: there is no {folder}/hidden/"
            )
            assert words in said, said
    assert "environments.apart" not in running.output()
