"""An installed service in a guest, and what is asked of it: by HTTP from here, and by the commands of its administrator.

As little as possible runs in the guest, whose processor is emulated: what a browser or a notebook's page would do is done
here, through a port that leads there.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import httpx
from tests.machine.guest import ROOT, Failed, Guest, Running
from tests.machine.image import Image
from tests.running import Kernel, Notebook, Service

PERSON, PASSWORD = "ada", "correct horse"
ADMIN = "olga"
"""Who has the checkout in her home, and may use sudo."""
CHECKOUT = ("src", "tools", "up", "install", "pyproject.toml", "README.md", "LICENSE")
YAML = """\
hub: {listen: ":8000", admins: [ada]}
https: {kind: none, insecure: true}
auth: {kind: pam, allow: all}
"""
ENVIRONMENT = "/opt/hubwright/env"
CONFIG = "/etc/hubwright/hub.yaml"
STATE = "/var/lib/hubwright/service"
UNITS = "/etc/systemd/system"
PARTS = ("caddy", "hub", "fork-server", "account-helper", "metrics")
NOTED = "work.json"
"""Beside a kept guest: by what the notebook that runs in it is found."""
UNIT_OF = {part: f"hubwright-{part}.service" for part in (*PARTS, "keeper")}


@dataclass
class Installed(Service):
    """The service of a guest, by the port of this machine that leads to it."""

    guest: Guest | None = None
    ports: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, guest: Guest) -> Installed:
        one = cls(Path("/etc/hubwright"), YAML, 0, slowness=guest.slowness, guest=guest)
        one.take(8000)
        return one

    @property
    def machine(self) -> Guest:
        assert self.guest
        return self.guest

    def take(self, number: int) -> None:
        """Ask it on another of the guest's ports from now on."""
        if number not in self.ports:
            self.ports[number] = self.machine.forward(number)
        self.port = self.ports[number]

    def hang_up(self) -> None:
        """End all websockets."""
        for one in self.sockets:
            one.shutdown()

    def cli(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        said = self.machine.run(shlex.join(["/usr/local/bin/hubwright", *words]), 90)
        return subprocess.CompletedProcess(words, 0, said, "")

    def admin(self) -> dict[str, str]:
        return {"Authorization": f"token {self.machine.get(f'{STATE}/secrets/cli.token').strip()}"}

    def logs(self) -> str:
        return self.machine.run("journalctl --no-pager --lines=100 --unit='hubwright*'")

    def await_page(self, seconds: float = 90) -> None:
        self.wait(self.answers, seconds)

    def wait(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        end = time.monotonic() + seconds * self.slowness
        while not condition():
            assert time.monotonic() < end, f"not within {seconds} s\n{self.logs()}"
            time.sleep(1)

    def is_well(self) -> bool:
        """Whether `hubwright status` finds nothing wrong."""
        try:
            return '"well": true' in self.cli("status", "--json").stdout
        except Failed:
            return False

    def pids(self) -> dict[str, int]:
        """Return the process of each part, and the keeper's; 0 while there is none."""
        said = self.machine.run(f"systemctl show --property=MainPID --value {' '.join(UNIT_OF.values())}")
        return dict(zip(UNIT_OF, map(int, said.split()), strict=True))

    def status_of(self, pid: int) -> dict[str, str]:
        """Return the lines of /proc/PID/status."""
        lines = self.machine.get(f"/proc/{pid}/status").splitlines()
        return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}

    def install(self) -> str:
        """Run the README's `sudo ./install` as the admin does, in the checkout; return what it printed."""
        return self.machine.run(f"runuser --login {ADMIN} --command 'cd hubwright && sudo ./install'", 900)

    def log_in(self, name: str, password: str) -> httpx.Response:
        """Send the login form as a browser does; return the page one lands on."""
        with httpx.Client(base_url=self.url, follow_redirects=True, timeout=60 * self.slowness) as browser:
            form = browser.get("/hub/login")
            told = re.search(r'name="_xsrf" value="([^"]*)"', form.text)
            assert told, form.text
            sent = {"username": name, "password": password, "_xsrf": told[1]}
            return browser.post("/hub/login?next=%2Fhub%2Fhome", data=sent, headers={"Sec-Fetch-Site": "same-origin"})


@dataclass
class Work:
    """Somebody's notebook with a kernel that knows a number, which shall live through what happens to the service."""

    notebook: Notebook
    kernel: str
    pid: int

    @classmethod
    def begin(cls, service: Installed) -> Work:
        notebook = service.start(PERSON, wait=120)
        kernel = notebook.kernel()
        kernel.run("kept = 6 * 7")
        return cls(notebook, kernel.id, int(kernel.value("import os; print(os.getpid())")))

    def noted(self) -> dict[str, object]:
        """What `of` needs to find it in a guest that was kept."""
        return {"kernel": self.kernel, "pid": self.pid, "tokens": self.notebook.service.tokens}

    @classmethod
    def of(cls, service: Installed, noted: dict[str, object]) -> Work:
        tokens = noted["tokens"]
        assert isinstance(tokens, dict)
        service.tokens.update(tokens)
        return cls(Notebook(service, PERSON, ""), str(noted["kernel"]), int(str(noted["pid"])))

    def goes_on(self) -> Kernel:
        """The same kernel answers, with what it knew, through a websocket of its own."""
        service = self.notebook.service
        assert isinstance(service, Installed)
        service.await_page()
        service.wait(self._answers)
        again = Kernel(self.notebook, self.kernel)
        assert again.value("import os; print([kept, os.getpid()])") == [42, self.pid]
        return again

    def _answers(self) -> bool:
        try:
            return self.notebook.ask("GET", f"api/kernels/{self.kernel}").status_code == 200
        except httpx.HTTPError:
            return False


def furnish(guest: Guest) -> None:
    """Make a machine on which somebody begins: two people, an admin's checkout, and what Hubwright depends on.

    The latter, the environment of the tests, is moved to where `./install` makes one, since pip would take an hour to bring
    it; nothing of Hubwright is in it, so pip builds and installs that as everywhere.
    """
    for name, groups in ((PERSON, ""), (ADMIN, "sudo")):
        guest.account(name, PASSWORD, groups)
    guest.put("/etc/sudoers.d/admins", f"{ADMIN} ALL=(ALL) NOPASSWD: ALL\n", 0o440)
    copied = " ".join(shlex.quote(str(ROOT / name)) for name in CHECKOUT)
    guest.run(
        f"""set -e
        mkdir ~{ADMIN}/hubwright {Path(ENVIRONMENT).parent}
        cp -r {copied} ~{ADMIN}/hubwright
        find ~{ADMIN}/hubwright -name __pycache__ -prune -exec rm -r {{}} +
        chown -R {ADMIN}: ~{ADMIN}/hubwright
        mv {sys.prefix} {ENVIRONMENT}
        cd {ENVIRONMENT}
        rm -rf *.stamp bin/hubwright lib/*/site-packages/*hubwright*
        sed -i '1s|^#!{sys.prefix}/|#!{ENVIRONMENT}/|' $(grep -lI '^#!{sys.prefix}/' bin/*)""",
        300,
    )
    guest.put(CONFIG, YAML)


def from_nothing(guest: Guest) -> Installed:
    """Install as the README says."""
    furnish(guest)
    service = Installed.of(guest)
    said = service.install()
    assert f"Installing Hubwright into {ENVIRONMENT} (once" in said
    assert f"Wrote {UNITS}/hubwright.service" in said
    assert guest.run("readlink -f /usr/local/bin/hubwright").strip() == f"{ENVIRONMENT}/bin/hubwright"
    return service


def to_a_logged_in_user(service: Installed) -> Work:
    """Log in, and begin to work.

    Units are enabled, the hub is unprivileged, secrets are its own; the right password enters, a wrong one does not.
    """
    guest = service.machine
    assert guest.run("systemctl is-enabled hubwright").strip() == "enabled"
    assert guest.run(f"stat -c %U /proc/{service.pids()['hub']}").strip() == "hubwright"
    secrets = guest.run(f"find {STATE}/secrets -type f -printf '%m %u\\n'").splitlines()
    assert secrets and set(secrets) <= {"600 root", "600 hubwright"}
    assert service.log_in(PERSON, PASSWORD).url.path == "/hub/home"
    assert service.log_in(PERSON, "wrong").status_code == 403
    assert service.is_well()
    assert "JupyterHub is now running" in service.cli("logs", "hub", "-n", "100").stdout
    return Work.begin(service)


def make(place: Path, machine_image: Image, running: Running) -> Image:
    """Install on a fresh machine, and keep it with the notebook that runs there."""
    with running(machine_image) as guest:
        service = from_nothing(guest)
        noted = json.dumps(to_a_logged_in_user(service).noted())
        service.hang_up()
        kept = guest.keep(place)
    (place / NOTED).write_text(noted)
    return kept


def digest_of_checkout() -> str:
    """Return what changes with anything that a kept guest was made of."""
    here = Path(__file__)
    files = [
        path
        for name in CHECKOUT
        for path in sorted((ROOT / name).rglob("*") if (ROOT / name).is_dir() else [ROOT / name])
    ]
    files += [here, here.with_name("guest.py")]
    told = sha256()
    for path in files:
        if path.is_file() and path.suffix != ".pyc":
            told.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return told.hexdigest()[:16]
