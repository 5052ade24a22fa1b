"""pharma-docker, a server in its container: whose, with which folders, what it may do, and who cannot reach it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import EXECUTED, wait_until
from tests.idle_kernels import IDLE, check_idle_kernels_go
from tests.integration.docker.containers import inspected
from tests.integration.docker.daemon import FOLDERS
from tests.running import PREFIX, Notebook, Service

from hubwright.fields import server_key

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which everybody may write."""
    folder = Path("/var/lib") / f"hwt-shared-{os.getpid()}"
    folder.mkdir()
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def running(docker_service: Callable[..., Service], shared: Path) -> Iterator[Service]:
    volumes = [
        *FOLDERS,
        {"source": str(shared), "target": "/shared", "writable": True},
        {"source": str(shared), "target": "/looked-at"},
    ]
    (shared / "course").mkdir()
    (shared / "course/lesson.txt").write_text("one")
    more = {
        "extra": {"ContainerSpawner": {"stop_grace": 40}},
        "content": {"course": {"folder": str(shared / "course")}},
    }
    yield docker_service(more, volumes=volumes, memory="700M", cpu=2).up()


@pytest.fixture(scope="module")
def ada(module_account: Callable[..., Any]) -> Any:
    return module_account(groups=["users"])


@pytest.fixture(scope="module")
def notebook(running: Service, ada: Any) -> Notebook:
    return running.start(ada.name)


@pytest.fixture(scope="module")
def kernel(notebook: Notebook) -> Any:
    return notebook.kernel()


def test_it_runs_as_the_unix_user_with_the_users_groups(kernel, ada) -> None:
    """Row 4."""
    code = "import os, json, getpass, grp; print(json.dumps([os.getuid(), os.getgid(), getpass.getuser(), sorted(grp.getgrgid(g).gr_name for g in os.getgroups())]))"
    uid, gid, name, groups = kernel.value(code)
    assert (uid, gid, name) == (ada.uid, ada.gid, ada.name)
    assert {"users", ada.name} <= set(groups)


def test_the_home_has_the_same_path_inside_as_outside(kernel, ada) -> None:
    """Row 4."""
    kernel.run("import pathlib; pathlib.Path('from-inside.txt').write_text('hello')")
    assert kernel.value("import json, os; print(json.dumps([os.getcwd(), os.environ['HOME']]))") == [str(ada.home)] * 2
    made = ada.home / "from-inside.txt"
    assert made.read_text() == "hello" and made.stat().st_uid == ada.uid


def test_contents_are_there_at_the_start_and_a_push_reaches_a_running_container(running, kernel, ada, shared) -> None:
    """The home is on the machine, so one push serves both engines."""
    read = "print(open('course/lesson.txt').read())"
    assert kernel.run(read).strip() == "one"
    (shared / "course/lesson.txt").write_text("two")
    running.cli("content", "push", "--user", ada.name)
    assert kernel.run(read).strip() == "two"


def test_an_environment_and_its_kernel_in_the_home_work(notebook, ada) -> None:
    """Row 4: the environment was made outside; its paths, written into it, hold inside."""
    as_ada = {"user": ada.uid, "group": ada.gid, "cwd": ada.home, "check": True, "timeout": 60}
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "own"], **as_ada)
    packages = next((ada.home / "own/lib").glob("python3*/site-packages"))
    (packages / "lent.pth").write_text(str(next((PREFIX / "lib").glob("python3*/site-packages"))))
    ada.add_kernel("own", [str(ada.home / "own/bin/python"), *EXECUTED[1:]])
    own = notebook.kernel("own")
    assert own.value("import sys, json; print(json.dumps(sys.prefix))") == str(ada.home / "own")


def test_an_idle_kernel_is_stopped_and_a_computing_one_is_not(docker_service, module_account) -> None:
    """julia-class, row 3, in a container."""
    check_idle_kernels_go(docker_service({"idle": IDLE}).up().start(module_account().name))


def test_volumes_are_read_only_unless_hub_yaml_says_otherwise(kernel, shared, ada) -> None:
    """Row 4."""
    assert "Read-only file system" in kernel.run("open('/usr/x', 'w')")
    assert "Read-only file system" in kernel.run("open('/looked-at/x', 'w')")
    kernel.run("open('/shared/x', 'w').write('y')")
    assert (shared / "x").stat().st_uid == ada.uid


def test_it_has_no_capability_and_gains_no_privilege(kernel) -> None:
    status = dict(
        line.split(":\t", 1)
        for line in kernel.run("print(open('/proc/self/status').read())").splitlines()
        if ":\t" in line
    )
    assert status["NoNewPrivs"] == "1"
    assert {status[name].strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {""}


def test_its_limits_are_dockers(dockerd, running, notebook, ada) -> None:
    """Rows 1 and 5: what is enforced is what hub.yaml says, swap included."""
    host = inspected(dockerd, running, ada.name)["HostConfig"]
    assert (host["Memory"], host["MemorySwap"], host["CpuQuota"]) == (700 * 2**20, 700 * 2**20, 200_000)
    assert host["PidsLimit"] == 4096 and host["Init"] and host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]


def test_an_end_of_the_container_is_known_at_once(dockerd, running, module_account) -> None:
    bob = module_account()
    running.start(bob.name)
    with dockerd.client() as client:
        client.kill(inspected(dockerd, running, bob.name)["Id"])
    begun = time.monotonic()
    wait_until(lambda: not running.server(bob.name), 15)
    assert time.monotonic() - begun < 10  # JupyterHub's own polling takes 30 s


def test_another_users_container_cannot_reach_it(dockerd, running, notebook, kernel, ada, module_account) -> None:
    """Neither its server, nor what a user listens on in the container."""
    mallory = module_account()
    other = running.start(mallory.name).kernel()
    address = next(iter(inspected(dockerd, running, ada.name)["NetworkSettings"]["Networks"].values()))["IPAddress"]
    kernel.run("import socket; s = socket.create_server(('0.0.0.0', 7777)); s.settimeout(60)")
    try_it = "import socket\ntry: socket.create_connection(('{0}', 7777), 3); print('connected')\nexcept OSError as error: print(type(error).__name__)"
    assert kernel.run(try_it.format(address)).strip() == "connected"
    assert other.run(try_it.format(address)).strip() in ("TimeoutError", "ConnectionRefusedError", "OSError")
    assert "PermissionError" in other.run("import os; os.listdir('/run/hubwright-server')")
    assert other.value(f"import os, json; print(json.dumps(os.listdir({str(running.run)!r})))") == ["api.sock"]
    token = running.token(mallory.name)
    assert notebook.ask("GET", "api/contents", token=token).status_code == 403


def test_nobody_on_the_machine_can_connect_to_its_socket(running, notebook, module_account) -> None:
    eve = module_account()
    path = running.run / "s" / server_key(notebook.user, "") / "http.sock"
    code = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
    done = subprocess.run(
        ["/usr/bin/python3", "-c", code], user=eve.uid, group=eve.gid, capture_output=True, text=True, cwd="/"
    )
    assert "PermissionError" in done.stderr
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(str(path))


def test_the_server_cannot_put_another_socket_in_its_place(kernel) -> None:
    """The folder in which it made its socket is closed once the hub has taken that."""
    assert "PermissionError" in kernel.run(
        "import os; os.symlink('/run/docker.sock', '/run/hubwright-server/http.sock')"
    )


def test_a_home_that_is_missing_or_somebody_elses_is_named(running, module_account) -> None:
    """Row 4."""
    carol, dave = module_account(), module_account()
    shutil.rmtree(carol.home)
    os.chown(dave.home, 0, 0)
    for user, words in ((carol, "is missing"), (dave, "belongs to user id 0")):
        running.add_user(user.name)
        answer = running.api("POST", f"/users/{user.name}/server", {})
        assert answer.status_code == 403 and words in answer.json()["message"] and str(user.home) in answer.text


def test_two_users_do_not_wait_for_each_other(dockerd, running, module_account) -> None:
    """The container of one hears no request to stop; the other starts meanwhile."""
    slow, quick = module_account(), module_account()
    running.start(slow.name)
    with dockerd.client() as client:
        client.kill(inspected(dockerd, running, slow.name)["Id"], signal.SIGSTOP)
    with ThreadPoolExecutor(1) as beside:
        stopping = beside.submit(running.stop, slow.name)
        time.sleep(0.5)
        running.start(quick.name)
        assert not stopping.done(), "the slow one had stopped before the quick one started"
        with dockerd.client() as client:
            client.kill(inspected(dockerd, running, slow.name)["Id"], signal.SIGCONT)
        stopping.result(60)


def test_progress_is_told_in_words(running, module_account) -> None:
    """Row 7."""
    user = module_account()
    running.add_user(user.name)
    token = running.token(user.name)
    running.api("POST", f"/users/{user.name}/server", {})
    found = running.api("GET", f"/users/{user.name}/server/progress", headers={"Authorization": f"token {token}"})
    words = [json.loads(line[5:]).get("message", "") for line in found.text.splitlines() if line.startswith("data:")]
    assert any("ready" in word.lower() for word in words), words


def test_stopping_leaves_nothing(dockerd, running, module_account) -> None:
    user = module_account()
    running.start(user.name)
    before = set(running.run.glob("s/*"))
    running.stop(user.name)
    with pytest.raises(Exception, match="No such container"):
        inspected(dockerd, running, user.name)
    assert len(before - set(running.run.glob("s/*"))) == 1
