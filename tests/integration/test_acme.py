"""A certificate by ACME from a second Caddy, in a network of the test's own where ports 80 and 443 are free."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.acme_authority import DIRECTORY, UNWANTED, authority, root_of
from tests.conftest import wait_until
from tests.running import Died, Service

pytestmark = pytest.mark.root

YAML = """\
hub:
  listen: "{listen}:443"
  url: https://{name}/
auth: {kind: pam, allow: all}
https: {kind: acme, email: admin@example.org, directory: "https://{authority}:14000/acme/local/directory", directory_ca: {root}}
"""
AUTHORITIES = ["acme.test", "acme-v02.api.letsencrypt.org"]
HOSTS = """\
127.0.0.1 localhost
10.9.9.1 notebooks.test
10.9.9.2 acme.test acme-v02.api.letsencrypt.org
10.9.9.3 elsewhere.test
10.9.9.1 unwanted.test
"""


class World:
    """A network with loopback only, names of its own, and an ACME authority in it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hwt-acme-"))
        self.folder.chmod(0o755)
        (self.folder / "hosts").write_text(HOSTS)
        ready = (
            "ip link set lo up && for n in 1 2 3; do ip addr add 10.9.9.$n/32 dev lo; done && "
            f"mount --bind {self.folder}/hosts /etc/hosts && touch {self.folder}/ready && exec sleep 1800"
        )
        self.holder = subprocess.Popen(["unshare", "-nm", "sh", "-c", ready], stderr=subprocess.PIPE)
        self.caddy: subprocess.Popen[bytes] | None = None
        try:
            wait_until(lambda: (self.folder / "ready").exists() or self.holder.poll() is not None)
            if self.holder.poll() is not None:
                pytest.skip(f"needs the right to make a network: {self.holder.communicate()[1].decode()}")
            self.caddy = self.begin()
            wait_until(lambda: self.ask(f"https://acme.test:14000/{DIRECTORY}", "-k") == "200", 60)
        except BaseException:
            self.close()
            raise

    def inside(self, *words: str) -> list[str]:
        return ["nsenter", "-t", str(self.holder.pid), "-n", "-m", *words]

    @property
    def root(self) -> Path:
        return root_of(self.folder / "ca")

    def begin(self) -> subprocess.Popen[bytes]:
        config = authority("10.9.9.2:14000", AUTHORITIES, self.folder / "ca")
        (self.folder / "caddy.json").write_text(json.dumps(config))
        with (self.folder / "log").open("wb") as log:
            return subprocess.Popen(
                self.inside(f"{sys.prefix}/bin/caddy", "run", "--config", f"{self.folder}/caddy.json"),
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
            )

    def ask(self, url: str, *words: str, told: str = "%{http_code}") -> str:
        """Ask with curl from inside; what it tells of the answer, 000 when there is none."""
        argv = self.inside("curl", "-s", "-o", "/dev/null", "-m", "5", "-w", told, *words, url)
        return subprocess.run(argv, capture_output=True, text=True, timeout=30).stdout

    def close(self) -> None:
        for process in (self.caddy, self.holder):
            if process is not None:
                process.kill()
                process.wait(10)
        if self.holder.stderr:
            self.holder.stderr.close()
        shutil.rmtree(self.folder)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


@dataclass
class Inside(Service):
    """A service in that network."""

    world: World | None = None

    def command(self, *words: str) -> list[str]:
        assert self.world
        return self.world.inside(*super().command(*words))

    def answers(self) -> bool:
        assert self.world
        return self.world.ask("https://notebooks.test/hub/login", "--cacert", str(self.world.root)) == "200"


@pytest.fixture
def inside(world: World, service: Callable[..., Service]) -> Iterator[Callable[..., Inside]]:
    made: list[Inside] = []

    def make(name: str = "notebooks.test", listen: str = "0.0.0.0", authority: str = AUTHORITIES[0]) -> Inside:
        plain = service("")
        shutil.copy(world.root, plain.folder / "root.crt")
        (plain.folder / "root.crt").chmod(0o644)
        yaml = YAML.replace("{name}", name).replace("{listen}", listen).replace("{root}", "root.crt")
        yaml = yaml.replace("{authority}", authority)
        made.append(Inside(plain.folder, yaml, plain.port, world=world))
        (plain.folder / "hub.yaml").write_text(yaml)
        return made[-1]

    yield make
    for one in made:
        one.clean()


def test_a_certificate_is_fetched_and_kept(world: World, inside: Callable[..., Inside]) -> None:
    """Trusted by the authority's root; plain HTTP is sent on; the next start asks for none; the key is the account's.

    And it is asked for no more often than Let's Encrypt answers.
    """
    hub = inside(authority=AUTHORITIES[1])
    (hub.folder / "root.crt").chmod(0o600)
    assert "root.crt cannot be read by hubwright" in " ".join(hub.cli("check", check=False).stdout.split())
    (hub.folder / "root.crt").chmod(0o644)
    checked = hub.cli("check", check=False)
    assert "can run" in checked.stdout and "hub.url" not in checked.stdout, checked.stdout
    hub.up()
    kept = list((hub.state / "acme").rglob("notebooks.test.crt"))
    assert len(kept) == 1
    key = kept[0].with_suffix(".key")
    assert key.stat().st_mode & 0o777 == 0o600 and key.owner() == "hubwright"
    assert (
        world.ask("http://notebooks.test/hub/x", told="%{http_code} %{redirect_url}")
        == "308 https://notebooks.test/hub/x"
    )
    assert world.ask("https://notebooks.test/hub/login") == "000", "trusted without the authority's root"
    certificate = kept[0].read_bytes()
    status = json.loads(hub.cli("status", "--json", check=False).stdout)
    assert status["certificate"] and not status["ends_soon"]

    hub.down()
    hub.up()
    assert kept[0].read_bytes() == certificate
    hub.down()

    # Let's Encrypt, for which it is taken, gives five a week; one that is there is no reason to ask
    log = hub.state / "acme" / "log"
    line = next(line for line in log.read_bytes().splitlines(True) if b"certificate obtained successfully" in line)
    with log.open("ab") as file:
        file.writelines([line] * 4)
    before = log.read_bytes()
    assert "lately" not in hub.cli("check", check=False).stdout
    shutil.rmtree(hub.state / "acme" / "certificates")
    for command, code in (("check", 71), ("up", 78)):
        done = hub.cli(command, check=False)
        said = " ".join((done.stdout + done.stderr).split())
        assert done.returncode == code and "Let's Encrypt has given notebooks.test 5 certificates lately" in said, said
    assert log.read_bytes() == before and log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("name", "listen", "sentence"),
    [
        ("nowhere.invalid", "0.0.0.0", "nowhere.invalid does not resolve to any address"),
        (
            "elsewhere.test",
            "10.9.9.1",
            "elsewhere.test is 10.9.9.3, and port 80 and port 443 there does not lead to this machine",
        ),
        ("10.9.9.1", "0.0.0.0", "must have a name that the world knows; 10.9.9.1 is none"),
        ("notebooks.test", "127.0.0.1", "must be port 443 of an address that others reach"),
    ],
)
def test_what_the_authority_would_refuse_is_said_before(
    inside: Callable[..., Inside], name: str, listen: str, sentence: str
) -> None:
    hub = inside(name, listen)
    found = hub.cli("check", check=False)
    assert found.returncode == 71 and sentence in " ".join(found.stdout.split())
    started = hub.cli("up", check=False)
    assert started.returncode == 78 and sentence in started.stderr and "Traceback" not in started.stderr
    assert not (hub.state / "acme").exists()


def test_a_refusal_is_told_at_once_with_the_authoritys_words(inside: Callable[..., Inside]) -> None:
    """Once, without waiting for a certificate that will not come; systemd does not start it again (78)."""
    hub = inside(UNWANTED)
    began = time.monotonic()
    with pytest.raises(Died):
        hub.up()
    said = " ".join(hub.output().split())
    assert "gives no certificate for unwanted.test: The server will not issue certificates for the identifier" in said
    assert "(rejectedIdentifier). Take a name that this authority gives certificates for" in said
    assert hub.process and hub.process.wait(20) == 78 and "Traceback" not in said
    assert time.monotonic() - began < 60
