"""A version of an environment stays for as long as somebody's kernel is of it, however many are built meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.conftest import wait_until
from tests.running import Kernel, Notebook, Service

from hubwright.envs.versions import KEPT, Versions
from hubwright.machine import using

pytestmark = [pytest.mark.root, pytest.mark.timeout(400)]
NAMES = ["executed", "forked"]
YAML = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
environments:
  executed: {kind: uv, packages: [six==1.16.0]}
  forked: {kind: uv, packages: [six==1.16.0], preload: [six]}
"""
FILE = "import sysconfig, six; print(six.__file__)"
LATE = "import IPython.lib.deepreload, ipykernel.embed; print('there')"
"""What no kernel has imported before it is asked to."""


@pytest.fixture(scope="module")
def running(service: Callable[..., Service]) -> Service:
    return service(YAML).up(wait=300)


@pytest.fixture(scope="module")
def notebook(running: Service, ada) -> Notebook:
    return running.start(ada.name)


def numbers(service: Service, name: str) -> list[int]:
    """Return the versions there are, and that nothing else lies there."""
    versions = Versions(service.environments / name)
    found = [one.number for one in versions.all()]
    assert sorted(int(path.name) for path in (versions.folder / "versions").iterdir()) == found
    return found


def test_a_kernel_keeps_its_version_over_as_many_builds_as_come(running, notebook, ada):
    """The next build after its end removes it; until then `clean` spares it, and says whose kernel it is."""
    kernels = {name: notebook.kernel(name) for name in NAMES}
    pids = {name: int(kernel.run("import os; print(os.getpid())")) for name, kernel in kernels.items()}
    assert all("/versions/1/" in kernel.run(FILE) for kernel in kernels.values())
    for _ in range(KEPT):
        running.cli("env", "build", *NAMES)
    for name, kernel in kernels.items():
        assert numbers(running, name) == [1, 2, 3, 4], "it would be [2, 3, 4]"
        assert Kernel(notebook, kernel.id).run(LATE) == "there\n"  # a websocket that nobody reads may be closed by now
    told = running.cli("env", "clean", "--versions", "--yes").stderr
    for name, kernel in kernels.items():
        (line,) = (line for line in told.splitlines() if line.startswith(f"{name}, version 1,"))
        assert "stays" in line and f"{ada.name} (process {pids[name]})" in line
        assert numbers(running, name) == [1, 4]
        assert notebook.ask("DELETE", f"api/kernels/{kernel.id}").status_code == 204
    firsts = [running.environments / name / "versions/1" for name in NAMES]
    wait_until(lambda: not using.users(firsts), 60)
    for _ in range(2):
        running.cli("env", "build", *NAMES)
    assert [numbers(running, name) for name in NAMES] == [[4, 5, 6]] * 2


def test_an_environment_that_is_out_of_hub_yaml_stays_for_its_kernels(running, notebook, ada):
    """And goes once they have ended."""
    kernel = notebook.kernel("executed")
    path = running.folder / "hub.yaml"
    text = path.read_text()
    path.write_text("".join(line for line in text.splitlines(True) if "executed:" not in line))
    try:
        told = running.cli("env", "clean", "--yes").stderr
        assert "executed, which hub.yaml does not name, stays: in use by" in told
        assert ada.name in told
        assert Kernel(notebook, kernel.id).run(LATE) == "there\n"
        assert notebook.ask("DELETE", f"api/kernels/{kernel.id}").status_code == 204
        wait_until(lambda: not using.users((running.environments / "executed/versions").iterdir()), 60)
        running.cli("env", "clean", "--yes")
        assert not (running.environments / "executed").exists()
    finally:
        path.write_text(text)
