"""What somebody installs from a notebook in a container of our image goes to his home, and outlives the container."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import wheels
from tests.conftest import Account
from tests.integration.docker.containers import lend_start
from tests.integration.docker.daemon import FOLDERS, Dockerd
from tests.running import Service

from hubwright.envs.own import kernel as own

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
OURS = "hwt/ours-own:1"


@pytest.fixture(scope="module")
def running(docker_service: Callable[..., Service], dockerd: Dockerd, folder: Path) -> Service:
    """With an image that starts servers as ours does, and holds the same kernel."""
    start = json.dumps(lend_start(folder)[:-1])
    own.keep(folder / "own")
    setting = f"ENV HUBWRIGHT_OWN_KERNEL={folder}/own/current/kernel"
    dockerd.make_skeleton(OURS, more=[f"ENTRYPOINT {start}", setting])
    return docker_service(image=OURS, volumes=[*FOLDERS, {"source": str(folder), "target": str(folder)}]).up()


def test_pip_installs_into_the_home_and_the_next_container_has_it(running: Service, ada: Account) -> None:
    """Kernels are forked there, too, before and after."""
    wheel = wheels.write(ada.home / "wheels", "hwt_tau", files={"hwt_tau.py": "DIGITS = 6.28\n"})
    for _ in range(2):
        kernel = running.start(ada.name).kernel()
        assert "launch" not in (title := kernel.run("print(open('/proc/self/cmdline').read())"))
        assert title.startswith(f"kernel {ada.name}/")
        if not [*ada.home.rglob("site-packages/hwt_tau.py")]:
            assert "Successfully installed hwt-tau-1.0" in kernel.run(f"%pip install --no-index {wheel}")
        assert kernel.run("import hwt_tau; print(hwt_tau.__file__)").startswith(f"{ada.home}/.local/share/hubwright/")
        running.stop(ada.name)
