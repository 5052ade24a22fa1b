"""Homes that appear whole or not at all, made by root where nobody else can reach in."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import stat
from pathlib import Path

from hubwright.errors import MachineError, Refused
from hubwright.machine.files import weak_component

SKELETON = Path("/etc/skel")
_MARK = ".hubwright-"


def missing(home: Path, uid: int) -> bool:
    """Whether a home is to be made.

    Raises:
        Refused: what is there belongs to somebody else, or is no folder.
    """
    try:
        found = home.lstat()
    except FileNotFoundError:
        return True
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid:
        raise Refused(
            f"{home} is there already, and belongs to user id {found.st_uid}, not to {uid}.",
            remedy=f"Move it away, or give it to its person: chown -R {uid} {home}",
        )
    return False


def make(entry: pwd.struct_passwd, skeleton: Path | None = None) -> None:
    """Make the home of an account, 0700, with a copy of the skeleton in it.

    It is built beside its place, in a folder that only root can enter, and takes its place by one rename: a kill at any
    moment leaves no half home. What such a kill left is cleaned up here.

    Raises:
        MachineError: the folder of homes or the skeleton could be changed by others, or the disk does not take it.
        Refused: there is something already.
    """
    home = Path(entry.pw_dir)
    if not missing(home, entry.pw_uid):
        return
    source = skeleton or SKELETON
    for place in (home.parent, *([skeleton] if skeleton else [])):
        if not place.is_dir():
            raise MachineError(f"There is no folder {place}.", remedy="Make it.")
        if weakness := weak_component(place):
            raise MachineError(f"{weakness}: root makes no home there.", where=str(place))
    mark = f".{entry.pw_name}{_MARK}"
    try:
        for left in home.parent.glob(f"{mark}*"):
            shutil.rmtree(left)
        fresh = home.parent / f"{mark}{secrets.token_hex(6)}"
        fresh.mkdir(mode=0o700)
        if source.is_dir():
            _copy(source, fresh, entry.pw_uid, entry.pw_gid)
        os.chown(fresh, entry.pw_uid, entry.pw_gid)
        fresh.chmod(0o700)
        fresh.rename(home)
    except OSError as error:
        remedy = "Is it on NFS with root_squash? Make the homes on the machine that has the disk."
        raise MachineError(
            f"Cannot make {home}: {error.strerror or error}.",
            remedy=remedy if isinstance(error, PermissionError) else "",
        ) from error


def _copy(source: Path, target: Path, uid: int, gid: int) -> None:
    """Copy root's tree into a folder that only root can enter; links are copied as links, sockets and such left out."""
    for entry in sorted(os.scandir(source), key=lambda one: one.name):
        place = target / entry.name
        if entry.is_symlink():
            place.symlink_to(Path(entry.path).readlink())
            os.chown(place, uid, gid, follow_symlinks=False)
            continue
        if entry.is_dir():
            place.mkdir(mode=0o700)
            _copy(Path(entry.path), place, uid, gid)
        elif entry.is_file():
            shutil.copyfile(entry.path, place, follow_symlinks=False)
        else:
            continue
        os.chown(place, uid, gid)
        place.chmod(entry.stat().st_mode & 0o755)
