"""An installation as one archive: hub.yaml, units and state, packed before anything of it is changed or removed."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, cast

from hubwright.errors import MachineError
from hubwright.fields import Site
from hubwright.machine.files import Owner, make_folder, open_plain
from hubwright.people.archive import FOLDER as HOMES

FOLDER = Path("/var/backups/hubwright")
LEFT_OUT = ("logs", "static", HOMES)
"""Folders of the state that are not packed: they are rebuilt, or stay where they are (archives of homes)."""
_LARGEST = 2**36
"""Bytes of one file; a larger one, which may be all holes, would be packed for hours."""
_DATABASE = ".sqlite"
_BESIDE = (".sqlite-wal", ".sqlite-shm", ".sqlite-journal")
_COPY = """\
import sqlite3, sys
from contextlib import closing
with closing(sqlite3.connect(sys.argv[1])) as found, closing(sqlite3.connect(sys.argv[2])) as copy:
    found.backup(copy)
"""


def save(site: Site, files: Iterable[Path], why: str) -> Path:
    """Pack `files`, and the state, into a new archive of root's alone; return it.

    Databases are copied whole while they are in use. It is unpacked by `tar -x -C / -f ARCHIVE`.

    Raises:
        MachineError: it cannot be written; nothing is left then.
    """
    if not FOLDER.parent.is_dir():  # else it is the machine's, and perhaps closed
        make_folder(FOLDER.parent, 0o755, Owner(0, 0))
    make_folder(FOLDER, 0o700, Owner(0, 0))
    made = FOLDER / f"{time.strftime('%Y%m%d-%H%M%S')}-{why}.tar.gz"
    with tempfile.TemporaryDirectory(prefix=".", dir=FOLDER) as place:
        whole = Path(place) / made.name
        try:
            with whole.open("xb") as out, tarfile.open(fileobj=out, mode="w:gz", compresslevel=3) as archive:
                for path in files:
                    beside = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                    try:
                        _add(archive, path.name, beside, path)
                    finally:
                        os.close(beside)
                _add_state(archive, site)
                archive.close()
                out.flush()
                os.fsync(out.fileno())
            whole.chmod(0o600)
            whole.rename(made)
        except (OSError, subprocess.SubprocessError) as error:
            what = f"What is there could not be saved first: {error}."
            raise MachineError(
                what, where=str(made), remedy="Make room, then try again; nothing was changed."
            ) from error
    return made


def _add_state(archive: tarfile.TarFile, site: Site) -> None:
    for place, folders, names, descriptor in os.fwalk(site.state, follow_symlinks=False):
        here = Path(place)
        if here == site.state:
            folders[:] = [name for name in folders if name not in LEFT_OUT]
        member = tarfile.TarInfo(str(here).lstrip("/"))
        found = os.fstat(descriptor)
        member.type, member.mode, member.mtime = tarfile.DIRTYPE, stat.S_IMODE(found.st_mode), found.st_mtime
        member.uid, member.gid = found.st_uid, found.st_gid
        archive.addfile(member)
        for name in names:
            if name.endswith(_BESIDE):
                continue
            if name.endswith(_DATABASE) and stat.S_ISREG(_mode(name, descriptor)):
                _add_database(archive, site, here / name)
            else:
                _add(archive, name, descriptor, here / name)


def _add(archive: tarfile.TarFile, name: str, folder: int, path: Path) -> None:
    """Add a file, or the link that it is; no link is followed, since the hub's account may write in the state.

    What is neither, a pipe or a socket, is left out.
    """
    try:
        file = open_plain(name, folder=folder)
    except OSError:
        mode = _mode(name, folder)
        if stat.S_ISLNK(mode):
            link = tarfile.TarInfo(str(path).lstrip("/"))
            link.type, link.linkname = tarfile.SYMTYPE, os.readlink(name, dir_fd=folder)
            archive.addfile(link)
        elif stat.S_ISREG(mode):
            raise
        return
    with file:
        _add_open(archive, file, path)


def _add_open(archive: tarfile.TarFile, file: BinaryIO, path: Path) -> None:
    """Add what is open as `path`, a file of its own also when it has more names (`tarfile` would make that a link)."""
    size = os.fstat(file.fileno()).st_size
    if size > _LARGEST:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    member = archive.gettarinfo(arcname=str(path).lstrip("/"), fileobj=file)
    member.type, member.linkname, member.size = tarfile.REGTYPE, "", size
    archive.addfile(member, cast(BinaryIO, _Announced(file)))


class _Announced:
    """A file that gives as much as is asked for, with zeros at its end: its owner may shorten it meanwhile."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, count: int) -> bytes:
        return self._file.read(count).ljust(count, b"\0")


def _mode(name: str, folder: int) -> int:
    """Return type and mode of what has this name; 0 when it is gone."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0


def _add_database(archive: tarfile.TarFile, site: Site, path: Path) -> None:
    """Add a whole copy of an SQLite database, made by its owner: whatever lies beside it, root does not open it.

    Of root's terminal the copying program has nothing: the owner may take it over, and type there (TIOCSTI).
    """
    owner = Owner.of(site.account)
    with tempfile.TemporaryDirectory() as place:
        os.chown(place, owner.uid, owner.gid)
        copy = Path(place) / path.name
        command = [sys.executable, "-I", "-c", _COPY, str(path), str(copy)]
        subprocess.run(
            command, user=owner.uid, group=owner.gid, extra_groups=[], umask=0o077, cwd="/", timeout=600, check=True,
            capture_output=True, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        with open_plain(copy) as file:
            _add_open(archive, file, path)
