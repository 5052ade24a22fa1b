"""Kernels of shared environments, forked from a process that has imported what hub.yaml names."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Account, wait_until
from tests.integration.local.test_parity import DRAWN, PROBE, _differences
from tests.running import Kernel, Notebook, Service, frozen

from hubwright.engines.local.zygotes import seen

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
YAML = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
engine: {kind: local, memory: 1G, processes: 2000}
environments:
  lab: {kind: existing, prefix: PREFIX, preload: [numpy, pandas, matplotlib]}
  twin: {kind: existing, prefix: PREFIX}
  secret: {kind: existing, prefix: PREFIX, allow: {groups: [GROUP]}, preload: [numpy]}
"""
LOADED = "import sys; print('pandas' in sys.modules)"


@pytest.fixture(scope="module")
def member(module_account: Callable[..., Account]) -> Account:
    return module_account()


@pytest.fixture(scope="module")
def running(service: Callable[..., Service], member: Account) -> Service:
    one = service(YAML.replace("GROUP", member.name).replace("PREFIX", sys.prefix))
    one.up(wait=120)
    wait_until(lambda: all(zygote["ready"] for zygote in zygotes(one)) and len(zygotes(one)) == 2, 60)
    return one


@pytest.fixture(scope="module")
def notebook(running: Service, member: Account) -> Notebook:
    return running.start(member.name)


@pytest.fixture(autouse=True)
def ended(request: pytest.FixtureRequest) -> Iterator[None]:
    """End what kernels a test has left."""
    yield
    if "notebook" in request.fixturenames:
        notebook = request.getfixturevalue("notebook")
        for one in notebook.ask("GET", "api/kernels").json():
            notebook.ask("DELETE", f"api/kernels/{one['id']}")


def zygotes(service: Service) -> list[dict[str, Any]]:
    return seen.ask(service.run / "zygotes.sock", 10)


def zygote_of(service: Service, name: str = "lab") -> int:
    """Return the pid of the zygote that is ready for an environment, 0 without one."""
    return next((one["pid"] for one in zygotes(service) if one["environment"] == name and one["ready"]), 0)


def pid_of(kernel: Kernel) -> int:
    return int(kernel.run("import os; print(os.getpid())"))


def is_forked(kernel: Kernel, service: Service) -> bool:
    return parent(pid_of(kernel)) in [one["pid"] for one in zygotes(service)]


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_what_is_named_is_imported_when_a_kernel_starts(running, notebook):
    kernel = notebook.kernel("lab")
    assert kernel.run(LOADED) == "True\n"
    assert is_forked(kernel, running)
    assert kernel.run("import pandas; print(pandas.Series([1, 2]).sum())") == "3\n"
    twin = notebook.kernel("twin")
    assert twin.run(LOADED) == "False\n"
    assert not is_forked(twin, running)


def test_a_forked_kernel_is_the_kernel_that_execution_gives(notebook):
    """Of two environments that differ in their names, and in `preload`."""
    forked, executed = (
        json.loads(json.dumps(notebook.kernel(name).value(PROBE)).replace(f"environments/{name}", "environments/x"))
        for name in ("lab", "twin")
    )
    assert not list(_differences(forked, executed)), "\n".join(_differences(forked, executed))


def test_paths_that_were_computed_before_the_fork_are_the_users(notebook):
    code = (
        "import json, sys, sysconfig, jupyter_core.paths as p, matplotlib, multiprocessing.spawn as s\n"
        "print(json.dumps([sysconfig.get_path('purelib'), p.ENV_JUPYTER_PATH, p.ENV_CONFIG_PATH, str(s.get_executable()),"
        " matplotlib.get_configdir(), matplotlib.get_backend(), [m for m in sys.modules if m.startswith('hubwright')]]))"
    )
    forked, executed = (
        json.loads(json.dumps(notebook.kernel(name).value(code)).replace(f"environments/{name}", "environments/x"))
        for name in ("lab", "twin")
    )
    assert forked == executed
    assert "hwt-" in forked[0]


def test_kernels_of_two_users_draw_different_random_numbers(notebook, person):
    other = notebook.service.start(person.name)
    one, two = (eval(each.kernel("lab").run(DRAWN)) for each in (notebook, other))
    assert all(a != b for a, b in zip(one, two, strict=True))


def test_blas_has_its_threads_again(notebook):
    code = "import numpy, threadpoolctl; print([p['num_threads'] for p in threadpoolctl.threadpool_info()])"
    assert notebook.kernel("lab").value(code) == [len(os.sched_getaffinity(0))]


@pytest.mark.parametrize("stream", [1, 2])
def test_all_that_a_program_prints_comes(running, notebook, stream):
    """Nine times what a pipe holds, and again."""
    kernel = notebook.kernel("lab")
    assert is_forked(kernel, running)
    for _ in range(2):
        text = kernel.run_until(f"import os; _ = os.system('seq 100000 >&{stream}')", "\n100000\n")
        assert text.splitlines() == [str(number) for number in range(1, 100_001)]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing_works(notebook, method):
    code = (
        "import multiprocessing, math\n"
        f"with multiprocessing.get_context({method!r}).Pool(2) as pool:\n    print(pool.map(math.factorial, [3, 4]))"
    )
    assert notebook.kernel("lab").run(code).strip() == "[6, 24]"


def test_interrupt_restart_and_an_end_by_itself(running, notebook):
    kernel = notebook.kernel("lab")
    asked = kernel.until_idle(kernel.send("print('begun', flush=True); import time; time.sleep(60)"))
    assert next(one for one in asked if one["msg_type"] == "stream")["content"]["text"] == "begun\n"
    notebook.ask("POST", f"api/kernels/{kernel.id}/interrupt")
    assert next(one for one in asked if one["msg_type"] == "error")["content"]["ename"] == "KeyboardInterrupt"
    list(asked)  # until then what is sent is refused, with the cell that failed
    first = pid_of(kernel)
    assert notebook.ask("POST", f"api/kernels/{kernel.id}/restart").status_code == 200
    again = Kernel(notebook, kernel.id)
    wait_until(lambda: again.run("6*7") == "42")  # what the first cell prints may come before it is listened to
    assert pid_of(again) != first
    assert is_forked(again, running)
    again.send("import os, time; time.sleep(1); os._exit(3)")
    wait_until(lambda: again.model()["execution_state"] == "busy")
    wait_until(lambda: "restarting kernel" in notebook.log())
    wait_until(lambda: again.model()["execution_state"] in ("restarting", "starting", "idle"))
    wait_until(lambda: notebook.ask("DELETE", f"api/kernels/{kernel.id}").status_code == 204)  # 500 in mid-restart


def test_it_is_in_its_servers_group_and_the_limit_on_memory_holds(running, notebook):
    kernel = notebook.kernel("lab")
    groups = [Path(f"/proc/{pid}/cgroup").read_text() for pid in (pid_of(kernel), notebook.pid)]
    assert groups[0] == groups[1]
    pid = pid_of(kernel)
    kernel.send("a = bytearray(3 * 2**30)")
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), 60)
    assert notebook.ask("GET", "api/status").status_code == 200
    assert zygote_of(running)


def test_where_the_user_has_another_numpy_the_kernel_is_executed(running, module_account):
    poor = module_account()
    notebook = running.start(poor.name)
    first = notebook.kernel("lab")
    assert is_forked(first, running)
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    packages = poor.home / f".local/share/hubwright/environments/lab-{version}/lib/python{version}/site-packages"
    assert (packages / "_hubwright.pth").exists()
    (packages / "harmless.py").write_text("ANSWER = 42\n")
    shutil.chown(packages / "harmless.py", poor.uid, poor.gid)
    second = notebook.kernel("lab")
    assert second.run("import harmless; print(harmless.ANSWER)") == "42\n"
    assert is_forked(second, running)
    (packages / "numpy").mkdir()
    (packages / "numpy" / "__init__.py").write_text("ANSWER = 42\n")
    subprocess.run(["chown", "-R", f"{poor.uid}:{poor.gid}", str(packages / "numpy")], check=True)
    third = notebook.kernel("lab")
    assert third.run("import numpy; print(numpy.ANSWER)") == "42\n"
    assert not is_forked(third, running)
    running.stop(poor.name)


def test_settings_that_are_read_at_an_import_are_the_users(running, module_account):
    careful = module_account()
    settings = careful.home / ".config" / "matplotlib"
    settings.mkdir(parents=True)
    (settings / "matplotlibrc").write_text("lines.linewidth: 7\n")
    subprocess.run(["chown", "-R", f"{careful.uid}:{careful.gid}", str(careful.home)], check=True)
    kernel = running.start(careful.name).kernel("lab")
    assert kernel.run("import matplotlib; print(matplotlib.rcParams['lines.linewidth'])") == "7.0\n"
    running.stop(careful.name)


def test_an_environment_for_a_group_is_forked_for_its_members_only(running, notebook, person):
    assert notebook.kernel("secret").run("import sys; print('numpy' in sys.modules)") == "True\n"
    other = running.start(person.name) if not running.server(person.name).get("ready") else None
    his = other or Notebook(running, person.name, "")
    code = _asking(running, "secret")
    assert his.kernel("python3").run(code) == "b'execute'\n"
    assert notebook.kernel("python3").run(code) == "b'execute'\n", "it is not the server itself that asks"


def _asking(service: Service, name: str) -> str:
    """Return a cell that asks the keeper as a server would, and prints the answer."""
    return (
        "import socket, json, os\n"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.settimeout(20)\n"
        f"s.connect('{service.run}/zygotes.sock'); s.send(b'{name}')\n"
        "w = json.dumps({'file': '/tmp/x.json', 'env': dict(os.environ), 'folder': '/tmp'}).encode()\n"
        "try:\n    socket.send_fds(s, [w], [1, 2])\nexcept OSError: pass\n"
        "try:\n    print(s.recv(100))\nexcept ConnectionResetError: print(b'execute')  # it left what was meant for a kernel"
    )


def test_nobody_but_a_server_is_given_a_kernel(running, notebook, person):
    """Neither a user's shell, nor a process of the user's in the server's own group."""
    asked = subprocess.run(
        [sys.executable, "-c", _asking(running, "lab")],
        user=person.uid,
        group=person.gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert asked.stdout == "b'execute'\n", asked.stderr
    assert notebook.kernel("python3").run(_asking(running, "lab")) == "b'execute'\n"


def test_nonsense_ends_no_zygote(running, notebook):
    before = zygotes(running)
    code = (
        "import socket\nfor word in (b'', b'..', b'/etc', b'lab/../lab', b'x' * 5000, bytes(range(256))):\n"
        "    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        f"    s.connect('{running.run}/zygotes.sock'); s.send(word); s.close()\n"
        "print('said')"
    )
    assert notebook.kernel("python3").run(code) == "said\n"
    assert zygotes(running) == before


def test_what_is_imported_is_imported_without_rights(running):
    """Another account, no capability in effect, no network, nothing that can be written but folders of its own."""
    pid = zygote_of(running)
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert status["CapEff"] == status["CapInh"] == status["CapAmb"] == "0" * 16
    assert "0" not in status["Uid"].split()
    assert len(Path(f"/proc/{pid}/net/dev").read_text().splitlines()) == 3, "two lines of head, and the loopback"
    mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    assert {one[4] for one in mounts if "rw" in one[5].split(",")} == {"/tmp", "/dev/shm"}
    assert Path(f"/proc/{pid}/ns/mnt").readlink() != Path("/proc/self/ns/mnt").readlink()


def test_a_kernel_has_nothing_of_that(notebook):
    pid = pid_of(notebook.kernel("lab"))
    for name in ("mnt", "net", "user", "pid", "ipc", "uts"):
        assert Path(f"/proc/{pid}/ns/{name}").readlink() == Path(f"/proc/{notebook.pid}/ns/{name}").readlink()
    status = Path(f"/proc/{pid}/status").read_text()
    assert "CapPrm:\t" + "0" * 16 in status
    mine = {os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")}
    assert not [one for one in mine if "mnt:" in one or "net:" in one]


def test_a_zygote_that_hangs_keeps_nobody_waiting(running, notebook):
    pid = zygote_of(running)
    with frozen(pid):
        begin = time.monotonic()
        kernel = notebook.kernel("lab")
        assert kernel.run(LOADED) == "False\n"
        assert time.monotonic() - begin < 30
    assert not is_forked(kernel, running)


def test_a_zygote_that_is_killed_comes_back_and_its_kernels_live_on(running, notebook):
    kernel = notebook.kernel("lab")
    pid = zygote_of(running)
    os.kill(pid, signal.SIGKILL)
    assert notebook.kernel("lab").run("6*7") == "42"
    assert kernel.run("6*7") == "42"
    wait_until(lambda: zygote_of(running) not in (0, pid), 60)
    assert is_forked(notebook.kernel("lab"), running)
    before = notebook.log().count("restarting kernel")
    os.kill(pid_of(kernel), signal.SIGKILL)
    wait_until(lambda: notebook.log().count("restarting kernel") > before)


def test_a_keeper_that_is_killed_comes_back_and_kernels_live_on(running, notebook):
    kernel = notebook.kernel("lab")
    before = [one["pid"] for one in zygotes(running)]
    os.kill(running.part("zygotes"), signal.SIGKILL)
    assert notebook.kernel("lab").run("6*7") == "42"
    assert kernel.run("6*7") == "42"

    def back() -> bool:
        try:
            return bool(zygote_of(running))
        except Exception:
            return False

    wait_until(back, 60)
    assert not [pid for pid in before if Path(f"/proc/{pid}").exists()]


@contextmanager
def named(service: Service, modules: str) -> Iterator[None]:
    """Have hub.yaml name other modules for `lab`."""
    path = service.folder / "hub.yaml"
    text = path.read_text()
    path.write_text(text.replace("[numpy, pandas, matplotlib]", modules))
    try:
        yield
    finally:
        path.write_text(text)


def test_a_new_version_has_a_zygote_of_its_own_and_the_old_one_comes_back_with_rollback(running, notebook):
    kernel = notebook.kernel("lab")
    old = zygote_of(running)
    with named(running, "[numpy]"):
        running.cli("env", "build", "lab")
    wait_until(lambda: zygote_of(running) not in (0, old), 60)
    assert notebook.kernel("lab").run(LOADED) == "False\n"
    assert Path(f"/proc/{old}").exists(), "it has a kernel"
    assert kernel.run(LOADED) == "True\n"
    running.cli("env", "rollback", "lab")
    wait_until(
        lambda: [one["version"] for one in zygotes(running) if one["ready"] and one["environment"] == "lab"] == [1], 60
    )
    assert notebook.kernel("lab").run(LOADED) == "True\n"
    for one in notebook.ask("GET", "api/kernels").json():
        notebook.ask("DELETE", f"api/kernels/{one['id']}")
    wait_until(lambda: not Path(f"/proc/{old}").exists(), 30)


def test_a_module_that_is_not_there_is_refused_by_name(running):
    with named(running, "[numpy, no_such_module]"):
        done = running.cli("env", "build", "lab", check=False)
    assert done.returncode == 71
    assert "environments.lab.preload: no_such_module: cannot be imported" in done.stderr
    assert "Traceback" not in done.stderr
