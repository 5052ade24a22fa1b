"""A certificate of the service's own in Chromium: refused until its authority is known, and then for this service only."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest
from bench.chromium import FLAGS
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from playwright.sync_api import BrowserContext, Error, sync_playwright
from tests.security.conftest import World

from hubwright.proxy.https.authority import _issue

pytestmark = [pytest.mark.root, pytest.mark.browser, pytest.mark.timeout(240)]
ELSEWHERE = "bank.example.org"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Callable[..., BrowserContext]]:
    """Start Chromium as somebody who trusts these authorities, as docs/https.md says for Chrome on Linux."""
    chromium, certutil = shutil.which("chromium"), shutil.which("certutil")
    assert chromium and certutil, "missing: apt-get install chromium libnss3-tools"
    opened: list[BrowserContext] = []
    with sync_playwright() as playwright:

        def start(*authorities: Path) -> BrowserContext:
            home = tmp_path / str(len(opened))
            database = home / ".pki" / "nssdb"
            database.mkdir(parents=True)
            words = [certutil, "-d", f"sql:{database}"]
            subprocess.run([*words, "-N", "--empty-password"], check=True)
            for number, authority in enumerate(authorities):
                subprocess.run([*words, "-A", "-t", "C,,", "-n", str(number), "-i", str(authority)], check=True)
            opened.append(
                playwright.chromium.launch_persistent_context(
                    str(home / "profile"),
                    executable_path=chromium,
                    args=[*FLAGS, f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1"],
                    env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
                )
            )
            return opened[-1]

        yield start
        for one in opened:
            one.close()


@contextmanager
def served(authority: Path, key: Path, folder: Path) -> Iterator[int]:
    """Serve as ELSEWHERE with a certificate that the service's authority has signed for it; yield the port."""
    signing = load_pem_private_key(key.read_bytes(), None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    pair = _issue(x509.load_pem_x509_certificate(authority.read_bytes()), signing, [ELSEWHERE])
    (folder / "pair.pem").write_bytes(pair.chain + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pair.pem")
    server = HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def test_it_is_refused_until_its_authority_is_known(world: World, browser: Callable[..., BrowserContext]) -> None:
    page = browser().new_page()
    with pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
        page.goto(f"{world.hub.url}/hub/login")
    page = browser(world.hub.trust).new_page()
    page.goto(f"{world.hub.url}/hub/login")
    assert page.evaluate("window.isSecureContext")
    page.fill("input[name=username]", world.alice.name)
    page.fill("input[name=password]", world.alice.password)
    page.press("input[name=password]", "Enter")
    page.wait_for_selector(".jp-LauncherCard:visible", timeout=60_000)


def test_its_authority_vouches_for_no_other_site(
    world: World, browser: Callable[..., BrowserContext], tmp_path: Path
) -> None:
    """Whoever has stolen its key shows those who trust it nothing but an error."""
    page = browser(world.hub.trust).new_page()
    key = world.hub.state / "secrets" / "authority.key"
    with served(world.hub.trust, key, tmp_path) as port, pytest.raises(Error, match="ERR_CERT_INVALID"):
        page.goto(f"https://{ELSEWHERE}:{port}/")
