"""Hands contents out to one home: a program that root starts and that becomes the home's owner first.

    python -I -m hubwright.content.hand < request

The request is an `Order` as JSON; the open folders of the versions are inherited under the numbers that it names. It
tells how far it is as JSON lines on stdout; the last has `"done": true`, with what became of each content. Standard
library only: the account helper does the same in a child of its own. Having been root, it cannot be traced by its user
(prctl(2), PR_SET_DUMPABLE).

A file is written in a folder of the home's own, flushed, and then renamed into its place, so that a kill or a full disk
leaves none half written; the next time goes on from what is there.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hubwright.content import originals
from hubwright.content.doing import Tell, Work, words
from hubwright.content.home import Blocked, Cannot, Home
from hubwright.content.merge import Found, Step, merge
from hubwright.content.record import FOLDER, LARGEST, Record, decode, is_due
from hubwright.machine import becoming, locks, opening

PATIENCE = 20.0
"""Seconds to wait for another hand-out in the same home."""
_TOLD = 5000
"""Steps that are told one by one."""


@dataclass(frozen=True)
class Job:
    """One content for this home."""

    name: str
    target: str
    """The folder below the home."""
    number: int
    """The version's; 0 for one that is only tried."""
    folder: int
    """The open folder of the version."""
    asked: tuple[str, ...] = ()
    """Only these, and again; "" is all."""


@dataclass(frozen=True)
class Order:
    """What is to be handed out to whom."""

    account: tuple[str, int, int]
    """Name, user id and group id."""
    home: str
    jobs: tuple[Job, ...]
    dry: bool = False
    """Only say what would be done."""
    due: bool = False
    """Leave out what this home has had."""

    @classmethod
    def parse(cls, told: dict[str, Any]) -> Order:
        """Return the order of a JSON object."""
        jobs = tuple(
            Job(one["name"], one["target"], one["number"], one["folder"], tuple(one["asked"])) for one in told["jobs"]
        )
        name, uid, gid = told["account"]
        return cls((name, uid, gid), told["home"], jobs, told["dry"], told["due"])


def carry_out(order: Order, tell: Tell = lambda _: None) -> list[dict[str, Any]]:
    """Hand out, as the owner that this process has become; return for each content what became of it.

    `{"name", "version", "error", "problems", "counts": {what: n}, "steps": [{"what", "path", "place", "why"}]}`; one
    that is left out, since nothing is due, is not in the list.
    """
    try:
        with _opened(order) as (home, place):
            if order.dry:
                return [found for job in order.jobs if (found := _one(order, job, home, place, -1, tell))]
            with _alone(place, 0.0 if order.due else PATIENCE), _staging(place) as staging:
                return [found for job in order.jobs if (found := _one(order, job, home, place, staging, tell))]
    except (Cannot, Blocked, OSError) as error:
        return [_told(job.name, 0, error=words(error)) for job in order.jobs]


def _one(order: Order, job: Job, home: Home, place: int, staging: int, tell: Tell) -> dict[str, Any] | None:
    record = _read_record(place, job)
    if order.due and not is_due(record, job.number):
        return None
    version = originals.read(job.folder)
    files = {f"{job.target}/{path}": one for path, one in version.files.items()}
    asked = frozenset(f"{job.target}/{path}".rstrip("/") for path in job.asked)
    steps = merge(files, record.files, _Looking(job.name, home, tell), asked)
    if order.dry:
        return _told(job.name, version.number, steps)
    tree = originals.open_tree(job.folder)
    try:
        work = Work(job.name, job.target, home, place, staging, tree, record, files)
        error = work.do(steps, tell)
    finally:
        os.close(tree)
    if not asked:
        record.version, record.whole = version.number, not error and not work.problems
    error = work.save() or error
    return _told(job.name, version.number, work.done, error, work.problems)


@dataclass
class _Looking:
    """Looking at a home, and telling about once a second that it goes on."""

    name: str
    home: Home
    tell: Tell
    looked: int = 0
    told: float = field(default_factory=time.monotonic)

    def __call__(self, path: str) -> Found:
        self.looked += 1
        if time.monotonic() - self.told > 1:
            self.told = time.monotonic()
            self.tell({"name": self.name, "looked": self.looked})
        return self.home.look(path)


@contextmanager
def _opened(order: Order) -> Iterator[tuple[Home, int]]:
    """Yield the home, and the folder in it where records are; -1 when that is not there and only looked for."""
    folder = os.open(order.home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    place = -1
    try:
        found = os.fstat(folder)
        if found.st_uid != order.account[1] or found.st_mode & stat.S_IWOTH:
            raise Cannot("this home belongs to somebody else, or everybody may write it")
        home = Home(folder)
        try:
            with home.parent(f"{FOLDER}/x", make=not order.dry) as (kept, _):
                place = os.dup(kept)
        except FileNotFoundError:
            if not order.dry:
                raise
        except Blocked as way:
            raise Cannot(f"{way.by} is no folder of this home, and the record would lie in it") from way
        yield home, place
    finally:
        os.close(folder)
        if place != -1:
            os.close(place)


@contextmanager
def _alone(place: int, patience: float) -> Iterator[None]:
    """Be the only one who hands out to this home."""
    lock = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=place)
    try:
        if not locks.take(lock, patience, every=0.05):
            raise Cannot("something is just being handed out to this home")
        yield
    finally:
        os.close(lock)


@contextmanager
def _staging(place: int) -> Iterator[int]:
    """Yield an empty folder for what is being written; what a kill left in it is removed before."""
    shutil.rmtree("part", ignore_errors=True, dir_fd=place)
    os.mkdir("part", 0o700, dir_fd=place)
    staging = os.open("part", opening.FOLDER, dir_fd=place)
    try:
        yield staging
    finally:
        os.close(staging)
        shutil.rmtree("part", ignore_errors=True, dir_fd=place)


def _read_record(place: int, job: Job) -> Record:
    if place == -1:
        return Record(job.target)
    try:
        file = os.open(f"{job.name}.json", opening.FILE, dir_fd=place)
    except OSError:
        return Record(job.target)
    with open(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return Record(job.target)
        data = opened.read(LARGEST + 1)
    return decode(data, job.target) if len(data) <= LARGEST else Record(job.target)


def _told(
    name: str, version: int, steps: list[Step] | None = None, error: str = "", problems: list[str] | None = None
) -> dict[str, Any]:
    listed = [step for step in steps or [] if step.what != "same"][:_TOLD]
    return {
        "name": name,
        "version": version,
        "error": error,
        "problems": problems or [],
        "counts": dict(Counter(step.what for step in steps or [])),
        "steps": [{"what": one.what, "path": one.path, "place": one.place, "why": one.why} for one in listed],
    }


def main() -> None:
    """Do what the request on stdin says."""

    def tell(told: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()

    order = Order.parse(json.load(sys.stdin))
    try:
        becoming.become(*order.account)
    except becoming.Root as error:
        tell({"error": str(error)})
        return
    tell({"done": True, "contents": carry_out(order, tell)})


if __name__ == "__main__":
    main()
