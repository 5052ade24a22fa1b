"""What every test may use: the rule for tests that need root, free ports, Unix accounts that are removed again."""

from __future__ import annotations

import itertools
import json
import os
import pwd
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import laid_out
from tests.running import port
from tests.slowness import SLOWNESS

EXECUTED = ("python", "-m", "ipykernel_launcher", "-f", "{connection_file}")
"""The command of a kernel that is no fork."""
CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root: run ./test as root")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give tests on a slow machine longer."""
    if SLOWNESS > 1:
        for item in items:
            mark = item.get_closest_marker("timeout")
            seconds = float(mark.args[0] if mark else config.getini("timeout"))
            item.add_marker(pytest.mark.timeout(seconds * SLOWNESS), append=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """In CI a test that needs root may not be skipped: there it would never run anywhere."""
    report = yield
    must_run = item.get_closest_marker("root") and not item.get_closest_marker("optional")
    if CI and report.skipped and must_run and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which CI does not allow: {report.longrepr}"
    return report


@pytest.fixture(scope="session", autouse=True)
def _laid_out() -> Iterator[None]:
    with laid_out.keeping():
        yield


@pytest.fixture
def free_port() -> int:
    """A TCP port that nobody listens on now."""
    return port()


@contextmanager
def an_ordinary_user() -> Iterator[None]:
    """Look at files as somebody else: root may look everywhere."""
    before = os.geteuid()
    try:
        if before == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(before)


@dataclass(frozen=True)
class Account:
    """A Unix account that lives as long as the test."""

    name: str
    password: str
    uid: int
    gid: int
    home: Path

    def run(self, command: Sequence[str], cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end as this account, with nothing of the tests' environment."""
        env = {"HOME": str(self.home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "COLUMNS": "200", **variables}
        return subprocess.run(
            command,
            cwd=cwd,
            env=env,
            user=self.uid,
            group=self.gid,
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=60,
        )

    def add_kernel(self, name: str, argv: Sequence[str] = EXECUTED) -> None:
        """Put a kernelspec of one's own into the home; IPython's kernel, executed, when nothing else is named."""
        folder = self.home / ".local/share/jupyter/kernels" / name
        folder.mkdir(parents=True, exist_ok=True)
        spec = {"argv": list(argv), "display_name": name.title(), "language": "python"}
        (folder / "kernel.json").write_text(json.dumps(spec))
        for place in (folder / "kernel.json", folder, *itertools.islice(folder.parents, 4)):
            os.chown(place, self.uid, self.gid)

    def add_environment(self, name: str) -> None:
        """Make a virtual environment in the home, with ipykernel from the environment of the tests."""
        prefix = self.home / name
        _run(sys.executable, "-m", "venv", "--without-pip", str(prefix))
        (packages,) = prefix.glob("lib/python3*/site-packages")
        (ours,) = Path(sys.prefix).glob("lib/python3*/site-packages")
        (packages / "ipykernel").symlink_to(ours / "ipykernel")
        (packages / "rest.pth").write_text(f"{ours}\n")
        _run("chown", "-R", f"{self.uid}:{self.gid}", str(prefix))


@pytest.fixture
def account() -> Iterator[Callable[..., Account]]:
    """Make Unix accounts, `account()` or `account(groups=["x"])`; they, their processes and homes go at the end."""
    with _accounts() as make:
        yield make


@pytest.fixture(scope="module")
def module_account() -> Iterator[Callable[..., Account]]:
    """As `account`, for the tests of a whole module."""
    with _accounts() as make:
        yield make


@pytest.fixture(scope="module")
def ada(module_account: Callable[..., Account]) -> Account:
    """Somebody, for a whole module."""
    return module_account()


@pytest.fixture(scope="module")
def bob(module_account: Callable[..., Account]) -> Account:
    """Somebody else."""
    return module_account()


class _accounts:
    def __init__(self) -> None:
        self.made: list[str] = []

    def __enter__(self) -> Callable[..., Account]:
        return self.make

    def make(self, groups: tuple[str, ...] | list[str] = (), *, home: bool = True) -> Account:
        name, password = f"hwt-{secrets.token_hex(4)}", secrets.token_urlsafe(12)
        self.made.append(name)
        options = ["--create-home", "--key", "HOME_MODE=0700"] if home else ["--no-create-home"]
        _run(
            "useradd",
            *options,
            "--user-group",
            "--shell",
            "/bin/bash",
            *(["--groups", ",".join(groups)] * bool(groups)),
            name,
        )
        _run("chpasswd", text=f"{name}:{password}\n")
        entry = pwd.getpwnam(name)
        return Account(name, password, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir))

    def __exit__(self, *reason: object) -> None:
        for name in self.made:
            remove_account(name)


def remove_account(name: str) -> None:
    """Remove an account with its processes, home and mail, also one that is made only in part."""
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        return
    for _ in range(50):
        pids = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdecimal() and _owner(p) == uid]
        if not pids:
            break
        for pid in pids:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        time.sleep(0.05)
    _run("userdel", "--remove", "--force", name, check=False)


def _owner(path: Path) -> int:
    try:
        return path.stat().st_uid
    except FileNotFoundError:
        return -1


def _run(*argv: str, text: str = "", check: bool = True) -> None:
    for attempt in range(10):
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=60 * SLOWNESS)
        if done.returncode == 0 or "lock" not in done.stderr:
            break
        time.sleep(0.2 * (attempt + 1))  # another test, or apt, holds /etc/passwd
    if check and done.returncode:
        raise AssertionError(f"{argv[0]} failed: {done.stderr}")


def wait_until(true: Callable[[], object], seconds: float = 20) -> None:
    """Wait until `true()` holds; fails, naming it, when it does not within `seconds` (more on a slow machine)."""
    deadline = time.monotonic() + seconds * SLOWNESS
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {true}"
        time.sleep(0.05)


def measured(measure: Callable[[], float], enough: float) -> list[float]:
    """Measure up to five times, until `enough` is reached: on a busy machine a process gets less than it may have."""
    found: list[float] = []
    while len(found) < 5 and (not found or max(found) < enough):
        found.append(measure())
    return found
