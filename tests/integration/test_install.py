"""From nothing to a page: `./up` in a checkout as root, what it says when it cannot, and `hubwright up` without a file."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.conftest import Account, wait_until
from tests.integration.auth.hub import Browser
from tests.running import PREFIX, Service, port

from hubwright.machine.place import system_state

ROOT = Path(__file__).parents[2]
NEEDED = ("src", "tools", "up", "pyproject.toml", "README.md", "LICENSE")
YAML = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
"""

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder where root may install, and which everybody may read."""
    made = Path(tempfile.mkdtemp(prefix="hwt-", dir="/opt"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def copy_of_checkout(folder: Path, owner: Account | None = None) -> Path:
    """Make a copy of what a checkout needs, somebody's or root's."""
    copy = folder / "checkout"
    copy.mkdir()
    (copy / "hub.yaml").touch()
    for name in NEEDED:
        subprocess.run(["cp", "-r", ROOT / name, copy / name], check=True)
    subprocess.run(["chown", "-R", f"{owner.uid}:{owner.gid}" if owner else "root:root", copy], check=True)
    return copy


@pytest.fixture
def checkout(folder: Path) -> Path:
    """A checkout that everybody may read."""
    return copy_of_checkout(folder)


def pip_settings() -> dict[str, str]:
    """How this machine reaches a package index."""
    names = re.compile(r"PIP_\w+|\w+_proxy|SSL_CERT_FILE", re.IGNORECASE)
    return {name: value for name, value in os.environ.items() if names.fullmatch(name)}


def link(source: str, target: str) -> None:
    """Link a file where that can be done, for speed: pip replaces files and changes none in place."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def furnish(environment: Path) -> Path:
    """Make an environment with what Hubwright depends on, so that only Hubwright itself is to be installed."""
    shutil.copytree(PREFIX, environment, symlinks=True, copy_function=link)
    for mark in (*environment.glob("*.stamp"), *environment.glob("*.log")):
        mark.unlink()
    return environment


@pytest.fixture(scope="module")
def environment() -> Iterator[Path]:
    """Where `./up` installs as root."""
    above = Path(tempfile.mkdtemp(prefix="hwt-", dir="/opt"))
    above.chmod(0o755)
    yield furnish(above / "env")
    shutil.rmtree(above)


@dataclass
class FromCheckout(Service):
    """`./up --config hub.yaml` in a checkout, and the command line of the environment that it makes."""

    environment: Path = Path()
    sudo: Account | None = None
    """Who called sudo."""

    @property
    def state(self) -> Path:
        state = self.folder / ".hubwright"
        return state if self.account else system_state(state)

    def command(self, *words: str) -> list[str]:
        program = self.folder / "up" if words[0] == "up" else self.environment / "bin" / "hubwright"
        rest = words[1:] if words[0] == "up" else words
        return [str(program), *rest, "--config", str(self.folder / "hub.yaml")]

    def env(self) -> dict[str, str]:
        who = {"SUDO_UID": str(self.sudo.uid)} if self.sudo else {}
        where = {} if self.account else {"HUBWRIGHT_ENVIRONMENT": str(self.environment)}
        return {**super().env(), **pip_settings(), **who, **where}


@pytest.fixture(params=["root", "a user"])
def home(request: pytest.FixtureRequest, account: Callable[..., Account]) -> Iterator[tuple[Path, Account | None]]:
    """A folder that nobody but its owner may enter, root or a person, and who that person is."""
    if request.param == "a user":
        owner = account()
        assert owner.home.stat().st_mode & 0o777 == 0o700
        yield owner.home, owner
        return
    made = Path(tempfile.mkdtemp(prefix="hwt-", dir=Path.home()))
    assert (made.stat().st_mode & 0o777, made.stat().st_uid) == (0o700, 0)
    yield made, None
    shutil.rmtree(made)


def test_up_as_root_serves_others_from_a_checkout_that_they_may_not_read(
    home: tuple[Path, Account | None], environment: Path, account: Callable[..., Account]
) -> None:
    """It installs once, outside of that home, and starts from there; somebody else runs a cell.

    The checkout in a person's home is the same as root's: what was installed from that is up to date, and starts soon.
    """
    folder, owner = home
    checkout = copy_of_checkout(folder, owner)
    number = port()
    service = FromCheckout(checkout, YAML.replace("{port}", str(number)), number, environment=environment, sudo=owner)
    other = account()
    fresh = not (environment / "hubwright.stamp").exists()
    try:
        service.up(wait=150 if fresh else 30)
        assert (f"Installing Hubwright into {environment} (once" in service.output()) == fresh
        assert "Bringing" not in service.output()
        assert f"Database, secrets and logs are in {service.state}." in service.output()
        assert "can be changed by others" not in service.output()
        command_line = Path(f"/proc/{service.part('hub')}/cmdline").read_bytes().split(b"\0")
        assert command_line[0] == os.fsencode(environment / "bin" / "python")
        code = "import hubwright, os; print(os.getuid(), hubwright.__file__)"
        uid, file = service.start(other.name).kernel().run(code).split()
        assert int(uid) == other.uid
        assert Path(file).is_relative_to(environment)
        assert service.down() == 0
        inside = [path for path in (folder, *folder.rglob("*")) if path != checkout / "up.log"]
        assert [path for path in inside if path.stat().st_uid != (owner.uid if owner else 0)] == []
    finally:
        service.clean()
        shutil.rmtree(service.state, ignore_errors=True)


def test_up_as_a_user_installs_beside_the_checkout_and_starts_at_once_the_next_time(
    account: Callable[..., Account],
) -> None:
    """In `.venv`, with everything that is written in the checkout or in /tmp; he runs a cell."""
    ada, number = account(), port()
    checkout = copy_of_checkout(ada.home, ada)
    environment = furnish(checkout / ".venv")
    subprocess.run(["find", environment, "-type", "d", "-exec", "chown", f"{ada.uid}:{ada.gid}", "{}", "+"], check=True)
    service = FromCheckout(checkout, YAML.replace("{port}", str(number)), number, ada, environment=environment)
    try:
        service.up(wait=150)
        assert f"Installing Hubwright into {environment} (once" in service.output()
        uid, file = (
            service.start(ada.name).kernel().run("import hubwright, os; print(os.getuid(), hubwright.__file__)").split()
        )
        assert int(uid) == ada.uid
        assert Path(file).is_relative_to(environment)
        assert service.down() == 0
        service.up(wait=30)
        assert service.output().count("Installing") == 1
        assert service.down() == 0
    finally:
        service.clean()


def standing_in(python: str) -> str:
    """Return shell words that put something else in the place of Python, for one process and its children."""
    return f"mount --make-rprivate / && {python} && exec ./up"


def test_without_python_it_says_what_to_install(checkout: Path, folder: Path) -> None:
    pythons = {Path(path).resolve() for name in ("/usr/bin", "/usr/local/bin") for path in Path(name).glob("python3*")}
    hidden = " && ".join(f"mount --bind /bin/false '{path}'" for path in pythons if path.is_file())
    done = run(["unshare", "--mount", "sh", "-c", standing_in(hidden)], checkout, folder / "env")
    assert done.returncode == 1
    assert "./up: No Python 3.11 or newer was found that belongs to the system." in done.stderr
    assert "apt install python3" in done.stderr
    assert not (folder / "env").exists()


def test_without_venv_it_says_what_to_install(checkout: Path, folder: Path) -> None:
    """Debian keeps `ensurepip` in a package of its own."""
    broken = folder / "ensurepip"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError\n")
    find = "from importlib.util import find_spec; print(find_spec('ensurepip').submodule_search_locations[0])"
    packages = " && ".join(
        f"""mount --bind {broken} "$({python} -I -c "{find}")" """
        for python in ("/usr/bin/python3", "/usr/local/bin/python3")
        if Path(python).exists()
    )
    done = run(["unshare", "--mount", "sh", "-c", standing_in(packages)], checkout, folder / "env")
    assert done.returncode == 1
    assert "has no venv module." in done.stderr
    assert "apt install python3-venv" in done.stderr


def test_where_it_may_not_write_it_says_so(checkout: Path, account: Callable[..., Account]) -> None:
    ada = account()
    done = run([str(checkout / "up")], checkout, checkout / ".venv", ada)
    assert done.returncode == 1
    assert f"./up: Cannot write in {checkout}." in done.stderr
    assert "copy the checkout to a folder of your own" in done.stderr


def run(
    argv: list[str], checkout: Path, environment: Path, account: Account | None = None
) -> subprocess.CompletedProcess[str]:
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HUBWRIGHT_ENVIRONMENT": str(environment)}
    who = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
    return subprocess.run(argv, cwd=checkout, env=env, capture_output=True, text=True, timeout=60, **who)


def test_up_in_an_empty_folder_prints_the_link_of_the_first_admin(account: Callable[..., Account]) -> None:
    """No hub.yaml, no root: defaults, and whoever started it is the admin."""
    try:
        httpx.get("http://127.0.0.1:8000/", timeout=5)
        pytest.skip("something answers on port 8000, which is the default")
    except httpx.HTTPError:
        pass
    ada = account()
    folder = ada.home / "empty"
    folder.mkdir()
    os.chown(folder, ada.uid, ada.gid)
    env = {"PATH": "/usr/bin:/bin", "HOME": str(ada.home), "LANG": "C.UTF-8"}
    out = (ada.home / "up.log").open("wb")
    with (
        out,
        subprocess.Popen(
            [f"{sys.prefix}/bin/hubwright", "up"],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            user=ada.uid,
            group=ada.gid,
            extra_groups=[],
        ) as process,
    ):
        browser = Browser("http://127.0.0.1:8000")
        try:
            told = ada.home / "up.log"
            wait_until(lambda: "token=" in told.read_text() or process.poll() is not None, 60)
            text = told.read_text()
            assert f"only {ada.name} is served" in text
            assert "http://127.0.0.1:8000/" in text.splitlines()
            link = re.search(rf"http\S+/hub/claim\?user={ada.name}&token=\S+", text)
            assert link, text
            assert browser.claim(dict(httpx.URL(link[0]).params), "correct horse").status_code == 302
            assert browser.who() == ada.name
            assert (folder / ".hubwright").stat().st_mode & 0o777 == 0o700
            assert sorted(os.listdir(folder)) == [".hubwright"]
            process.send_signal(signal.SIGINT)
            assert process.wait(40) == 0
        finally:
            browser.client.close()
            if process.poll() is None:
                process.terminate()
                process.wait(40)
            shutil.rmtree(f"/tmp/hubwright-{ada.uid}", ignore_errors=True)
