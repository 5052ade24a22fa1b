"""Archives of homes in `archive/` of the state folder: made, listed, restored; the work is `pack`'s, as the owner."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from hubwright.errors import MachineError, Refused, printable
from hubwright.machine.files import Owner, make_folder

FOLDER = "archive"
RESERVE = 2**30
"""Bytes of the disk that an archive never takes."""
_FIRST_PERSON = 1000
_SILENT = 300.0
"""Seconds without a word after which packing counts as stuck; it tells one every second."""
_DYING = 5.0
"""Seconds that a killed child may take to end; one that waits for a dead file system never does, and is left."""
_NAME = re.compile(r"([a-z_][a-z0-9_.-]{0,31})-([0-9]{8}-[0-9]{6})\.tar\.gz")
_LARGEST = 2**60
Tell = Callable[[str, dict[str, Any]], None]
"""Called with a name and `{"entries": n, "bytes": n, ...}` about once a second."""


@dataclass(frozen=True)
class Archive:
    """The archive of a home."""

    user: str
    made: datetime
    path: Path
    size: int
    begin: int = 0
    """Where in the file it begins: one of all homes holds many."""


@dataclass(frozen=True)
class Done:
    """What became of it."""

    path: Path
    entries: int
    bytes: int
    lost: tuple[str, ...]
    """What could not be read or written, the first twenty."""
    lost_count: int


def folder(state: Path) -> Path:
    """Return the folder of archives, made when it is missing: root's alone."""
    return make_folder(state / FOLDER, 0o700, Owner.me())


def found(state: Path, user: str | None = None) -> list[Archive]:
    """Return the archives, the newest first."""
    archives = []
    for path in (state / FOLDER).glob("*.tar.gz"):
        if (name := parse(path.name)) and user in {None, name[0]}:
            archives.append(Archive(*name, path, path.stat().st_size))
    return sorted(archives, key=lambda one: (one.made, one.user), reverse=True)


def parse(name: str) -> tuple[str, datetime] | None:
    """Return whose archive has this name, and when it was made; None when it is no name of one."""
    match = _NAME.fullmatch(name)
    return (match[1], parse_time(match[2])) if match else None


def parse_time(text: str) -> datetime:
    """Return the moment that stands in an archive's name; `ValueError` when it is none."""
    return datetime.strptime(text, "%Y%m%d-%H%M%S").astimezone()


def create(entry: pwd.struct_passwd, state: Path, tell: Tell = lambda *_: None) -> Done:
    """Pack the home of an account; the archive appears when it is whole and has been read once more.

    Raises:
        Refused: a system account.
        MachineError: the disk has no room, or the home cannot be read.
    """
    check(entry)
    with appearing(folder(state), entry.pw_name, ".tar.gz") as (file, path):
        return pack(entry, file, path, tell)


def pack(entry: pwd.struct_passwd, file: IO[bytes], path: Path, tell: Tell) -> Done:
    """Pack a home into an open file from where it stands, to its end, and read it once more; `path` is for messages.

    Raises:
        MachineError: the disk has no room, or the home cannot be read.
    """
    begin = file.tell()
    room = shutil.disk_usage(path.parent).free - RESERVE
    if room <= 0:
        raise MachineError("The disk is too full for an archive.", where=str(path.parent), remedy="Make room.")
    told = _run("create", entry, room, tell, stdout=file.fileno())
    file.seek(begin)
    again = _run("verify", entry, room, tell, stdin=file.fileno())
    if (again["entries"], again["bytes"]) != (told["entries"], told["bytes"]):
        raise MachineError(f"The archive of {entry.pw_name} does not hold what was put in.")
    return Done(path, told["entries"], told["bytes"], tuple(told["lost"]), told["lost_count"])


@contextlib.contextmanager
def appearing(place: Path, name: str, ending: str) -> Iterator[tuple[IO[bytes], Path]]:
    """Yield an open file, and where it appears, as `NAME-DATE` and the ending, when it is left without an exception."""
    for left in place.glob(f".{name}-*.partial"):
        left.unlink()
    path = _free_name(place, name, ending)
    partial = path.with_name(f".{path.name}.partial")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(partial, flags, 0o600), "rb+", buffering=0) as file:
        try:
            yield file, path
            os.fsync(file.fileno())
            os.link(partial, path)  # unlike a rename it overwrites nothing
        finally:
            partial.unlink()


def restore(entry: pwd.struct_passwd, archive: Archive, tell: Tell = lambda *_: None) -> Done:
    """Write an archive into a new folder of the account's home, beside what is there.

    Raises:
        Refused: there is such a folder already, or it is a system account.
        MachineError: the disk has no room, or the archive is damaged.
    """
    check(entry)
    name = f"restored-{archive.made:%Y%m%d-%H%M%S}"
    home = Path(entry.pw_dir)
    room = shutil.disk_usage(home.parent).free - RESERVE
    with open(os.open(archive.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0) as file:
        file.seek(archive.begin)
        told = _run("restore", entry, room, tell, name, str(archive.size), stdin=file.fileno())
    return Done(home / name, told["entries"], told["bytes"], tuple(told["lost"]), told["lost_count"])


def remove_home(entry: pwd.struct_passwd, tell: Tell = lambda *_: None) -> None:
    """Remove a home with its owner's rights, and at last its folder.

    Raises:
        MachineError: something in it is not the owner's to remove.
    """
    check(entry)
    home = Path(entry.pw_dir)
    if not os.path.lexists(home):
        return
    told = _run("empty", entry, _LARGEST, tell)
    try:
        home.rmdir()
    except OSError as error:
        lost = f" ({told['lost'][0]})" if told["lost"] else ""
        raise MachineError(f"Something in {home} cannot be removed{lost}: {error.strerror}.") from error


def _free_name(place: Path, name: str, ending: str) -> Path:
    for _ in range(100):
        path = place / f"{name}-{datetime.now().astimezone():%Y%m%d-%H%M%S}{ending}"
        if not path.exists():
            return path
        time.sleep(0.1)
    raise MachineError(f"There is an archive of {name} from this second already.", where=str(place))


def check(entry: pwd.struct_passwd) -> None:
    """Refuse the home of a system account with `Refused`."""
    if entry.pw_uid < _FIRST_PERSON or entry.pw_uid == 65534:
        raise Refused(f"{entry.pw_name} is a system account.")


def _run(what: str, entry: pwd.struct_passwd, largest: int, tell: Tell, *more: str, **streams: int) -> dict[str, Any]:
    """Run `pack` and return its last word."""
    words = [entry.pw_name, str(entry.pw_uid), str(entry.pw_gid), entry.pw_dir, str(largest), *more]
    argv = [sys.executable, "-I", "-m", "hubwright.people.pack", what, *words]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **streams}
    told: dict[str, Any] = {}
    child = subprocess.Popen(argv, stderr=subprocess.PIPE, env={"LANG": "C.UTF-8"}, cwd="/", **streams)  # type: ignore[call-overload]
    try:
        for line in _lines(child):
            told = line
            tell(entry.pw_name, told)
    except BaseException:
        child.kill()
        raise
    finally:
        child.stderr.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_DYING)
    if not told.get("done"):
        why = printable(told.get("error") or "the program that does it has ended")
        if "already" in why:
            raise Refused(f"{entry.pw_name}: {why}.", remedy="Move that folder away first; nothing is overwritten.")
        raise MachineError(f"The home of {entry.pw_name} cannot be done: {why}.", where=entry.pw_dir)
    return told


def _lines(child: Any) -> Any:
    """Yield what the child tells, while it tells something."""
    descriptor, rest = child.stderr.fileno(), b""
    while True:
        if not select.select([descriptor], [], [], _SILENT)[0]:
            raise MachineError(f"Nothing has happened for {_SILENT:.0f} s.", remedy="Does the disk of the home answer?")
        data = os.read(descriptor, 65536)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError:
                yield {"error": line.decode(errors="replace")[:300]}
