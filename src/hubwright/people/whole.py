"""The homes of many people as one archive: a plain tar with each person's own archive in it, one after another."""

from __future__ import annotations

import os
import pwd
import re
import stat
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from hubwright.errors import HubwrightError, MachineError, Refused
from hubwright.people import archive
from hubwright.people.archive import Archive, Done, Tell

NAME = "all"
_ENDING = ".tar"
_NAME = re.compile(rf"{NAME}-([0-9]{{8}}-[0-9]{{6}}){re.escape(_ENDING)}")
_BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True)
class Whole:
    """What became of everybody's home."""

    path: Path
    done: dict[str, Done]
    failed: dict[str, HubwrightError]


def create(people: Iterable[pwd.struct_passwd], state: Path, tell: Tell = lambda *_: None) -> Whole:
    """Pack homes into one archive, which appears when it is whole and each part has been read once more.

    Who cannot be packed is left out and told; the others are in it.

    Raises:
        MachineError: nobody's home could be packed; there is no archive then.
    """
    done: dict[str, Done] = {}
    failed: dict[str, HubwrightError] = {}
    with archive.appearing(archive.folder(state), NAME, _ENDING) as (file, path):
        for entry in people:
            begin = file.tell()
            try:
                done[entry.pw_name] = _add(entry, file, path, tell)
            except HubwrightError as error:
                failed[entry.pw_name] = error
                file.seek(begin)
                file.truncate()
        if not done:
            raise MachineError("No home could be packed.", where=str(path.parent)) from next(
                iter(failed.values()), None
            )
        file.write(bytes(2 * _BLOCK))  # a tar's end
    return Whole(path, done, failed)


def _add(entry: pwd.struct_passwd, file: IO[bytes], path: Path, tell: Tell) -> Done:
    """Append one home; its header is written when its size is known."""
    archive.check(entry)
    begin = file.tell()
    info = tarfile.TarInfo(f"{entry.pw_name}-{datetime.now().astimezone():%Y%m%d-%H%M%S}.tar.gz")
    info.mode, info.mtime = 0o600, int(datetime.now().timestamp())
    file.seek(begin + _BLOCK)
    done = archive.pack(entry, file, path, tell)
    end = file.seek(0, os.SEEK_END)
    info.size = end - begin - _BLOCK
    file.write(bytes(-end % _BLOCK))
    os.pwrite(file.fileno(), info.tobuf(tarfile.GNU_FORMAT), begin)  # one block, whatever the size
    return done


def found(state: Path) -> list[Archive]:
    """Return the archives of many homes, the newest first; their user is `NAME`."""
    named = ((_NAME.fullmatch(path.name), path) for path in (state / archive.FOLDER).glob(f"*{_ENDING}"))
    archives = [
        Archive(NAME, archive.parse_time(match[1]), path, path.stat().st_size) for match, path in named if match
    ]
    return sorted(archives, key=lambda one: one.made, reverse=True)


def members(path: Path) -> list[Archive]:
    """Return everybody's archive in one of many homes.

    Raises:
        Refused: there is no such file, or it is no archive.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Refused(f"{path} is no file.")
            with tarfile.open(fileobj=file, mode="r:") as tar:
                inside = [(archive.parse(info.name), info) for info in tar if info.isreg()]
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}.") from error
    except tarfile.TarError as error:
        raise Refused(f"{path} is no archive of homes.") from error
    return [Archive(*name, path, info.size, info.offset_data) for name, info in inside if name]
