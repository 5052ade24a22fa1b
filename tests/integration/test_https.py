"""A whole service that speaks HTTPS itself: a kernel's websocket, a renewal, what browsers trust, what is refused."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.certificates import locked, make
from tests.conftest import Account, wait_until
from tests.encrypted import Encrypted
from tests.running import Died, Service

from hubwright.proxy.https.certificate import Pair

pytestmark = pytest.mark.root

FILES = """\
hub:
  listen: "127.0.0.1:{port}"
auth: {kind: pam, allow: all}
https: {kind: files, certificate: cert.pem, key: key.pem, passphrase_file: passphrase, redirect_port: {other}}
"""
SELF_MADE = """\
hub:
  listen: "0.0.0.0:{port}"
auth: {kind: pam, allow: all}
https: {kind: self_made}
"""


@pytest.fixture
def encrypted(service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Encrypted]]:
    """Make a service whose certificate httpx and websocket-client know."""
    made: list[Encrypted] = []

    def make_one(yaml: str, trust: str) -> Encrypted:
        plain = service(yaml)
        one = Encrypted(plain.folder, plain.yaml, plain.port)
        one.trust = plain.folder / trust
        for name in ("SSL_CERT_FILE", "WEBSOCKET_CLIENT_CA_BUNDLE"):
            monkeypatch.setenv(name, str(one.trust))
        made.append(one)
        return one

    yield make_one
    for one in made:
        one.clean()


def write(folder: Path, pair: Pair, passphrase: str) -> None:
    (folder / "cert.pem").write_bytes(pair.chain)
    for name, content in (("key.pem", locked(pair, passphrase)), ("passphrase", f"{passphrase}\n".encode())):
        (folder / name).touch(0o600)
        (folder / name).write_bytes(content)


def test_a_kernel_goes_on_while_the_certificate_is_renewed(
    encrypted: Callable[..., Encrypted], person: Account, free_port: int
) -> None:
    """An encrypted key; the websocket stays; a wrong renewal is told and not taken; a key lies nowhere on the disk."""
    first, second = make("localhost", "127.0.0.1", days=20), make("localhost", "127.0.0.1")
    hub = encrypted(FILES.replace("{other}", str(free_port)), "trust.pem")
    hub.trust.write_bytes(first.chain + second.chain)
    write(hub.folder, first, "open sesame")
    hub.up()
    assert f"the certificate ends on {first.until:%Y-%m-%d}, in 19 days." in hub.output()
    caddy = hub.part("caddy")
    kernel = hub.start(person.name).kernel()
    assert kernel.run("1 + 1") == "2"
    assert json.loads(hub.cli("status", "--json").stdout)["certificate"] == f"{first.until:%Y-%m-%d}"
    assert f"The certificate ends on {first.until:%Y-%m-%d}." in hub.cli("status").stdout
    assert "in 19 days" in hub.cli("check").stdout.replace("\n", " ")
    pending = kernel.send("import time; time.sleep(6); print('done')")
    write(hub.folder, second, "another word")
    wait_until(lambda: hub.handshake() == _der(second), 30)
    printed = next(m["content"]["text"] for m in kernel.messages(pending) if m["msg_type"] == "stream")
    assert printed == "done\n" and kernel.run("2 + 2") == "4"
    assert "Took the new certificate." in hub.output() and hub.part("caddy") == caddy
    assert "ends on" not in hub.cli("status").stdout

    (hub.folder / "key.pem").write_bytes(locked(make("localhost"), "another word"))
    wait_until(lambda: "The new certificate is not taken" in hub.output(), 60)
    assert "belongs to another certificate" in hub.output() and hub.output().count("is not taken") == 1
    assert hub.handshake() == _der(second) and kernel.run("3 + 3") == "6"

    for path in hub.folder.rglob("*"):
        assert not path.is_file() or second.key not in path.read_bytes(), path
    assert hub.run.joinpath("tls.pem").stat().st_mode & 0o777 == 0o640
    assert hub.run.joinpath("tls.pem").stat().st_uid == 0

    plain = httpx.get(f"http://127.0.0.1:{free_port}/hub/login", timeout=10)
    assert (plain.status_code, plain.headers["location"]) == (308, f"https://127.0.0.1:{hub.port}/hub/login")


def test_a_killed_up_leaves_both_ports_to_the_next(encrypted: Callable[..., Encrypted], free_port: int) -> None:
    pair = make("localhost", "127.0.0.1")
    hub = encrypted(FILES.replace("{other}", str(free_port)), "cert.pem")
    write(hub.folder, pair, "open sesame")
    hub.up()
    caddy = hub.part("caddy")
    assert hub.process
    hub.process.kill()
    hub.process.wait(10)
    hub.up()
    wait_until(lambda: "Found running, and adopted" in hub.output())
    assert hub.part("caddy") == caddy
    assert httpx.get(f"http://127.0.0.1:{free_port}/", timeout=10).status_code == 308
    hub.down()
    for port in (hub.port, free_port):
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=2).close()


def test_a_self_made_certificate_is_trusted_and_stays(encrypted: Callable[..., Encrypted]) -> None:
    """On every address, by whoever knows the authority; cookies are for HTTPS; the next start keeps it."""
    hub = encrypted(SELF_MADE, "state/authority.crt").up()
    wait_until(lambda: f"https://{socket.gethostname()}:{hub.port}/" in hub.output())
    assert f"Browsers trust this service once they know its authority: {hub.trust}" in hub.output()
    answer = httpx.get(f"{hub.url}/hub/login", timeout=20)
    cookies = answer.headers.get_list("set-cookie")
    assert cookies and all("secure" in cookie.lower() for cookie in cookies), cookies
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert httpx.get(f"https://127.0.0.1:{hub.port}/hubwright/authority.crt").content == hub.trust.read_bytes()
    assert (hub.state / "secrets" / "authority.key").stat().st_uid == 0

    authority, shown = hub.trust.read_bytes(), hub.handshake()
    hub.down()
    hub.up()
    assert hub.trust.read_bytes() == authority and hub.handshake() == shown


@pytest.mark.parametrize(
    ("yaml", "sentence"),
    [
        ("https: {kind: none}", "other machines reach this address by plain HTTP"),
        ("https: {kind: files, certificate: none.pem}", "there is no file"),
        ("https: {kind: files, certificate: cert.pem, key: key.pem}", "is encrypted, and its passphrase is not known"),
        (
            "https: {kind: files, certificate: cert.pem, key: key.pem, passphrase_file: wrong}",
            "does not open the key",
        ),
        ("https: {kind: files, certificate: old.pem}", "has expired on"),
        ("https: {kind: files, certificate: old.pem, key: other.pem}", "belongs to another certificate"),
    ],
)
def test_what_cannot_be_is_one_sentence_at_check_and_at_up(
    service: Callable[..., Service], yaml: str, sentence: str
) -> None:
    hub = service(f'hub: {{listen: "0.0.0.0:{{port}}"}}\nauth: {{kind: pam, allow: all}}\n{yaml}\n')
    write(hub.folder, make("localhost"), "open sesame")
    old = make("localhost", days=-2, age=9)
    for name, content in (("wrong", b"x"), ("old.pem", old.chain + old.key), ("other.pem", make("x").key)):
        (hub.folder / name).touch(0o600)
        (hub.folder / name).write_bytes(content)
    (hub.folder / "hub.yaml").write_text(hub.yaml)
    checked = hub.cli("check", check=False)
    assert checked.returncode == 71 and sentence in " ".join(checked.stdout.split())
    with pytest.raises(Died):
        hub.up()
    assert sentence in hub.output() and "Traceback" not in hub.output() and "hub.yaml:" in hub.output()
    assert hub.process and hub.process.returncode == 78


def _der(pair: Pair) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return pair.leaf.public_bytes(Encoding.DER)
