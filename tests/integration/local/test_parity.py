"""A forked server and a forked kernel are what executing them would have given."""

from __future__ import annotations

import itertools
import json
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import wheels
from tests.conftest import Account, wait_until
from tests.running import PLAIN, PREFIX, Notebook, Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]

PROBE = r"""
import gc, grp, json, locale, multiprocessing, os, resource, signal, site, sys, sysconfig, threading, warnings
import asyncio, tempfile
status = dict(l.split(":\t", 1) for l in open("/proc/self/status").read().splitlines() if ":\t" in l)
def fds():
    kinds = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            kinds.append(os.readlink("/proc/self/fd/" + fd).split(":")[0])
        except OSError:
            pass
    # standard input is nothing to read either way: /dev/null, or a pipe whose other end is closed
    return sorted(k for k in kinds if k not in ("socket", "anon_inode", "pipe", "/dev/null") and "/.ipython/" not in k)
print(json.dumps({
    "sys.path": sys.path, "flags": str(sys.flags), "prefix": [sys.prefix, sys.exec_prefix, sys.base_prefix],
    "executable": sys.executable, "argv": [a for a in sys.argv if not a.endswith(".json")],
    "umask": status["Umask"], "groups": sorted(os.getgroups()), "ids": [os.getresuid(), os.getresgid()],
    "caps": [status[k] for k in ("CapInh", "CapPrm", "CapEff", "CapAmb")], "nnp": status["NoNewPrivs"],
    "limits": [resource.getrlimit(getattr(resource, n)) for n in dir(resource) if n.startswith("RLIMIT_")],
    "signals": {s.name: str(signal.getsignal(s)).split(" at ")[0] for s in signal.Signals},
    "masks": [status[k] for k in ("SigBlk", "SigIgn", "SigCgt")],
    "fds": fds(), "locale": [locale.getlocale(), locale.getpreferredencoding(), sys.getfilesystemencoding()],
    "cwd": os.getcwd(), "home": os.path.expanduser("~"), "tmp": tempfile.gettempdir(),
    "site": [site.ENABLE_USER_SITE, site.getuserbase(), site.getusersitepackages()],
    "userbase": sysconfig.get_config_var("userbase"), "purelib": sysconfig.get_path("purelib"),
    "start_method": multiprocessing.get_start_method(), "main": sys.modules["__main__"].__name__,
    "stdin": sys.stdin.encoding if sys.stdin else None, "recursion": sys.getrecursionlimit(),
    "switch": sys.getswitchinterval(), "gc": [gc.isenabled(), gc.get_threshold()], # an executed kernel watches its parent from a thread; the agent watches for a forked one
    "threads": sorted(t.name for t in threading.enumerate() if "ParentPoller" not in type(t).__name__),
    "policy": type(asyncio.get_event_loop_policy()).__name__, "excepthook": sys.excepthook.__qualname__,
    "hashseed": sys.flags.hash_randomization, "dumpable": os.stat("/proc/self/environ").st_uid == os.getuid(),
    "env": {k: v for k, v in os.environ.items() if k not in ("JPY_SESSION_NAME", "JPY_PARENT_PID", "_")},
    "oom": open("/proc/self/oom_score_adj").read(), "cgroup": open("/proc/self/cgroup").read(),
    "session": os.getsid(0) == os.getpid(), "nice": os.nice(0),
}, default=str))
"""

EXECUTED_SERVER = [
    *("env", "--default-signal", str(PREFIX / "bin/python"), "-m", "jupyterhub.singleuser"),  # ours may ignore some
    "--ServerApp.kernel_spec_manager_class=hubwright.envs.kernels.KernelSpecs",
]
DRAWN = """
import random, uuid, numpy, multiprocessing, tempfile
print([
    random.random(), numpy.random.rand(), numpy.random.default_rng().random(), str(uuid.uuid4()),
    multiprocessing.current_process().authkey.hex(), tempfile.mktemp(),
])
"""


@pytest.fixture(scope="module")
def stranger(module_account: Callable[..., Account]) -> Account:
    return module_account()


@pytest.fixture(scope="module")
def notebook(service: Callable[..., Service], person: Account) -> Notebook:
    yaml = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
engine: {kind: local, memory: 2G, processes: 400}
environments: {default: {preload: [numpy, pandas]}}
"""
    running = service(yaml)
    script = running.environments / ".own/current/kernel/launch"
    person.add_kernel("executed", [str(script), "-f", "{connection_file}"])
    return running.up().start(person.name)


def processes_of(uid: int) -> dict[int, str]:
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.stat().st_uid == uid:
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue
    return found


def test_a_forked_kernel_is_the_kernel_that_execution_gives(notebook: Notebook) -> None:
    """Paths, flags, identity, limits, signals, descriptors, locale, environment: the same, name by name."""
    forked = notebook.kernel("python3").value(PROBE)
    executed = notebook.kernel("executed").value(PROBE)
    assert not list(_differences(forked, executed)), "\n".join(_differences(forked, executed))


def _differences(forked: dict[str, Any], executed: dict[str, Any]) -> Iterator[str]:
    for name, value in forked.items():
        other = executed[name]
        if isinstance(value, dict):
            yield from (
                f"{name} {k}: {value.get(k)} != {other.get(k)}"
                for k in {*value, *other}
                if value.get(k) != other.get(k)
            )
        elif value != other:
            yield f"{name}: {value} != {other}"


def test_the_kernel_was_forked_and_the_other_executed(notebook: Notebook, person: Account) -> None:
    """Else the comparison would compare a thing with itself."""
    one, two = notebook.kernel("python3"), notebook.kernel("executed")
    titles = processes_of(person.uid)
    assert titles[int(one.run("import os; print(os.getpid())"))].startswith(f"kernel {person.name}/ {one.id}")
    assert "ipykernel_launcher" in titles[int(two.run("import os; print(os.getpid())"))]


def test_two_kernels_draw_different_random_numbers(notebook: Notebook) -> None:
    """Python's, numpy's old and new generator, uuid, and the key of multiprocessing."""
    one, two = (eval(notebook.kernel().run(DRAWN)) for _ in range(2))
    assert all(a != b for a, b in zip(one, two, strict=True))


def test_kernels_of_two_users_draw_different_random_numbers(notebook: Notebook, stranger: Account) -> None:
    """Both come from the one process that has imported everything."""
    two = notebook.service.start(stranger.name)
    one, other = (eval(each.kernel().run(DRAWN)) for each in (notebook, two))
    notebook.service.stop(stranger.name)
    assert all(a != b for a, b in zip(one, other, strict=True))


def test_blas_has_its_threads_again(notebook: Notebook) -> None:
    """Held to one for the import before the fork, restored in the kernel."""
    code = "import numpy, threadpoolctl; print([p['num_threads'] for p in threadpoolctl.threadpool_info()])"
    assert notebook.kernel().value(code) == [len(os.sched_getaffinity(0))]
    product = "import numpy; a = numpy.ones((600, 600)); print(float((a @ a)[0, 0]))"
    assert notebook.kernel().run(product).strip() == "600.0"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_works_in_a_forked_kernel(notebook: Notebook, method: str) -> None:
    code = (
        "import multiprocessing, math\n"
        f"with multiprocessing.get_context({method!r}).Pool(2) as pool:\n    print(pool.map(math.factorial, [3, 4]))"
    )
    assert notebook.kernel().run(code).strip() == "[6, 24]"


def test_paths_that_were_computed_before_the_fork_are_the_users(notebook: Notebook, person: Account) -> None:
    code = (
        "import json, sys, sysconfig, jupyter_core.paths as p, multiprocessing.spawn as s\n"
        "print(json.dumps([sysconfig.get_paths(), p.ENV_JUPYTER_PATH, p.ENV_CONFIG_PATH, str(s.get_executable())]))"
    )
    forked, executed = (notebook.kernel(name).value(code) for name in ("python3", "executed"))
    assert forked == executed
    assert forked[0]["purelib"].startswith(str(person.home))


def test_pip_behaves_the_same(notebook: Notebook) -> None:
    """`%pip` runs the environment's own pip, forked or executed."""
    seen = [notebook.kernel(name).run("%pip --version").split(" from ")[1] for name in ("python3", "executed")]
    assert seen[0] == seen[1]
    assert str(PREFIX) in seen[0]


def test_pip_installs_to_the_same_place(notebook: Notebook, person: Account) -> None:
    """With `--user`, which an environment may refuse, the same answer; what was installed is the same import."""
    package, seen = wheels.write(person.home, "hwt_tiny", files={"hwt_tiny.py": "ANSWER = 42\n"}), []
    for name in ("python3", "executed"):
        kernel = notebook.kernel(name)
        user = kernel.run(f"%pip install --no-index --user {package}")
        there = kernel.run(
            "import importlib\ntry: print(importlib.import_module('hwt_tiny').__file__)\nexcept ImportError as e: print(e)"
        )
        kernel.run("%pip uninstall --yes hwt_tiny")
        own = kernel.run(f"%pip install --no-index --target {person.home}/{name} {package}")
        assert "Successfully installed hwt-tiny-1.0" in own
        code = f"import sys; sys.path.insert(0, '{person.home}/{name}'); sys.modules.pop('hwt_tiny', None)\nimport hwt_tiny; print(hwt_tiny.ANSWER, hwt_tiny.__file__)"
        assert kernel.run(code).split() == ["42", f"{person.home}/{name}/hwt_tiny.py"]
        seen.append((user, there))
    assert seen[0] == seen[1]
    refused = "User site-packages are not visible in this virtualenv"
    assert refused in seen[0][0] or seen[0][1].startswith(str(person.home))


def test_interrupt_reaches_a_forked_kernel(notebook: Notebook) -> None:
    """Asked for once the cell says that it is where it can be interrupted: before, the kernel's own code would be."""
    kernel = notebook.kernel()
    number = kernel.send(
        "import time\ntry:\n    print('begun', flush=True)\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    print('stopped')"
    )
    text = ""
    for message in kernel.until_idle(number):
        if message["msg_type"] == "stream":
            text += message["content"]["text"]
            if text == "begun\n":
                notebook.ask("POST", f"api/kernels/{kernel.id}/interrupt")
    assert text.split() == ["begun", "stopped"]


def test_interrupt_reaches_a_cell_that_awaits(notebook: Notebook) -> None:
    """At once: a plain ipykernel goes on waiting until what is awaited has come."""
    kernel = notebook.kernel()
    for _ in range(2):
        number = kernel.send("import asyncio\nprint('begun', flush=True)\nawait asyncio.sleep(60)")
        begin, told = time.monotonic(), ""
        for message in kernel.until_idle(number):
            if message["msg_type"] == "stream" and "begun" in message["content"]["text"]:
                notebook.ask("POST", f"api/kernels/{kernel.id}/interrupt")
            if message["msg_type"] == "error":
                told = message["content"]["ename"]
        assert told == "CancelledError"
        assert time.monotonic() - begin < 30
        assert kernel.run("6 * 7") == "42"


@pytest.mark.parametrize("killed", [False, True])
def test_nothing_of_a_kernel_that_is_shut_down_stays_among_its_sockets(notebook: Notebook, killed: bool) -> None:
    """Also of one that does not hear that it should end."""
    kernel = notebook.kernel()
    pid = int(kernel.run("import os; print(os.getpid())"))
    asked = "from ipykernel.kernelapp import IPKernelApp; print(IPKernelApp.instance().ip + '-pipe')"
    pipe = Path(kernel.run(asked).strip())
    assert pipe.is_socket()
    if killed:
        os.kill(pid, signal.SIGSTOP)
    assert notebook.ask("DELETE", f"api/kernels/{kernel.id}").status_code == 204
    wait_until(lambda: not list(pipe.parent.glob(f"{pipe.name.removesuffix('-pipe')}*")))


def test_the_debugger_of_a_forked_kernel_stops_at_a_breakpoint(notebook: Notebook) -> None:
    """It is told at its start, not at the kernel's, which files are not the user's."""
    kernel = notebook.kernel()
    numbers = itertools.count(1)

    def ask(command: str, **arguments: Any) -> dict[str, Any]:
        number = f"debug-{next(numbers)}"
        header = {"msg_id": number, "msg_type": "debug_request", "username": "", "session": "x", "version": "5.3"}
        content = {"type": "request", "seq": 1, "command": command, "arguments": arguments}
        message = {"header": header, "parent_header": {}, "metadata": {}, "channel": "control", "content": content}
        kernel.ws.send(json.dumps({**message, "buffers": []}))
        answers = (one["content"] for one in kernel.messages(number) if one["msg_type"] == "debug_reply")
        answer: dict[str, Any] = next(answers)
        assert answer["success"], answer
        return answer

    code = "a = 6\nb = a * 7\nprint(b)"
    ask("initialize", clientID="test", adapterID="", linesStartAt1=True, columnsStartAt1=True, pathFormat="path")
    ask("attach")
    assert kernel.value("print(len(get_ipython().kernel.debugger.kernel_modules))") > 1000
    cell = ask("dumpCell", code=code)["body"]["sourcePath"]
    ask("setBreakpoints", source={"path": cell}, breakpoints=[{"line": 2}])
    ask("configurationDone")
    kernel.send(code)
    events: Iterator[dict[str, Any]] = (json.loads(kernel.ws.recv()) for _ in range(200))
    stopped = next(one for one in events if one["msg_type"] == "debug_event" and one["content"]["event"] == "stopped")
    assert stopped["content"]["body"]["reason"] == "breakpoint"
    frames = ask("stackTrace", threadId=stopped["content"]["body"]["threadId"])["body"]["stackFrames"]
    assert (frames[0]["source"]["path"], frames[0]["line"]) == (cell, 2)
    ask("disconnect", restart=False, terminateDebuggee=False)


def test_a_forked_kernel_restarts(notebook: Notebook) -> None:
    kernel = notebook.kernel()
    kernel.run("a = 1")
    assert notebook.ask("POST", f"api/kernels/{kernel.id}/restart").status_code == 200
    kernel.ws.close()
    again = type(kernel)(notebook, kernel.id)
    assert again.run("a").startswith("NameError")


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_a_forked_server_is_the_server_that_execution_gives(notebook: Notebook, person: Account) -> None:
    """Compared from outside with `jupyterhub-singleuser` executed by the same user with the same environment."""
    pid = notebook.pid
    env = dict(
        pair.split("=", 1) for pair in Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0") if "=" in pair
    )
    env = env or _environment_of(notebook)
    entry = pwd.getpwnam(person.name)
    from tests.running import port

    number = port()
    env["JUPYTERHUB_SERVICE_URL"] = f"http://127.0.0.1:{number}{notebook.base}"
    env["JUPYTER_RUNTIME_DIR"] = str(person.home / "runtime")
    executed = subprocess.Popen(
        EXECUTED_SERVER,
        env=env,
        cwd=entry.pw_dir,
        user=entry.pw_uid,
        group=entry.pw_gid,
        extra_groups=os.getgrouplist(person.name, entry.pw_gid),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        umask=0o022,
    )
    try:
        import httpx
        from tests.conftest import wait_until

        def answers() -> bool:
            try:
                return httpx.get(f"http://127.0.0.1:{number}{notebook.base}api", **PLAIN).status_code == 200
            except httpx.HTTPError:
                return False

        wait_until(answers, 60)
        for name in ("Uid", "Gid", "Groups", "Umask", "SigBlk", "SigIgn", "SigCgt", "CapEff", "CapPrm", "NoNewPrivs"):
            assert _status(pid)[name] == _status(executed.pid)[name], name
        same = [Path(f"/proc/{number}/limits").read_text() for number in (pid, executed.pid)]
        assert same[0] == same[1]
        assert os.readlink(f"/proc/{pid}/cwd") == os.readlink(f"/proc/{executed.pid}/cwd")
        token = {"Authorization": f"token {notebook.service.token(person.name)}"}
        address = f"http://127.0.0.1:{number}{notebook.base}"
        for path in ("api", "api/kernelspecs", "api/contents", "lab/api/settings", "lab/api/workspaces", "api/me"):
            one, two = (
                notebook.ask("GET", path).json(),
                httpx.get(address + path, headers=token, timeout=60, **PLAIN).json(),
            )
            assert _plain(one) == _plain(two), path
    finally:
        executed.terminate()
        executed.wait(30)


def _environment_of(notebook: Notebook) -> dict[str, str]:
    found: dict[str, str] = notebook.kernel().value("import os, json; print(json.dumps(dict(os.environ)))")
    return found


def _plain(model: Any) -> Any:
    """A model without what differs between any two moments."""
    if isinstance(model, dict):
        return {k: _plain(v) for k, v in model.items() if k not in ("last_modified", "created", "last_activity")}
    return [_plain(v) for v in model] if isinstance(model, list) else model
