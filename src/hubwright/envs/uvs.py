"""uv, the program: whether it is there, and running it to its end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hubwright.envs import Tell, leash, trying
from hubwright.errors import MachineError, Problem, printable

_WITHOUT = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)(?: ;[^\n\\]*)?$", re.MULTILINE)
"""A line of a lock that has no hash."""
_LONGEST = 3600.0
_PASSED_ON = re.compile(r"(?i)(https?|all|no)_proxy$|SSL_CERT_(FILE|DIR)$")
_JOINS = {"cause": ": ", "hint": ". "}
"""What stands between uv's lines in place of such a word."""
_STEP = re.compile(r"(Resolved|Prepared|Installed|Downloading|Building|Audited) .*")


def missing(setting: str) -> list[Problem]:
    """Return the problem that uv is not there, as one of `setting`."""
    if find_spec("uv"):
        return []
    return [Problem(setting, "needs the package uv.", "Install it beside Hubwright: pip install uv.")]


def program() -> str:
    """Return its path; it must be there."""
    from uv import find_uv_bin

    return find_uv_bin()


def name_of(requirement: str) -> str:
    """Return the name of a package as a requirement names it; something that is none for an option."""
    return re.split(r"[\s\[<>=!~;@(]", requirement, maxsplit=1)[0]


def with_hashes(lock: str, folders: Iterable[Path], where: str) -> str:
    """Return a lock in which each package has the hashes of its archives; uv does not hash those of a folder.

    Args:
        lock: what `uv pip compile --generate-hashes` printed.
        folders: where archives lie.
        where: what of hub.yaml it is for.

    Raises:
        MachineError: a package has none, so nothing would tell it from another.
    """
    archives = [
        path for folder in folders for path in sorted(folder.iterdir()) if path.suffix in {".whl", ".gz", ".zip"}
    ]

    def add(match: re.Match[str]) -> str:
        found = [path for path in archives if _package_of(path) == (_plain(match[1]), match[2])]
        if not found:
            raise MachineError(f"{match[0]} has no hash where it comes from, so it cannot be locked.", where=where)
        hashes = [f"--hash=sha256:{sha256(path.read_bytes()).hexdigest()}" for path in found]
        return " \\\n    ".join([match[0], *hashes])

    return _WITHOUT.sub(add, lock)


def _package_of(archive: Path) -> tuple[str, str]:
    """Return name and version of a wheel, or of a source."""
    if archive.suffix == ".whl":
        name, version, *_ = f"{archive.stem}-".split("-")
    else:
        name, _, version = archive.name.removesuffix(".gz").removesuffix(".tar").removesuffix(".zip").rpartition("-")
    return _plain(name), version


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def run(
    command: Sequence[str], env: Mapping[str, str], where: str, tell: Tell, who: Mapping[str, Any] | None = None
) -> tuple[str, list[str]]:
    """Run a command of uv to its end; return what it printed, and what it said of its work.

    Args:
        command: uv, and what starts it.
        env: its environment.
        where: what of hub.yaml it works for.
        tell: is told its steps.
        who: as whom, for `subprocess`.

    Raises:
        MachineError: it failed, in its own words.
    """
    said: list[str] = []
    with (
        tempfile.TemporaryFile("w+") as told,
        subprocess.Popen(
            command,
            env=env,
            cwd="/",
            stdout=told,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            **{"stdin": subprocess.DEVNULL, **(who or {})},
        ) as process,
    ):
        assert process.stderr
        try:
            for line in process.stderr:
                said.append(line.rstrip())
                if _STEP.match(line.strip()):
                    tell(line.strip())
        except BaseException:
            if process.stdin:  # it is on a leash, which ends it
                process.stdin.close()
            else:
                process.kill()
            raise
        process.wait()
        told.seek(0)
        printed = told.read()
    if process.returncode:
        raise MachineError(_why(said), where=where)
    return printed, said


def run_apart(words: Sequence[str], env: Mapping[str, str], where: str, tell: Tell) -> tuple[str, list[str]]:
    """As `run`, as the account without rights and on a leash: authors' programs run."""
    command = [sys.executable, "-I", "-m", leash.__name__, str(_LONGEST), program(), *words]
    return run(command, env, where, tell, trying.identity() | {"stdin": subprocess.PIPE})


def environment_in(bench: Path) -> dict[str, str]:
    """Return the environment for `run_apart`, with all that it writes in a folder of the account's."""
    passed_on = {name: value for name, value in os.environ.items() if _PASSED_ON.match(name)}
    return passed_on | {
        "HOME": str(bench),
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "TMPDIR": str(bench),
        "UV_CACHE_DIR": str(bench / "cache"),
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
        "NO_COLOR": "1",
        "UV_SYSTEM_CERTS": "1",
    }


@contextmanager
def written(lines: Iterable[str]) -> Iterator[str]:
    """Give a file that the account may read, and nobody else: an address may have a password."""
    with tempfile.NamedTemporaryFile("w", prefix="hubwright-pip-", suffix=".txt") as file:
        file.writelines(f"{line}\n" for line in lines)
        file.flush()
        trying.show(Path(file.name))
        yield file.name


def _why(said: list[str]) -> str:
    """Return uv's reason in one line: what follows its cross, without the frame of lines around it."""
    text = ""
    for line in filter(None, (line.strip(" │├╰─▶") for line in said)):
        word, _, rest = line.partition(": ")
        text = f"{text.rstrip('.')}{_JOINS[word]}{rest}" if word in _JOINS else f"{text} {line}"
    reason = text.partition("×")[2] or text.partition("error:")[2] or text
    return printable(reason.strip()[:1500]) or "uv ended without a word."
