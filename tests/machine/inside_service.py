"""An installed service, seen from the machine it is installed on. `test_installed_service.py` runs this in a guest, in this order.

It changes the machine for good, so pytest does not find it by itself.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import stat
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.running import Kernel, Notebook, Service
from tests.slowness import SLOWNESS

import hubwright
from hubwright.care.units.installed import UNITS

PERSON, PASSWORD = "ada", "correct horse"
YAML = """\
hub: {listen: ":8000", admins: [ada]}
https: {kind: none, insecure: true}
auth: {kind: pam, allow: all}
"""
CONFIG = Path("/etc/hubwright/hub.yaml")
BACKUPS = Path("/var/backups/hubwright")
PARTS = ("caddy", "hub", "fork-server", "account-helper", "metrics")


class Installed(Service):
    """The service of this machine."""

    @property
    def state(self) -> Path:
        return Path("/var/lib/hubwright/service")

    def command(self, *words: str) -> list[str]:
        return ["/usr/local/bin/hubwright", *words]

    def logs(self) -> str:
        return run("journalctl", "--no-pager", "--lines=100", "--unit=hubwright*")

    def await_page(self, seconds: float = 60) -> None:
        wait(self.answers, seconds)


SERVICE = Installed(Path("/etc/hubwright"), YAML, 8000)


def run(*words: str, code: int = 0, timeout: float = 300) -> str:
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout * SLOWNESS
    )
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}"
    return done.stdout


def wait(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds * SLOWNESS
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s\n{SERVICE.logs()}"
        time.sleep(0.2)


def main_pid(unit: str) -> int:
    return int(run("systemctl", "show", "--property=MainPID", "--value", unit))


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def begin() -> tuple[Notebook, Kernel, int]:
    """Start a notebook with a kernel that knows a number."""
    notebook = SERVICE.start(PERSON)
    kernel = notebook.kernel()
    kernel.run("kept = 6 * 7")
    return notebook, kernel, int(kernel.value("import os; print(os.getpid())"))


def still(notebook: Notebook, kernel: Kernel, pid: int) -> None:
    """The same kernel answers, with what it knew, through a websocket of its own."""
    SERVICE.await_page()

    def answers() -> bool:
        try:
            return notebook.ask("GET", f"api/kernels/{kernel.id}").status_code == 200
        except httpx.HTTPError:
            return False

    wait(answers)
    again = Kernel(notebook, kernel.id)
    assert again.value("print([kept, os.getpid()])") == [42, pid]


def log_in(name: str, password: str) -> httpx.Response:
    """Send the login form as a browser does; the page one lands on."""
    with httpx.Client(base_url=SERVICE.url, follow_redirects=True, timeout=60 * SLOWNESS) as browser:
        form = browser.get("/hub/login")
        told = re.search(r'name="_xsrf" value="([^"]*)"', form.text)
        assert told, form.text
        sent = {"username": name, "password": password, "_xsrf": told[1]}
        return browser.post("/hub/login?next=%2Fhub%2Fhome", data=sent, headers={"Sec-Fetch-Site": "same-origin"})


def test_from_nothing_to_a_logged_in_user() -> None:
    """`hubwright install` alone; units enabled, hub unprivileged, secrets its own; the right password enters."""
    try:
        pwd.getpwnam(PERSON)
    except KeyError:
        run("useradd", "--create-home", "--shell", "/bin/bash", PERSON)
    subprocess.run(["chpasswd"], input=f"{PERSON}:{PASSWORD}", text=True, check=True)
    CONFIG.parent.mkdir(exist_ok=True)
    CONFIG.write_text(YAML)
    said = run(str(Path(os.sys.prefix) / "bin" / "hubwright"), "install", timeout=600)  # type: ignore[attr-defined]
    assert f"Wrote {UNITS}/hubwright.service" in said
    assert run("systemctl", "is-enabled", "hubwright").strip() == "enabled"
    assert pwd.getpwuid(int(status_of(main_pid("hubwright-hub"))["Uid"].split()[0])).pw_name == "hubwright"
    for secret in (SERVICE.state / "secrets").iterdir():
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert log_in(PERSON, PASSWORD).url.path == "/hub/home"
    assert log_in(PERSON, "wrong").status_code == 403
    assert json.loads(run("hubwright", "status", "--json"))["well"]
    assert "JupyterHub is now running" in run("hubwright", "logs", "hub", "-n", "100")


def test_a_second_run_changes_nothing() -> None:
    units = {path: path.stat().st_mtime_ns for path in UNITS.glob("hubwright*")}
    pids = [main_pid(f"hubwright-{part}") for part in PARTS]
    assert "Nothing to do: the service is installed and runs as /etc/hubwright/hub.yaml says." in run(
        "hubwright", "install"
    )
    assert {path: path.stat().st_mtime_ns for path in UNITS.glob("hubwright*")} == units
    assert [main_pid(f"hubwright-{part}") for part in PARTS] == pids


def test_up_beside_it_explains_itself() -> None:
    said = run("hubwright", "up", code=77)
    assert "This service is installed, and systemd runs it." in said
    assert "hubwright uninstall" in said


def test_hub_and_caddy_are_confined_and_notebooks_are_not() -> None:
    """Seccomp, rights, and a file system that cannot be written; a notebook has what its user has elsewhere."""
    for part in ("hub", "caddy"):
        told = status_of(main_pid(f"hubwright-{part}"))
        assert (told["NoNewPrivs"], told["Seccomp"], int(told["CapBnd"], 16)) == ("1", "2", 0)
    _, kernel, pid = begin()
    told = status_of(pid)
    assert (told["NoNewPrivs"], told["Seccomp"]) == ("0", "0")
    assert int(told["CapBnd"], 16) == int(status_of(1)["CapBnd"], 16)
    assert os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/1/ns/mnt")
    assert kernel.run("import pathlib; pathlib.Path('~/here').expanduser().write_text('x')").strip() == "1"
    group = Path(f"/proc/{pid}/cgroup").read_text().rpartition("::")[2].strip()
    if "cpu" in Path("/sys/fs/cgroup/cgroup.controllers").read_text():  # else nothing can be held there
        assert re.match(rf"/system\.slice/hubwright-{SERVICE.run.name}\.service/", group)
    SERVICE.stop(PERSON)


@pytest.mark.parametrize("unit", [*(f"hubwright-{part}.service" for part in PARTS), "hubwright-keeper.service"])
@pytest.mark.parametrize("how", ["restart", "kill"])
def test_each_unit_begins_anew_alone(unit: str, how: str) -> None:
    """Restarted, or killed: another process, the others as they were, the notebook goes on."""
    notebook, kernel, pid = begin()
    every = [f"hubwright-{part}.service" for part in PARTS] + ["hubwright-keeper.service"]
    before = {name: main_pid(name) for name in every}
    if how == "restart":
        run("systemctl", "restart", unit)
    else:
        os.kill(before[unit], 9)
    wait(lambda: main_pid(unit) not in (0, before[unit]))
    still(notebook, kernel, pid)
    after = {name: main_pid(name) for name in every}
    assert {name for name in every if after[name] != before[name]} == {unit}
    wait(lambda: json.loads(subprocess.run(["hubwright", "status", "--json"], capture_output=True).stdout)["well"])
    SERVICE.stop(PERSON)


def test_an_upgrade_keeps_notebooks() -> None:
    """Another version of the package: what was there is saved, the parts are new, Caddy and the kernel are not."""
    notebook, kernel, pid = begin()
    before = {part: main_pid(f"hubwright-{part}") for part in PARTS}
    os.utime(Path(hubwright.__file__).parent / "errors.py")
    said = run("hubwright", "install", timeout=600)
    kept = Path(re.search(r"is saved: (\S+)", said)[1])  # type: ignore[index]
    wait(lambda: all(main_pid(f"hubwright-{part}") not in (0, before[part]) for part in PARTS if part != "caddy"))
    still(notebook, kernel, pid)
    assert main_pid("hubwright-caddy") == before["caddy"]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    with tarfile.open(kept) as archive:
        assert {"etc/hubwright/hub.yaml", "var/lib/hubwright/service/hub.sqlite"} <= set(archive.getnames())
    wait(lambda: "Nothing to do" in run("hubwright", "install"))
    SERVICE.stop(PERSON)


def test_another_port_is_taken_over() -> None:
    """hub.yaml says another port, and back: `install` moves the service there, the notebook goes on."""
    notebook, kernel, pid = begin()
    for port in (8001, 8000):
        CONFIG.write_text(YAML.replace("8000", str(port)))
        run("hubwright", "install", timeout=600)
        SERVICE.port = port
        still(notebook, kernel, pid)
    with pytest.raises(httpx.ConnectError):
        httpx.get("http://127.0.0.1:8001/")
    SERVICE.stop(PERSON)


def test_stopping_it_ends_everything_and_starting_brings_it_back() -> None:
    _, _, pid = begin()
    run("systemctl", "stop", "hubwright")
    with pytest.raises(httpx.ConnectError):
        httpx.get(SERVICE.url)
    if "cpu" in Path("/sys/fs/cgroup/cgroup.controllers").read_text():
        wait(lambda: not Path(f"/proc/{pid}").exists(), 20)
    assert "systemctl start hubwright" in run("hubwright", "status", code=69)
    run("systemctl", "start", "hubwright")
    SERVICE.await_page()


def test_after_a_boot_it_is_there_by_itself() -> None:
    SERVICE.await_page(120)
    assert log_in(PERSON, PASSWORD).url.path == "/hub/home"
    _, kernel, _ = begin()
    assert kernel.run("print(kept)").strip() == "42"


def test_uninstall_leaves_homes_and_an_archive() -> None:
    """Also with a notebook running; installing again then begins from nothing."""
    home = Path(pwd.getpwnam(PERSON).pw_dir)
    (home / "work.txt").write_text("mine")
    said = run("hubwright", "uninstall", "--yes")
    kept = Path(re.search(r"are in (\S+);", said)[1])  # type: ignore[index]
    with tarfile.open(kept) as archive:
        names = set(archive.getnames())
    assert {"etc/hubwright/hub.yaml", "var/lib/hubwright/service/hub.sqlite"} <= names
    assert any(name.startswith("etc/systemd/system/hubwright") for name in names)
    assert (home / "work.txt").read_text() == "mine"
    assert not list(UNITS.glob("hubwright*"))
    assert not CONFIG.exists()
    assert not SERVICE.state.exists()
    assert not SERVICE.run.exists()
    assert "0 loaded units" in run("systemctl", "list-units", "--all", "--no-pager", "hubwright*")
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if b"hubwright" in read(path)]


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
