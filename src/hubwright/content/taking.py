"""Taking a version of a content from its source, without root's rights for anything that others could have made."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import select
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hubwright.content import git
from hubwright.content.merge import Original
from hubwright.content.originals import FILE, TREE, Version
from hubwright.content.store import Store
from hubwright.content.take import Wanted
from hubwright.errors import MachineError

_SILENT = 300.0
_DYING = 5.0
"""Seconds that a child may take to end; one that waits for a dead file system never does, and is left."""
_FIRST_PERSON = 1000
_NOBODY = 65534
Tell = Callable[[str], None]
"""Takes what is being done, in a few words."""


@dataclass(frozen=True)
class Source:
    """Where originals come from."""

    folder: Path | None
    repository: git.Repository | None
    inside: str = ""

    def __str__(self) -> str:
        """Return it for people."""
        what = str(self.folder)
        if self.repository:
            what = f"{self.repository.address}{f' {self.repository.ref}' if self.repository.ref else ''}"
        return f"{what}, {self.inside}" if self.inside else what


def take(store: Store, source: Source, tell: Tell) -> Version:
    """Return what the source holds now, kept as the newest version unless it is as that was.

    Raises:
        MachineError: it cannot be read, or the disk has no room.
        Refused: somebody else is taking it.
    """
    with store.locked():
        before = store.current()
        if before and _is_newest(before, source, tell):
            return before
        made = _take(source, *store.begin(), before, tell)
        if before and _same(before, made):
            return before
        store.keep(made)
        return made


@contextmanager
def tried(store: Store, source: Source, tell: Tell) -> Iterator[tuple[Version, Path]]:
    """Yield what `take` would return, and a folder with it, which is no version; raises as that."""
    with store.locked():
        before = store.current()
        number, folder = store.begin(dry=True)
        try:
            made = _take(source, number, folder, before, tell)
            if before and _same(before, made):
                made = replace(made, number=before.number)
            (folder / FILE).write_text(made.encode())
            yield made, folder
        finally:
            shutil.rmtree(folder)


def check(source: Source) -> Version | None:
    """Look whether a source could be taken; return what a folder holds, None for a repository.

    Raises:
        MachineError: it could not.
    """
    if source.repository:
        git.newest(source.repository)
        return None
    assert source.folder
    told = _run(Wanted(str(source.folder), "", _reader(source.folder), source.inside), source, lambda _: None)
    files = {path: Original(*values) for path, values in told["files"].items()}
    return Version(0, "", str(source), files, tuple(told["left"]))


def _same(before: Version, made: Version) -> bool:
    return (before.source, before.commit, before.files) == (made.source, made.commit, made.files)


def _is_newest(before: Version, source: Source, tell: Tell) -> bool:
    """Whether a repository has no other commit than we have."""
    if source.repository is None or not before.commit or before.source != str(source):
        return False
    tell("Asking for the newest commit")
    return git.newest(source.repository) == before.commit


def _take(source: Source, number: int, folder: Path, before: Version | None, tell: Tell) -> Version:
    tree = folder / TREE
    tell(f"Reading {source}")
    if source.repository:
        with git.fetched(source.repository, tell) as (files, commit, owner):
            told = _run(Wanted(str(files), str(tree), (owner.uid, owner.gid, ()), source.inside), source, tell)
    else:
        assert source.folder
        commit = ""
        told = _run(Wanted(str(source.folder), str(tree), _reader(source.folder), source.inside), source, tell)
    now = datetime.now(UTC)
    day = f"{now.astimezone():%Y-%m-%d}"
    old = before.files if before else {}
    files_now = {}
    for path, values in told["files"].items():
        one = Original(*values)
        same = path in old and old[path].digest == one.digest
        files_now[path] = replace(one, day=old[path].day if same else day)
    return Version(number, now.isoformat(timespec="seconds"), str(source), files_now, tuple(told["left"]), commit)


def _reader(folder: Path) -> tuple[int, int, tuple[int, ...]]:
    """Return as whom a folder is read: its owner, or where that is root or a system account, somebody without rights.

    Members of its group are then still let in, since a folder that a group shares is usual.
    """
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid(), tuple(os.getgroups())
    try:
        found = folder.stat()
    except OSError as error:
        raise MachineError(f"{folder} cannot be read: {error.strerror}.", remedy="Make it, or name another.") from error
    if _FIRST_PERSON <= found.st_uid != _NOBODY:
        try:
            entry = pwd.getpwuid(found.st_uid)
            return entry.pw_uid, entry.pw_gid, tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
        except KeyError:
            return found.st_uid, _NOBODY, ()
    return _NOBODY, found.st_gid if found.st_gid >= _FIRST_PERSON else _NOBODY, ()


def _run(wanted: Wanted, source: Source, tell: Tell) -> dict[str, Any]:
    """Run `take` and return its last word."""
    argv = [sys.executable, "-I", "-m", "hubwright.content.take"]
    child = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"LANG": "C.UTF-8"}, cwd="/"
    )
    told: dict[str, Any] = {}
    for line in lines(child, asdict(wanted), _SILENT):
        told = line
        if "taken" in told:
            tell(f"Reading {source} ({told['taken']} files)")
    if "files" not in told:
        remedy = "It is read without root's rights: as its owner, or as anybody where that is root."
        what = f"{told.get('error') or 'The program that reads it has ended'}."
        raise MachineError(what, where=str(source), remedy=remedy)
    return told


def lines(child: subprocess.Popen[bytes], request: dict[str, Any], silent: float) -> Iterator[dict[str, Any]]:
    """Give a child its request, and yield what it tells on stdout, line by line as JSON; it has ended afterwards.

    Raises:
        MachineError: it was silent for so many seconds.
    """
    assert child.stdin and child.stdout and child.stderr
    descriptor, rest = child.stdout.fileno(), b""
    try:
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(json.dumps(request).encode())
            child.stdin.close()
        while True:
            if not select.select([descriptor], [], [], silent)[0]:
                raise MachineError(f"Nothing has happened for {silent:.0f} s.", remedy="Does the disk answer?")
            if not (data := os.read(descriptor, 2**20)):
                return
            *whole, rest = (rest + data).split(b"\n")
            yield from map(json.loads, whole)
    finally:
        for stream in (child.stdin, child.stdout, child.stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        if child.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_DYING)
        if child.poll() is None:
            child.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_DYING)
