"""An installation as one archive: hub.yaml, units and state, packed before anything of it is changed or removed."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from hubwright.errors import MachineError
from hubwright.fields import Site
from hubwright.machine.files import Owner, make_folder
from hubwright.people.archive import FOLDER as HOMES

FOLDER = Path("/var/backups/hubwright")
LEFT_OUT = ("logs", "static", HOMES)
"""Folders of the state that are not packed: they are rebuilt, or stay where they are (archives of homes)."""
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
    for folder, mode in ((FOLDER.parent, 0o755), (FOLDER, 0o700)):
        make_folder(folder, mode, Owner(0, 0))
    made = FOLDER / f"{time.strftime('%Y%m%d-%H%M%S')}-{why}.tar.gz"
    with tempfile.TemporaryDirectory(prefix=".", dir=FOLDER) as place:
        whole = Path(place) / made.name
        try:
            with whole.open("xb") as out, tarfile.open(fileobj=out, mode="w:gz", compresslevel=3) as archive:
                for path in files:
                    _add(archive, path.name, os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY), path, whole=True)
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
            if name.endswith(_DATABASE):
                _add_database(archive, site, here / name)
            elif not name.endswith(_BESIDE):
                _add(archive, name, descriptor, here / name)


def _add(archive: tarfile.TarFile, name: str, folder: int, path: Path, *, whole: bool = False) -> None:
    """Add a file, or the link that it is; no link is followed, since the hub's account may write in the state.

    `whole` closes `folder`.
    """
    try:
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except OSError:
            if stat.S_ISLNK(os.lstat(path).st_mode):
                link = tarfile.TarInfo(str(path).lstrip("/"))
                link.type, link.linkname = tarfile.SYMTYPE, str(path.readlink())
                archive.addfile(link)
            return
        with os.fdopen(descriptor, "rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                data = file.read()
                member = archive.gettarinfo(arcname=str(path).lstrip("/"), fileobj=file)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    finally:
        if whole:
            os.close(folder)


def _add_database(archive: tarfile.TarFile, site: Site, path: Path) -> None:
    """Add a whole copy of an SQLite database, made by its owner: whatever lies beside it, root does not open it."""
    owner = Owner.of(site.account)
    with tempfile.TemporaryDirectory() as place:
        os.chown(place, owner.uid, owner.gid)
        copy = Path(place) / path.name
        command = [sys.executable, "-I", "-c", _COPY, str(path), str(copy)]
        subprocess.run(
            command, user=owner.uid, group=owner.gid, extra_groups=[], umask=0o077, cwd="/", timeout=600, check=True,
            capture_output=True,
        )  # fmt: skip
        member = archive.gettarinfo(str(copy), arcname=str(path).lstrip("/"))
        with os.fdopen(os.open(copy, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            archive.addfile(member, file)
