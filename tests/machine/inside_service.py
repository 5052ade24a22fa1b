"""An installed service, seen from the machine it is installed on. `test_installed_service.py` runs this in a guest, in this order.

It changes the machine for good, so pytest does not find it by itself.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.running import PREFIX, Kernel, Notebook, Service
from tests.slowness import SLOWNESS

from hubwright.care.units.installed import UNITS

PERSON, PASSWORD = "ada", "correct horse"
ADMIN = "olga"
"""Who has the checkout in her home, and may use sudo."""
ROOT = Path(__file__).parents[2]
CHECKOUT = ("src", "tools", "up", "install", "pyproject.toml", "README.md", "LICENSE")
YAML = """\
hub: {listen: ":8000", admins: [ada]}
https: {kind: none, insecure: true}
auth: {kind: pam, allow: all}
"""
CONFIG = Path("/etc/hubwright/hub.yaml")
BACKUPS = Path("/var/backups/hubwright")
ENVIRONMENT = Path("/opt/hubwright/env")
COMMAND = "/usr/local/bin/hubwright"
PARTS = ("caddy", "hub", "fork-server", "account-helper", "metrics")


class Installed(Service):
    """The service of this machine."""

    @property
    def state(self) -> Path:
        return Path("/var/lib/hubwright/service")

    def command(self, *words: str) -> list[str]:
        return [COMMAND, *words]

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


def install() -> str:
    """Run the README's `sudo ./install` as the admin does, in the checkout; what it printed."""
    words = f"cd /home/{ADMIN}/hubwright && sudo ./install"
    return run("runuser", "--login", ADMIN, "--command", words, timeout=900)


def change(path: Path, old: str, new: str) -> None:
    """Change a file of the checkout, once."""
    text = path.read_text()
    assert old in text, path
    path.write_text(text.replace(old, new, 1))


def test_from_nothing_to_a_logged_in_user() -> None:
    """`sudo ./install` in a checkout; units enabled, hub unprivileged, secrets its own; the right password enters.

    Nothing of Hubwright is installed before. What it depends on is, since this processor is slow, and pip brings nothing.
    """
    for name, more in ((PERSON, ()), (ADMIN, ("--groups", "sudo"))):
        run("useradd", "--create-home", "--key", "HOME_MODE=0700", "--shell", "/bin/bash", *more, name)
    subprocess.run(["chpasswd"], input=f"{PERSON}:{PASSWORD}", text=True, check=True)
    Path("/etc/sudoers.d/admins").write_text(f"{ADMIN} ALL=(ALL) NOPASSWD: ALL\n")
    checkout = Path("/home", ADMIN, "hubwright")
    checkout.mkdir()
    for name in CHECKOUT:
        run("cp", "-r", str(ROOT / name), str(checkout))
    run("chown", "-R", f"{ADMIN}:", str(checkout))
    ENVIRONMENT.parent.mkdir()
    run("cp", "-al", str(PREFIX), str(ENVIRONMENT))
    for left in (*ENVIRONMENT.glob("*.stamp"), *ENVIRONMENT.glob("lib/*/site-packages/*hubwright*")):
        (shutil.rmtree if left.is_dir() else os.unlink)(left)
    (ENVIRONMENT / "bin/hubwright").unlink()
    CONFIG.parent.mkdir(exist_ok=True)
    CONFIG.write_text(YAML)
    said = install()
    assert f"Installing Hubwright into {ENVIRONMENT} (once" in said
    assert f"Wrote {UNITS}/hubwright.service" in said
    assert Path(COMMAND).resolve() == ENVIRONMENT / "bin/hubwright"
    assert run("systemctl", "is-enabled", "hubwright").strip() == "enabled"
    assert pwd.getpwuid(int(status_of(main_pid("hubwright-hub"))["Uid"].split()[0])).pw_name == "hubwright"
    for secret in (SERVICE.state / "secrets").iterdir():
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert log_in(PERSON, PASSWORD).url.path == "/hub/home"
    assert log_in(PERSON, "wrong").status_code == 403
    assert json.loads(run(COMMAND, "status", "--json"))["well"]
    assert "JupyterHub is now running" in run(COMMAND, "logs", "hub", "-n", "100")


def test_a_second_run_changes_nothing() -> None:
    units = {path: path.stat().st_mtime_ns for path in UNITS.glob("hubwright*")}
    pids = [main_pid(f"hubwright-{part}") for part in PARTS]
    assert "Nothing to do: the service is installed and runs as /etc/hubwright/hub.yaml says." in install()
    assert {path: path.stat().st_mtime_ns for path in UNITS.glob("hubwright*")} == units
    assert [main_pid(f"hubwright-{part}") for part in PARTS] == pids


def test_up_beside_it_explains_itself() -> None:
    said = run(COMMAND, "up", code=77)
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


def test_each_unit_begins_anew_alone() -> None:
    """Restarted, or killed: another process, the others as they were, the notebook goes on."""
    notebook, kernel, pid = begin()
    every = [f"hubwright-{part}.service" for part in (*PARTS, "keeper")]
    for unit in every:
        for how in ("restart", "kill"):
            before = {name: main_pid(name) for name in every}
            if how == "restart":
                run("systemctl", "restart", unit)
            else:
                os.kill(before[unit], 9)
            wait(lambda unit=unit, old=before[unit]: main_pid(unit) not in (0, old))
            still(notebook, kernel, pid)
            after = {name: main_pid(name) for name in every}
            assert {name for name in every if after[name] != before[name]} == {unit}, how
    wait(lambda: json.loads(subprocess.run([COMMAND, "status", "--json"], capture_output=True).stdout)["well"])
    SERVICE.stop(PERSON)


def test_an_upgrade_keeps_notebooks() -> None:
    """A newer version of the package, by `git pull` and `sudo ./install`, while somebody works.

    What was there is saved; the parts are new and serve the new pages, Caddy and the kernel are as they were. A notebook
    that is started from then on runs in the new version.
    """
    notebook, kernel, pid = begin()
    before = {part: main_pid(f"hubwright-{part}") for part in PARTS}
    asks = "import json, hubwright; print(json.dumps(hubwright.__version__))"
    old = kernel.value(asks)
    checkout = Path("/home", ADMIN, "hubwright")
    for name, told in (("pyproject.toml", 'version = "{}"'), ("src/hubwright/__init__.py", '__version__ = "{}"')):
        change(checkout / name, told.format(old), told.format(f"{old}.post1"))
    templates = checkout / "src/hubwright/hub/pages/templates/hubwright"
    change(templates / "home.html", "{% block title %}", "{% block title %}Newer ")
    said = install()
    assert f"Bringing {ENVIRONMENT} up to date" in said
    kept = Path(re.search(r"is saved: (\S+)", said)[1])  # type: ignore[index]
    wait(lambda: all(main_pid(f"hubwright-{part}") not in (0, before[part]) for part in PARTS if part != "caddy"))
    still(notebook, kernel, pid)
    assert main_pid("hubwright-caddy") == before["caddy"]
    assert "<title>Newer Home" in log_in(PERSON, PASSWORD).text
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    with tarfile.open(kept) as archive:
        assert {"etc/hubwright/hub.yaml", "var/lib/hubwright/service/hub.sqlite"} <= set(archive.getnames())
    assert "Nothing to do" in install()
    assert Kernel(notebook, kernel.id).value(asks) == old
    SERVICE.stop(PERSON)
    assert begin()[1].value(asks) == f"{old}.post1"
    SERVICE.stop(PERSON)


def test_another_port_is_taken_over() -> None:
    """hub.yaml says another port, and back: `install` moves the service there, the notebook goes on."""
    notebook, kernel, pid = begin()
    for port in (8001, 8000):
        CONFIG.write_text(YAML.replace("8000", str(port)))
        run(COMMAND, "install", timeout=600)
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
    assert "systemctl start hubwright" in run(COMMAND, "status", code=69)
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
    said = run(COMMAND, "uninstall", "--yes")
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
    ours = (b"hubwright ", b"notebook-server ", bytes(ENVIRONMENT))  # forked ones go by their titles
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if read(path).startswith(ours)]


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
