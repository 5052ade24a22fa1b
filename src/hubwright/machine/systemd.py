"""systemd as programs speak to it: `systemctl`, the socket on which a unit tells how it is, and words in unit files."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from hubwright.errors import MachineError, NotRunning

UNITS = Path("/etc/systemd/system")
"""Where the units of whoever administers the machine are (systemd.unit(5))."""
_PLAIN = re.compile(r"[A-Za-z0-9_@.,:/+=-]+")


def runs() -> bool:
    """Whether systemd runs this machine (sd_booted(3))."""
    return Path("/run/systemd/system").is_dir()


def systemctl(*words: str, timeout: float = 90) -> str:
    """Run `systemctl` and return what it printed.

    Raises:
        MachineError: it is not there, takes longer than `timeout` seconds, or says no.
    """
    try:
        done = subprocess.run(
            ["systemctl", "--no-ask-password", *words],
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LANG": "C", "SYSTEMD_PAGER": ""},
        )
    except FileNotFoundError:
        raise MachineError("This machine has no systemctl.", remedy='Run the service with "hubwright up".') from None
    except subprocess.TimeoutExpired:
        raise MachineError(f"systemctl {' '.join(words)} did not finish in {timeout:g} s.") from None
    if done.returncode:
        raise MachineError(f"systemctl {' '.join(words)} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def show(units: Iterable[str], *properties: str) -> dict[str, dict[str, str]]:
    """Return properties of units by their name; one that is not there has `LoadState=not-found`."""
    names = list(units)
    if not names:
        return {}
    text = systemctl("show", f"--property={','.join(('Id', *properties))}", "--", *names, timeout=30)
    found: dict[str, dict[str, str]] = {}
    for name, block in zip(names, text.strip("\n").split("\n\n"), strict=False):
        found[name] = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
    return found


def is_active(unit: str) -> bool:
    """Whether a unit is there and has not ended."""
    return show([unit], "ActiveState")[unit].get("ActiveState") == "active"


def job_of(unit: str) -> str:
    """Return what systemd is doing with a unit just now: `stop`, `restart`, `start`, or nothing."""
    for line in systemctl("list-jobs", "--no-legend", "--plain", timeout=10).splitlines():
        words = line.split()
        if len(words) >= 3 and words[1] == unit:
            return words[2]
    return ""


def journal(unit: str, count: int) -> list[str]:
    """Return the last lines that a unit wrote since this boot; none when they cannot be read."""
    command = ["journalctl", "--no-pager", "--quiet", "--boot", "--output=cat", f"--lines={count}", f"--unit={unit}"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return []


def notify(text: str) -> None:
    """Tell systemd how this unit is (sd_notify(3)); nothing where nobody listens."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
        try:
            told.connect("\0" + place[1:] if place.startswith("@") else place)
            told.sendall(text.encode())
        except OSError as error:
            raise NotRunning(f"systemd does not listen at {place}: {error.strerror}.") from error


def word(text: str) -> str:
    """Return a word of a command line or a setting as it stands in a unit file (systemd.service(5), QUOTING)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("%", "%%")
    return escaped if _PLAIN.fullmatch(text) else f'"{escaped}"'


def command(words: Iterable[str]) -> str:
    """Return a command line for ExecStart=, whose variables systemd would replace."""
    return " ".join(word(one.replace("$", "$$")) for one in words)


def unit_file(sections: Mapping[str, Iterable[tuple[str, str]]], *, note: str = "") -> str:
    """Return the text of a unit: sections, each with its settings in their order; `note` is a comment above them."""
    lines = [f"# {line}".rstrip() for line in note.splitlines()]
    for name, settings in sections.items():
        lines += [*([""] if lines else []), f"[{name}]", *(f"{key}={value}" for key, value in settings)]
    return "\n".join(lines) + "\n"
