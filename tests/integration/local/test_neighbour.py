"""Another local user: he tries every door, and gets nothing of use."""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
import stat
import subprocess
import textwrap
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.conftest import Account, wait_until
from tests.running import PLAIN, PREFIX, Died, Kernel, Service, frozen

from hubwright.care.watch import read_ledger
from hubwright.fields import server_key
from hubwright.machine.process import Process

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def alice(module_account: Callable[..., Account]) -> Account:
    return module_account()


@pytest.fixture(scope="module")
def mallory(module_account: Callable[..., Account]) -> Account:
    return module_account()


@pytest.fixture(scope="module")
def hers(service: Callable[..., Service], alice: Account, mallory: Account) -> Kernel:
    """Alice's kernel, with a secret in a variable; Mallory has a server of his own beside it."""
    running = service().up()
    kernel = running.start(alice.name).kernel()
    kernel.run("secret = 'al1ces-own'")
    running.start(mallory.name).kernel()
    return kernel


@pytest.fixture
def kernel(hers: Kernel) -> Kernel:
    """The same by a websocket of its own: one that nobody listens to for 90 seconds is closed."""
    return Kernel(hers.notebook, hers.id)


def as_user(account: Account, code: str, *words: str, python: str = "/usr/bin/python3") -> Any:
    """Run Python as that user, in a shell's place, and return the JSON it prints."""
    done = subprocess.run(
        [python, "-c", textwrap.dedent(code), *words],
        user=account.uid,
        group=account.gid,
        extra_groups=os.getgrouplist(account.name, account.gid),
        capture_output=True,
        text=True,
        timeout=120,
        cwd="/",
        env={"HOME": str(account.home), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def succeeded(account: Account, attempts: dict[str, str], path: Path) -> Any:
    """Have that user try each piece of Python with `path`; return the names of those that the machine let pass."""
    code = """
        import json, os, socket, sys
        path, got = sys.argv[1], []
        for name, attempt in json.loads(sys.argv[2]).items():
            try:
                exec(attempt)
                got.append(name)
            except OSError:
                pass
        print(json.dumps(got))
    """
    return as_user(account, code, str(path), json.dumps(attempts))


def test_he_cannot_connect_to_any_socket_of_the_service(kernel: Kernel, mallory: Account) -> None:
    """Hub, fork server, account helper, Alice's server: the kernel refuses the connection itself."""
    run = kernel.notebook.service.run
    sockets = [str(path) for path in run.rglob("*.sock") if path.name != "api.sock"]
    assert {Path(path).name for path in sockets} >= {"hub.sock", "fork.sock", "start.sock", "account.sock", "http.sock"}
    code = """
        import json, socket, sys
        got = []
        for path in sys.argv[1:]:
            try:
                socket.socket(socket.AF_UNIX).connect(path)
                got.append(path)
            except OSError:
                pass
        print(json.dumps(got))
    """
    assert as_user(mallory, code, *sockets) == []


def test_he_cannot_connect_to_what_she_or_the_service_listens_on(
    kernel: Kernel, alice: Account, mallory: Account
) -> None:
    """Every Unix socket that the kernel says one of these processes listens on, with a path or without; her channels."""
    service = kernel.notebook.service
    pids = {pid for pid in _tree(service.process.pid if service.process else 0) if _uid(_proc(pid)) != mallory.uid}
    pids |= {int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _uid(entry) == alice.uid}
    listening = _unix_listeners(pids)
    channels = [str(one) for one in (service.site.servers / server_key(alice.name, "") / "r").glob("kernel-*-ipc-*")]
    assert len(channels) >= 5 and set(channels) <= set(listening)
    assert {"hub.sock", "fork.sock", "start.sock", "account.sock"} <= {Path(one).name for one in listening}
    paths = [one for one in listening if one != str(service.site.api_socket)]
    code = """
        import json, socket, sys
        got = []
        for path in sys.argv[1:]:
            for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_UNIX, kind) as one:
                    try:
                        one.connect(path.replace("@", "\\0") if path.startswith("@") else path)
                        got.append(path)
                    except OSError:
                        pass
        print(json.dumps(got))
    """
    assert as_user(mallory, code, *paths) == []


def test_he_cannot_enter_her_folders(kernel: Kernel, alice: Account, mallory: Account) -> None:
    """Home, runtime folder, kernel channels, logs, secrets, database, routing table."""
    service = kernel.notebook.service
    place = service.site.servers / server_key(alice.name, "")
    channels = list((place / "r").glob("kernel-*-ipc-*"))
    assert len(channels) >= 5
    closed = [alice.home, place / "r", service.state / "logs", service.state / "secrets", service.run / "routes"]
    files = [*channels, service.state / "hub.sqlite", place / "server.json", service.run / "hub.json"]
    code = """
        import json, os, sys
        got = []
        for path in sys.argv[1:]:
            try:
                os.listdir(path) if os.path.isdir(path) else open(path).read(1)
                got.append(path)
            except OSError:
                pass
            try:
                open(os.path.join(path, "x") if os.path.isdir(path) else path, "a")
                got.append("written: " + path)
            except OSError:
                pass
        print(json.dumps(got))
    """
    assert as_user(mallory, code, *map(str, [*closed, *files])) == []


def test_every_listening_port_refuses_him(kernel: Kernel, alice: Account, mallory: Account) -> None:
    """Over TCP there is only Caddy: nothing of Alice's server answers without her token, no admin port is open."""
    service = kernel.notebook.service
    tree = _tree(service.process.pid if service.process else 0)
    listening = _tcp_listeners(tree)
    assert listening == {service.port}
    code = """
        import http.client, json, sys
        base, got = sys.argv[1], {}
        for port in sys.argv[2:]:
            for path in (base + "api/kernels", base + "api/contents", base + "tree", base + "lab", "/config/", "/hub/api/users",
                         base + "static/../../api/kernels", "/metrics", "/debug/pprof/"):
                c = http.client.HTTPConnection("127.0.0.1", int(port), timeout=20)
                c.request("GET", path)
                got[port + path] = c.getresponse().status
        print(json.dumps(got))
    """
    seen = as_user(mallory, code, kernel.notebook.base, *map(str, sorted(listening)))
    assert {path: status for path, status in seen.items() if status == 200 or status >= 500} == {}
    assert {status for path, status in seen.items() if "/api/kernels" in path} <= {403, 404, 302}


def test_the_socket_that_all_may_use_passes_the_api_only(kernel: Kernel, mallory: Account) -> None:
    """Every server asks the hub there; without a token there is nothing to be had."""
    service = kernel.notebook.service
    code = """
        import http.client, json, socket, sys
        got = {}
        for path in sys.argv[2:]:
            c = http.client.HTTPConnection("localhost", timeout=20)
            c.sock = socket.socket(socket.AF_UNIX)
            c.sock.connect(sys.argv[1])
            c.request("GET", path)
            got[path] = c.getresponse().status
        print(json.dumps(got))
    """
    api = ["/hub/api/users", "/hub/api/user", "/hub/api/info"]
    closed = ["/", "/hub/login", "/hub/home", kernel.notebook.base + "api/kernels", "/hub/api/../login"]
    seen = as_user(mallory, code, str(service.site.api_socket), *api, *closed)
    assert {seen[path] for path in api} <= {401, 403}
    assert {seen[path] for path in closed} == {404}


def test_nobody_can_stand_in_for_the_hub_while_it_is_stopped(
    service: Callable[..., Service], alice: Account, mallory: Account
) -> None:
    """Notebooks outlive `up --keep`, and an `up` and a Caddy that are killed: their tokens go to nobody else."""
    running = service().up("--keep")
    notebook = running.start(alice.name)
    attempts = {
        "bound": "socket.socket(socket.AF_UNIX).bind(path)",
        "removed": "os.unlink(path)",
        "moved": "os.rename(path, path + 'x')",
        "made another": "socket.socket(socket.AF_UNIX).bind(path + 'x')",
        "moved the folder": "os.rename(os.path.dirname(path), os.path.dirname(path) + 'x')",
        "changed the mode": "os.chmod(path, 0o600)",
        "linked": "os.symlink('/tmp', path + 'y')",
        "connected": "socket.socket(socket.AF_UNIX).connect(path)",
    }
    api = running.site.api_socket
    assert (
        notebook.kernel()
        .value("import json, os; print(json.dumps(os.environ['JUPYTERHUB_API_URL']))")
        .startswith("http+unix://")
    )
    for number in (signal.SIGTERM, signal.SIGKILL):
        caddy = Process.of(running.part("caddy"))
        hub = Process.of(running.part("hub"))
        assert caddy and hub
        running.down(number)
        for part in (caddy, hub):
            part.stop(0)
        assert [one["user"] for one in running.listed()] == [alice.name]  # still running
        assert (api.lstat().st_uid, stat.S_ISSOCK(api.lstat().st_mode)) == (0, True)
        assert succeeded(mallory, attempts, api) == []
        assert _tcp_listeners(_tree(running.part("fork-server"))) == set()
        running.up("--keep")
        assert notebook.ask("GET", "api/contents").status_code == 200  # the server asks the hub whose token this is
    running.down()


def test_what_the_hubs_account_leaves_in_the_sockets_place_is_replaced(service: Callable[..., Service]) -> None:
    """A socket of its own or a link; a folder, which is not removed, is told."""
    running = service()
    running.up().down()
    api, hub = running.run / "api.sock", pwd.getpwnam("hubwright").pw_uid
    with socket.socket(socket.AF_UNIX) as other:
        api.unlink()
        other.bind(str(api))
        os.chown(api, hub, hub)
        running.up()
        assert api.lstat().st_uid == 0
        assert json.loads(running.cli("status", "--json", check=False).stdout)["users"] is not None
        running.down()
    api.unlink()
    api.symlink_to("/var/lib/hwt-nothing")
    running.up().down()
    assert stat.S_ISSOCK(api.lstat().st_mode)
    api.unlink()
    api.mkdir()
    with pytest.raises(Died, match="Move away what is there"):
        running.up()
    api.rmdir()


def test_root_takes_nothing_from_where_the_hubs_account_writes(service: Callable[..., Service]) -> None:
    """No settings below what was once root's home, and no record: each would have been run or written as root."""
    ours = service().up()
    ours.down()
    planted = ours.folder / "planted"
    template = Path(".local/share/jupyter/nbconvert/templates/base/conf.json")
    opened = {"type": "subprocess.Popen", "args": ["/usr/bin/touch", str(planted)]}
    left = {
        Path("merging.json"): {str(planted): "written by root"},
        Path("parts.json"): {"hub": {"pid": os.getpid(), "started": 0, "fingerprint": ""}},
        template: {"preprocessors": {"1": opened}},
    }
    (ours.run / "parts.json").unlink(missing_ok=True)
    hub = ["runuser", "-u", ours.site.account, "--"]
    subprocess.run([*hub, "mkdir", "-p", str((ours.run / template).parent)], check=True)
    for name, record in left.items():
        subprocess.run([*hub, "tee", str(ours.run / name)], input=json.dumps(record), text=True, check=True)
    assert read_ledger(ours.run / "parts.json") == {}
    ours.up()
    ours.listed()
    assert not planted.exists()


def test_the_command_line_reads_no_other_file_for_its_token(service: Callable[..., Service]) -> None:
    """The hub's account may put anything there, and root reads it: a link, a pipe, another's file, two lines."""
    running = service().up()
    token = running.state / "secrets" / "cli.token"
    kept = token.with_name("kept")
    token.rename(kept)
    for make in (
        lambda: token.symlink_to("/etc/shadow"),
        lambda: os.mkfifo(token),
        lambda: token.mkdir(),
        lambda: (token.write_text("a" * 64), os.chown(token, 1, 1)),
        lambda: os.link("/etc/hostname", token),
        lambda: (token.write_text("a\nHost: b"), os.chown(token, kept.stat().st_uid, -1)),
    ):
        make()
        done = running.cli("token", "root", check=False)
        assert done.returncode == 77, done.stderr
        assert "cli.token" in done.stderr and "Traceback" not in done.stderr
        token.rmdir() if token.is_dir() else token.unlink()
    kept.rename(token)
    running.down()


def test_his_token_opens_nothing_of_hers(kernel: Kernel, alice: Account, mallory: Account) -> None:
    service = kernel.notebook.service
    token = service.token(mallory.name)
    for path in ("api/kernels", "api/contents", f"api/kernels/{kernel.id}", "lab"):
        assert kernel.notebook.ask("GET", path, token=token).status_code in (403, 404), path
    headers = {"Authorization": f"token {token}"}
    assert service.api("GET", f"/users/{alice.name}", headers=headers).status_code in (403, 404)
    assert service.api("POST", f"/users/{alice.name}/server", {}, headers=headers).status_code in (403, 404)
    assert service.api("DELETE", f"/users/{alice.name}/server", headers=headers).status_code in (403, 404)


def test_her_processes_are_closed_to_him(kernel: Kernel, alice: Account, mallory: Account) -> None:
    """No environment, memory, descriptor or signal of hers, whether server, agent or kernel."""
    pids = [entry.name for entry in Path("/proc").glob("[0-9]*") if _uid(entry) == alice.uid]
    assert len(pids) >= 3
    code = """
        import json, os, sys
        got = []
        for pid in sys.argv[1:]:
            for name in ("environ", "mem", "maps", "fd", "cwd"):
                try:
                    path = f"/proc/{pid}/{name}"
                    os.listdir(path) if name == "fd" else os.readlink(path) if name == "cwd" else open(path, "rb").read(1)
                    got.append(path)
                except OSError:
                    pass
            try:
                os.kill(int(pid), 9)
                got.append("killed " + pid)
            except OSError:
                pass
        print(json.dumps(got))
    """
    assert as_user(mallory, code, *pids) == []


def test_her_entries_in_proc_are_hers(kernel: Kernel, alice: Account) -> None:
    """A forked process would be root's there, and its own tools blind, were it not made dumpable again."""
    for pid in (kernel.notebook.pid, int(kernel.run("import os; print(os.getpid())"))):
        assert _uid(Path(f"/proc/{pid}/environ")) == alice.uid


def test_no_memory_of_his_holds_a_secret_of_hers_or_of_the_hub(
    kernel: Kernel, alice: Account, mallory: Account
) -> None:
    """Every readable page of his server, agent and kernel, searched as root for her token and the hub's secrets."""
    service = kernel.notebook.service
    hers = kernel.run("import os; print(os.environ['JUPYTERHUB_API_TOKEN'])").strip()
    secrets = [path.read_text().strip() for path in (service.state / "secrets").iterdir() if path.is_file()]
    assert len(hers) >= 32
    needles = {word.encode() for word in (hers, "al1ces-own", *secrets) if len(word) >= 10}
    assert len(needles) >= 4
    pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _uid(entry) == mallory.uid]
    assert len(pids) >= 3
    for pid in [*pids, service.part("fork-server")]:
        for needle in needles:
            assert not _holds(pid, needle), f"{pid} holds {needle!r}"
    own = [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _uid(entry) == alice.uid]
    assert any(_holds(pid, hers.encode()) for pid in own), "the search itself must be able to find it"


def test_nothing_of_the_service_is_inherited(kernel: Kernel) -> None:
    """A kernel's and a server's descriptors: its own files and sockets, none of the fork server's."""
    allowed = ("/dev/null", "/dev/urandom", "socket:", "anon_inode:", "pipe:", "/proc/", "/dev/pts", "/dev/ptmx")
    pipe = str(kernel.notebook.service.site.servers / server_key(kernel.notebook.user, "") / "out")
    history = str(Path("~" + kernel.notebook.user).expanduser())
    for pid in (kernel.notebook.pid, int(kernel.run("import os; print(os.getpid())"))):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(entry)
            except FileNotFoundError:
                continue
            assert target.startswith((*allowed, history)) or target == pipe, target
            assert ".sock" not in target


def test_the_title_names_user_and_server(kernel: Kernel, alice: Account) -> None:
    title = Path(f"/proc/{kernel.notebook.pid}/cmdline").read_text()
    assert title.startswith(f"notebook-server {alice.name}/")


def test_root_runs_the_two_helpers_and_what_starts_them(kernel: Kernel, alice: Account, mallory: Account) -> None:
    """Hub, Caddy and all else of the service are its own account's, which cannot become another; servers are their users'."""
    service = kernel.notebook.service
    supervisor = service.process.pid if service.process else 0
    roots = {supervisor, service.part("fork-server"), service.part("account-helper")}
    people = {alice.uid, mallory.uid}
    for pid in _tree(supervisor):
        try:
            lines = (_proc(pid) / "status").read_text().splitlines()
        except OSError:
            continue  # has just ended
        told = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        uids = set(map(int, told["Uid"].split()))
        if pid in roots:
            assert uids == {0}
        elif not uids & people:
            assert uids == {pwd.getpwnam("hubwright").pw_uid}, told["Name"]
        if pid not in roots:
            assert {int(told[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {0}, told["Name"]
    account = pwd.getpwnam("hubwright")
    assert account.pw_shell.endswith("nologin") and account.pw_uid < 1000


def test_root_and_system_accounts_get_no_server(kernel: Kernel) -> None:
    """The fork server refuses them itself, whatever the hub asks."""
    from hubwright.machine import wire

    for name in ("root", "daemon", "hubwright", "nobody-there"):
        answer = wire.call(kernel.notebook.service.run / "start.sock", {"user": name, "server": "", "env": {}})
        assert not answer["ok"] and answer["error"], answer


@pytest.mark.parametrize(
    "line", [b"\n", b"{}\n", b"[]\n", b"nonsense\n", b'{"user":5}\n', b'{"user":"a\\u0000b"}\n', b"x" * 300_000, b""]
)
def test_nonsense_on_its_sockets_leaves_the_fork_server_well(kernel: Kernel, line: bytes) -> None:
    run = kernel.notebook.service.run
    for name in ("fork.sock", "start.sock"):
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(20)
            caller.connect(str(run / name))
            try:
                caller.sendall(line)
                caller.shutdown(socket.SHUT_WR)
                caller.recv(65536)
            except (BrokenPipeError, ConnectionResetError):
                pass
    assert len(kernel.notebook.service.listed()) >= 2


def test_a_dead_servers_address_cannot_be_taken(kernel: Kernel, mallory: Account) -> None:
    """Before the route is gone: nobody but root can put a socket where Caddy still looks."""
    place = kernel.notebook.service.site.servers
    code = """
        import json, os, socket, sys
        got = []
        for path in sys.argv[1:]:
            try:
                socket.socket(socket.AF_UNIX).bind(path)
                got.append(path)
            except OSError:
                pass
            try:
                os.rename(path, path + "x")
                got.append("moved " + path)
            except OSError:
                pass
        print(json.dumps(got))
    """
    taken = [place / "0123456789abcdef" / "http.sock", place / "x.sock"]
    taken += [one / "http.sock" for one in place.iterdir()] + [one / "new.sock" for one in place.iterdir()]
    assert as_user(mallory, code, *map(str, taken)) == []


def test_nor_while_its_route_is_still_there(
    kernel: Kernel, module_account: Callable[..., Account], mallory: Account
) -> None:
    """The hub is held up, so that Caddy goes on to send people to a server that was killed."""
    service, owner = kernel.notebook.service, module_account()
    victim = service.start(owner.name)
    place, died = service.site.servers / server_key(owner.name, ""), Process.of(victim.pid)
    assert died and victim.ask("GET", "api").status_code == 200
    attempts = {
        "bound": "socket.socket(socket.AF_UNIX).bind(path + '/http.sock')",
        "made the folder": "os.mkdir(path)",
        "linked the folder": "os.symlink('/tmp', path)",
        "linked": "os.symlink('/tmp/x.sock', path + '/http.sock')",
        "removed": "os.unlink(path + '/http.sock')",
        "moved": "os.rename(path, path + 'x')",
    }
    with frozen(service.part("hub")):
        died.signal(signal.SIGKILL)
        assert died.wait(20)
        for _ in range(2):  # its folder is there, or not any more
            assert _routes_of(service, owner.name), "Caddy still leads there"
            assert succeeded(mallory, attempts, place) == []
            answer = httpx.get(f"{service.url}{victim.base}api", timeout=20, **PLAIN)
            assert answer.status_code >= 500, answer.text
            wait_until(lambda: not place.exists(), 20)
    wait_until(lambda: not service.server(owner.name) and not _routes_of(service, owner.name), 40)


CAREFUL = """
import signal, time
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, lambda number, _: print(number, flush=True))
print("ready", flush=True)
while True: time.sleep(60)
"""


def test_a_reused_pid_is_not_taken_for_a_server(kernel: Kernel, alice: Account, mallory: Account) -> None:
    """A record with Mallory's pid and another start time: a fork server that is started again leaves him alone."""
    service = kernel.notebook.service
    key, before = server_key(alice.name, "gone"), service.part("fork-server")
    words = json.loads((service.site.servers / server_key(alice.name, "") / "server.json").read_text())
    argv = ["/usr/bin/python3", "-c", CAREFUL]
    with subprocess.Popen(argv, user=mallory.uid, group=mallory.gid, extra_groups=[], stdout=subprocess.PIPE) as his:
        try:
            assert his.stdout and his.stdout.readline() == b"ready\n"
            real = Process.of(his.pid)
            assert real
            group = words["group"].replace(server_key(alice.name, ""), key)
            words |= {"server": "gone", "pid": real.pid, "started": real.started - 1, "group": group}
            (service.site.servers / key).mkdir(mode=0o711)
            (service.site.servers / key / "server.json").write_text(json.dumps(words))
            os.kill(before, signal.SIGKILL)
            wait_until(lambda: service.part("fork-server") not in (0, before), 40)
            assert sorted(one["user"] for one in service.listed() if one["server"] == "gone") == []
            assert {one["user"] for one in service.listed()} >= {alice.name, mallory.name}
            wait_until(lambda: not (service.site.servers / key).exists(), 20)
            assert real.alive() and real.signal(0)
            assert not Process(real.pid, real.started - 1).signal(signal.SIGTERM)
            os.set_blocking(his.stdout.fileno(), False)
            assert his.stdout.read() is None, "no signal reached him"
        finally:
            his.kill()


def test_an_executed_kernels_port_takes_nothing_from_him(kernel: Kernel, alice: Account, mallory: Account) -> None:
    """A kernel that is executed opens a port of loopback for what its subprocesses print; it knows them by a secret."""
    alice.add_kernel("executed")
    executed = kernel.notebook.kernel("executed")
    pid = int(executed.run("import os; print(os.getpid())"))
    pids = {int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _uid(entry) == alice.uid}
    ports = _tcp_listeners(pids)
    assert pid in pids and ports, "there is something to try"
    code = """
        import json, os, socket, sys, zmq
        context, reached = zmq.Context(), []
        for port in map(int, sys.argv[1:]):
            for garbage in (b"", b"\\n", b"GET / HTTP/1.0\\r\\n\\r\\n", os.urandom(100_000)):
                with socket.create_connection(("127.0.0.1", port), 10) as one:
                    reached.append(port)
                    try:
                        one.sendall(garbage)
                    except OSError:
                        pass
            for secret in (b"", os.urandom(16), b"0" * 16):
                header = json.dumps({"msg_type": "stream", "msg_id": "x", "session": "x", "username": "x",
                                     "version": "5.3", "date": "2026-01-01T00:00:00Z"}).encode()
                content = json.dumps({"name": "stdout", "text": "forged-by-mallory"}).encode()
                with context.socket(zmq.PUSH) as push:
                    push.linger = 3000
                    push.connect(f"tcp://127.0.0.1:{port}")
                    push.send_multipart([secret, b"stream", b"<IDS|MSG>", b"", header, b"{}", b"{}", content])
        context.term()
        print(json.dumps(sorted(set(reached))))
    """
    assert as_user(mallory, code, *map(str, sorted(ports)), python=str(PREFIX / "bin" / "python")) == sorted(ports)
    heard = list(executed.until_idle(executed.send("import time; time.sleep(1); print('hers')")))
    streams = [(one["content"]["name"], one["content"]["text"]) for one in heard if one["msg_type"] == "stream"]
    assert [text for name, text in streams if name == "stdout"] == ["hers\n"]
    # ipykernel shows its own complaint of each to her, with what it was sent; nothing is taken for output or obeyed
    lines = "".join(text for name, text in streams if name == "stderr").splitlines()
    assert [line for line in lines if not line.startswith("Bad pipe message:")] == []
    assert int(executed.run("print(os.getpid())")) == pid
    assert kernel.run("1 + 1") == "2"


def _routes_of(service: Service, user: str) -> list[Path]:
    return [path for path in (service.run / "routes").rglob("*") if user in str(path)]


def _proc(pid: int) -> Path:
    return Path(f"/proc/{pid}")


def _uid(path: Path) -> int:
    try:
        return path.stat().st_uid
    except OSError:
        return -1


def _holds(pid: int, needle: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for line in maps:
                span, mode = line.split()[:2]
                if "r" not in mode or line.rstrip().endswith(("[vvar]", "[vsyscall]")):
                    continue
                start, end = (int(part, 16) for part in span.split("-"))
                try:
                    memory.seek(start)
                    if needle in memory.read(end - start):
                        return True
                except (OSError, ValueError, OverflowError):
                    continue
    except FileNotFoundError:
        pass
    return False


def _tree(pid: int) -> set[int]:
    found, todo = {pid}, [pid]
    while todo:
        parent = todo.pop()
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                children = [int(word) for word in path.read_text().split()]
            except OSError:
                continue
            todo += [child for child in children if child not in found]
            found |= set(children)
    return found


def _tcp_listeners(pids: set[int]) -> set[int]:
    """Return the TCP ports that these processes listen on."""
    ports = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":
                ports[words[9]] = int(words[1].split(":")[1], 16)
    return {ports[inode] for inode in _sockets(pids) if inode in ports}


def _unix_listeners(pids: set[int]) -> list[str]:
    """Return the paths of the Unix sockets that these processes listen on; an abstract one begins with `@`."""
    paths = {}
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        words = line.split(maxsplit=7)
        if len(words) == 8 and int(words[3], 16) & 0x10000:
            paths[words[6]] = words[7]
    return sorted({paths[inode] for inode in _sockets(pids) if inode in paths})


def _sockets(pids: set[int]) -> set[str]:
    """Return the inodes of the sockets that these processes hold."""
    found = set()
    for pid in pids:
        try:
            entries = list(Path(f"/proc/{pid}/fd").iterdir())
        except OSError:
            continue
        for entry in entries:
            with suppress(OSError):
                target = os.readlink(entry)
                found |= {target[8:-1]} if target.startswith("socket:[") else set()
    return found
