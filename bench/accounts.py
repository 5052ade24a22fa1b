"""Real Unix accounts for a benchmark: `hwb-001`, `hwb-002`, ...; made fresh, and removed whatever happens."""

from __future__ import annotations

import fcntl
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_MARK = "hubwright benchmark"
_LOCK = Path("/run/hubwright-bench.lock")
NOTEBOOK = Path(__file__).with_name("x.ipynb")


@contextmanager
def accounts(count: int, *, login: bool = False) -> Iterator[dict[str, str]]:
    """Make `count` accounts with a fresh home and yield {name: password} (empty passwords unless `login`).

    One benchmark at a time on a machine: waits a minute for the other one, then raises. Removes what it made, and
    what a killed benchmark left; never an account without its mark.
    """
    if os.geteuid() != 0:
        raise SystemExit("The benchmarks make Unix accounts, so they need root.")
    with _LOCK.open("w") as lock:
        _take(lock.fileno())
        remove_all()
        names = [f"hwb-{number:03d}" for number in range(1, count + 1)]
        taken = [name for name in names if _exists(name)]
        if taken:
            raise SystemExit(f"Account {taken[0]} exists and is not a benchmark's. Remove or rename it first.")
        try:
            for name in names:
                # -K: a benchmark's home needs nothing from /etc/skel's defaults but must be private, as `up` makes it
                _run("useradd", "-m", "-s", "/bin/bash", "-c", _MARK, "-K", "HOME_MODE=0700", name)
            passwords = {name: secrets.token_hex(16) if login else "" for name in names}
            if login:
                _run("chpasswd", text="".join(f"{name}:{word}\n" for name, word in passwords.items()))
            yield passwords
        finally:
            remove_all()


def put_notebook(name: str) -> None:
    """Write the notebook of one unexecuted cell into the account's home, owned by the account."""
    account = pwd.getpwnam(name)
    target = Path(account.pw_dir) / "x.ipynb"
    shutil.copyfile(NOTEBOOK, target)
    os.chown(target, account.pw_uid, account.pw_gid)


def remove_all() -> None:
    """Kill what runs as a benchmark's account, and remove these accounts with their homes."""
    marked = [
        entry for entry in pwd.getpwall() if re.fullmatch(r"hwb-\d{3}", entry.pw_name) and entry.pw_gecos == _MARK
    ]
    _kill({entry.pw_uid for entry in marked})
    for entry in marked:
        _run("userdel", "--remove", entry.pw_name)


def _take(descriptor: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise SystemExit("Another benchmark is running on this machine.") from None
            time.sleep(0.5)


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _kill(uids: set[int]) -> None:
    for _ in range(50):
        left = [process for process in psutil.process_iter(["uids"]) if _uid(process) in uids]
        if not left:
            return
        for process in left:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                pass
        psutil.wait_procs(left, timeout=0.2)


def _uid(process: psutil.Process) -> int:
    if process.info["uids"] is None or process.status() == psutil.STATUS_ZOMBIE:
        return -1
    return int(process.info["uids"].real)


def _run(*argv: str, text: str = "") -> None:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]} {argv[-1]} failed: {done.stderr.strip()}")
