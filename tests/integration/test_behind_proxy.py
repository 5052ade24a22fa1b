"""A real hub behind nginx, Caddy and a tunnel, with the configuration that `hubwright proxy-config` prints."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.certificates import make
from tests.conftest import Account, wait_until
from tests.running import Kernel, Notebook, Service, port

NAME = "notebooks.test"
YAML = """\
hub:
  listen: "127.0.0.1:{port}"
  url: https://notebooks.test{path}
auth: {kind: pam, allow: all}
https: {kind: behind_proxy, trusted: [%s]}
"""
TRUSTING = YAML % '"127.0.0.1"'

SSHD = """\
ListenAddress 10.213.8.2:22
HostKey {folder}/host
AuthorizedKeysFile %h/allowed
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
AllowUsers {user}
"""


class Front:
    """A proxy of the test's own, started from what the command prints, with free ports in place of 80 and 443."""

    def __init__(self, hub: Service, program: str, *words: str) -> None:
        self.hub = hub
        self.program = program
        self.folder = Path(tempfile.mkdtemp(prefix="hwt-front-"))
        self.http, self.https = port(), port()
        pair = make(NAME)
        (self.folder / "c.pem").write_bytes(pair.chain)
        (self.folder / "k.pem").write_bytes(pair.key)
        self.context = ssl.create_default_context(cadata=pair.chain.decode())
        files = ["--certificate", f"{self.folder}/c.pem", "--key", f"{self.folder}/k.pem"]
        self.text = hub.cli("proxy-config", program, *files, *words).stdout
        self.process = self.start()
        wait_until(self.listens)

    def start(self) -> subprocess.Popen[bytes]:
        if self.program == "nginx":
            text = re.sub(r"\n *listen \[::\].*", "", self.text)
            text = text.replace("listen 80;", f"listen 127.0.0.1:{self.http};")
            text = text.replace("listen 443 ", f"listen 127.0.0.1:{self.https} ")
            whole = f"daemon off; pid {self.folder}/pid; error_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{text}}}\n"
            (self.folder / "conf").write_text(whole)
            argv = ["/usr/sbin/nginx", "-p", str(self.folder), "-c", str(self.folder / "conf"), "-e", "stderr"]
        else:
            own = f"\n{{\n admin off\n skip_install_trust\n http_port {self.http}\n https_port {self.https}\n"
            (self.folder / "conf").write_text(self.text.replace("\n{\n", own, 1))
            argv = [f"{sys.prefix}/bin/caddy", "run", "--adapter", "caddyfile", "--config", str(self.folder / "conf")]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        with (self.folder / "log").open("wb") as log:
            return subprocess.Popen(argv, stdout=log, stderr=log, env=environment)

    def listens(self) -> bool:
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            socket.create_connection(("127.0.0.1", self.https), timeout=1).close()
        except OSError:
            return False
        return True

    def client(self, **more: Any) -> httpx.Client:
        """Return a client that comes by the name, wherever the front really is."""
        transport = _ByName(self.https, self.context)
        return httpx.Client(transport=transport, base_url=f"https://{NAME}", timeout=30, **more)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        shutil.rmtree(self.folder)


class _ByName(httpx.HTTPTransport):
    def __init__(self, number: int, context: ssl.SSLContext) -> None:
        super().__init__(verify=context)
        self.number = number

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "sni_hostname": NAME}
        request.url = request.url.copy_with(host="127.0.0.1", port=self.number)
        return super().handle_request(request)


@pytest.fixture(scope="module")
def hub(service: Callable[..., Service]) -> Service:
    return service(TRUSTING.replace("{path}", "/")).up()


@pytest.fixture
def front() -> Iterator[Callable[..., Front]]:
    made: list[Front] = []

    def make_one(*words: Any) -> Front:
        if words[1] == "nginx" and not Path("/usr/sbin/nginx").exists():
            pytest.skip("needs nginx: apt install nginx-light")
        made.append(Front(*words))
        return made[-1]

    yield make_one
    for one in made:
        one.stop()


@pytest.mark.root
@pytest.mark.parametrize("program", ["nginx", "caddy"])
def test_a_person_works_through_it(hub: Service, person: Account, front: Callable[..., Front], program: str) -> None:
    """Login, a large upload, a kernel's websocket; plain HTTP is sent on; who is told is the client, not the proxy."""
    before = front(hub, program)
    plain = httpx.get(f"http://127.0.0.1:{before.http}/hub/x?y=z", headers={"Host": NAME}, timeout=20)
    assert plain.status_code == 308 and plain.headers["location"] == f"https://{NAME}/hub/x?y=z"

    with before.client(follow_redirects=True) as browser:
        page = browser.get("/hub/login")
        assert page.status_code == 200 and page.headers["strict-transport-security"] == "max-age=15552000"
        assert all("secure" in cookie.lower() for cookie in page.headers.get_list("set-cookie"))
        form = {"username": person.name, "password": person.password, "_xsrf": browser.cookies["_xsrf"]}
        entered = browser.post("/hub/login?next=/hub/home", data=form)
        assert entered.status_code == 200 and "<title>Home" in entered.text, entered.text[:3000]

        many = {
            "Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items()) + "; x=" + "y" * 30_000
        }
        assert browser.get("/hub/home", headers=many).status_code == 200

        notebook = Notebook(hub, person.name, "") if hub.server(person.name) else hub.start(person.name)
        header = {"Authorization": f"token {hub.token(person.name)}"}
        body = {"type": "file", "format": "text", "content": "x" * 30_000_000}
        sent = browser.put(f"{notebook.base}api/contents/large.txt", json=body, headers=header)
        assert sent.status_code in (200, 201), sent.text[:500]

    kernel = through(before, notebook).kernel()
    assert kernel.run("6 * 7") == "42"


class Through(Notebook):
    """A notebook whose websockets go by a front."""

    front: Front

    def socket(self, path: str, token: str | None = None) -> Any:
        import websocket

        plain = socket.create_connection(("127.0.0.1", self.front.https), timeout=30)
        secure = self.front.context.wrap_socket(plain, server_hostname=NAME)
        header = [f"Authorization: token {token or self.service.token(self.user)}"]
        made = websocket.create_connection(f"wss://{NAME}{self.base}{path}", socket=secure, header=header, timeout=60)
        self.service.sockets.append(made)
        return made

    def kernel(self, name: str = "python3") -> Kernel:
        found = self.ask("POST", "api/kernels", {"name": name}).json()
        return Kernel(self, found["id"])


def through(front: Front, notebook: Notebook) -> Through:
    made = Through(notebook.service, notebook.user, notebook.server)
    made.front = front
    return made


@pytest.mark.root
@pytest.mark.parametrize("program", ["nginx", "caddy"])
def test_a_path_of_its_own_and_the_apex(
    service: Callable[..., Service], front: Callable[..., Front], program: str
) -> None:
    """The hub at /lab/, and what is asked for at the top leads there."""
    hub = service(TRUSTING.replace("{path}", "/lab/"))
    (hub.folder / "hub.yaml").write_text(hub.yaml)
    before = front(hub, program, "--upstream", f"127.0.0.1:{hub.port}")
    with before.client() as browser:
        for path, status in (("/", 302), ("/lab", 308)):
            answer = browser.get(path)
            assert (answer.status_code, answer.headers["location"].removeprefix(f"https://{NAME}")) == (status, "/lab/")


@pytest.mark.root
def test_a_tunnel_is_a_unit_that_systemd_takes(hub: Service, tmp_path: Path) -> None:
    text = hub.cli("proxy-config", "--tunnel", "me@gateway.example.org").stdout
    assert f"-R 127.0.0.1:{hub.port}:127.0.0.1:{hub.port} me@gateway.example.org" in text
    unit = tmp_path / "hubwright-tunnel.service"
    unit.write_text(text)
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert str(unit.name) not in done.stderr and done.returncode == 0, done.stderr


@pytest.fixture
def gateway(tmp_path: Path, account: Callable[..., Account]) -> Iterator[tuple[str, str, Path]]:
    """Another machine at 10.213.8.2 whose sshd lets somebody in: `user@host`, its network, and a folder with our key."""
    if not Path("/usr/sbin/sshd").exists():
        pytest.skip("needs sshd: apt install openssh-server")
    who, net, run = account(), f"hwt{os.getpid() % 10**6}", partial(subprocess.run, check=True, timeout=30)
    for name in ("key", "host"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name])
    (tmp_path / "known_hosts").write_text(f"10.213.8.2 {(tmp_path / 'host.pub').read_text()}")
    (tmp_path / "sshd").write_text(SSHD.format(folder=tmp_path, user=who.name))
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    run(["ip", "netns", "add", net])
    try:
        for words in (
            f"link add {net} type veth peer name eth0 netns {net}",
            f"address add 10.213.8.1/24 dev {net}",
            f"link set {net} up",
            f"-n {net} address add 10.213.8.2/24 dev eth0",
            f"-n {net} link set eth0 up",
            f"-n {net} link set lo up",
        ):
            run(["ip", *words.split()])
        sshd = subprocess.Popen(["ip", "netns", "exec", net, "/usr/sbin/sshd", "-D", "-e", "-f", tmp_path / "sshd"])
        yield f"{who.name}@10.213.8.2", net, tmp_path
        sshd.terminate()
        sshd.wait(10)
    finally:
        subprocess.run(["ip", "link", "del", net], check=False)
        run(["ip", "netns", "del", net])


@pytest.mark.root
def test_a_tunnel_brings_requests_of_another_machine(hub: Service, gateway: tuple[str, str, Path]) -> None:
    """The unit's own command, with the restriction that it names: that machine reaches the hub at its own address."""
    to, net, folder = gateway
    unit = hub.cli("proxy-config", "--tunnel", to).stdout
    restriction = re.search(r"^#   (restrict\S*)$", unit, re.MULTILINE)[1]  # type: ignore[index]
    allowed = Path(pwd.getpwnam(to.partition("@")[0]).pw_dir, "allowed")
    allowed.write_text(f"{restriction} {(folder / 'key.pub').read_text()}")
    command = re.search(r"^ExecStart=((?:.*\\\n)*.*)$", unit, re.MULTILINE)[1]  # type: ignore[index]
    words = [word.replace("${CREDENTIALS_DIRECTORY}", str(folder)) for word in command.replace("\\\n", " ").split()]
    url = f"http://127.0.0.1:{hub.port}/hub/login"
    asks = [
        "ip",
        "netns",
        "exec",
        net,
        "curl",
        "-s",
        "-m",
        "10",
        "-H",
        f"Host: {NAME}",
        "-H",
        "X-Forwarded-Proto: https",
    ]

    def page() -> str:
        return subprocess.run([*asks, url], capture_output=True, text=True, timeout=30).stdout

    assert page() == ""
    (folder / "known_hosts").chmod(0o600)
    with subprocess.Popen(words, stderr=subprocess.PIPE, env={}) as tunnel:
        try:
            wait_until(lambda: tunnel.poll() is not None or "<title>Sign in" in page())
            assert tunnel.poll() is None, tunnel.stderr and tunnel.stderr.read()
            assert 'action="/hub/login' in page()
        finally:
            tunnel.terminate()
    wait_until(lambda: page() == "")
    other = subprocess.run(
        [*words[:-3], "-R", "127.0.0.1:9:127.0.0.1:9", to], capture_output=True, text=True, timeout=60
    )
    assert other.returncode and "remote port forwarding failed" in other.stderr, "the key opens another port"


@pytest.mark.root
def test_what_cannot_be_printed_is_said(hub: Service, service: Callable[..., Service]) -> None:
    assert "Name one of nginx, caddy and --tunnel" in hub.cli("proxy-config", check=False).stderr
    assert "go together" in hub.cli("proxy-config", "nginx", "--key", "x", check=False).stderr
    other = service()
    (other.folder / "hub.yaml").write_text(other.yaml)
    done = other.cli("proxy-config", "nginx", check=False)
    assert done.returncode == 77 and "nothing stands before this service" in done.stderr
