"""A repository of R packages such as CRAN, at an address or in a folder, and what of it fits together."""

from __future__ import annotations

import gzip
import secrets
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import md5, sha256
from pathlib import Path

import httpx

from hubwright.envs import Tell
from hubwright.envs.r.versions import Need, Package, newest, read_packages
from hubwright.errors import MachineError, perhaps, printable

_CONTRIB = "src/contrib"
_PATIENCE = 60.0
_LAYOUT = "It must have the layout of CRAN: src/contrib/PACKAGES and the archives beside it."
_CLOSED = "Whoever runs the service must be able to read it: change its permissions."
_LARGEST_INDEX = 2**27
_LARGEST_DESCRIPTION = 2**20


class Repository:
    """One repository; what was fetched from it stays in `cache`."""

    def __init__(self, place: str | Path, cache: Path, where: str, tell: Tell) -> None:
        self._place, self._where, self._tell = place, where, tell
        self._cache = cache / "r" / sha256(str(place).encode()).hexdigest()[:16]
        self._index: dict[str, Package] | None = None

    def index(self) -> dict[str, Package]:
        """Return the newest package of each name; MachineError when it cannot be read."""
        if self._index is None:
            self._tell("Reading what the repository has")
            try:
                text = gzip.decompress(self._read(f"{_CONTRIB}/PACKAGES.gz"))[:_LARGEST_INDEX].decode(errors="replace")
            except FileNotFoundError:
                text = self._get(f"{_CONTRIB}/PACKAGES").decode(errors="replace")
            except (OSError, EOFError) as error:
                raise self._bad(f"{_CONTRIB}/PACKAGES.gz", error) from error
            self._index = newest(read_packages(text))
        return self._index

    def find(self, need: Need) -> Package:
        """Return the package that is asked for: the newest, or an older one from the archive when that one is named.

        Raises:
            MachineError: there is none.
        """
        known = self.index()
        there = known.get(need.name)
        if there and need.fits(there.version):
            return there
        if need.how == "==":
            wanted = Package(need.name, need.version)
            with suppress(FileNotFoundError):
                return self.describe(self.fetch(wanted))
        if there:
            raise MachineError(f"{need} is asked for, and the repository has {there.version}.", where=self._where)
        raise MachineError(
            f"the repository has no package {need.name}.", where=self._where, remedy=perhaps(need.name, list(known))
        )

    def fetch(self, package: Package) -> Path:
        """Return a package's archive, from the cache when it is there; FileNotFoundError when there is none.

        Raises:
            MachineError: it is not what the repository's index says, or cannot be fetched.
        """
        kept = self._cache / package.file
        if kept.exists() and (not package.md5 or _md5(kept) == package.md5):
            return kept
        self._tell(f"Fetching {package.name}")
        try:
            data = self._read(f"{_CONTRIB}/{package.file}")
        except FileNotFoundError:
            data = self._read(f"{_CONTRIB}/Archive/{package.name}/{package.file}")
        if package.md5 and md5(data, usedforsecurity=False).hexdigest() != package.md5:
            raise MachineError(
                f"{package.file} is not what the repository's index says: it is damaged.", where=self._where
            )
        self._cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = kept.with_name(f".{secrets.token_hex(6)}")
        try:
            fresh.write_bytes(data)
            fresh.replace(kept)
        finally:
            fresh.unlink(missing_ok=True)
        return kept

    def describe(self, archive: Path) -> Package:
        """Return what a package's archive says of itself; MachineError when it is none."""
        try:
            with tarfile.open(archive, "r:*") as tar:
                for member in tar:
                    if member.name.count("/") == 1 and member.name.endswith("/DESCRIPTION") and member.isreg():
                        file = tar.extractfile(member)
                        text = file.read(_LARGEST_DESCRIPTION).decode(errors="replace") if file else ""
                        return read_packages(text)[0]
        except (tarfile.TarError, OSError, EOFError, IndexError) as error:
            archive.unlink(missing_ok=True)
            raise MachineError(
                f"{archive.name} is no package of R: {printable(str(error))}.", where=self._where
            ) from error
        raise MachineError(f"{archive.name} is no package of R: it has no DESCRIPTION.", where=self._where)

    def _get(self, path: str) -> bytes:
        try:
            return self._read(path)
        except OSError as error:
            raise self._bad(path, error) from error

    def _read(self, path: str) -> bytes:
        """Return a file of the repository; FileNotFoundError when it has none of the name."""
        if isinstance(self._place, Path):
            try:
                return (self._place / path).read_bytes()
            except FileNotFoundError:
                raise
            except OSError as error:
                raise self._bad(path, error) from error
        try:
            answer = httpx.get(f"{self._place.rstrip('/')}/{path}", timeout=_PATIENCE, follow_redirects=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._bad(path, error) from error
        if answer.status_code == 404:
            raise FileNotFoundError(path)
        if answer.status_code != 200:
            raise self._bad(path, f"it answers {answer.status_code}")
        return answer.content

    def _bad(self, path: str, why: object) -> MachineError:
        what = getattr(why, "strerror", None) or str(why) or type(why).__name__
        if isinstance(why, FileNotFoundError):
            what = "there is no such file"
        place = (
            self._place if isinstance(self._place, Path) else httpx.URL(self._place).copy_with(username="", password="")
        )
        return MachineError(
            f"the repository {place} cannot be read ({path}: {printable(what)}).",
            where=self._where,
            remedy=_CLOSED if isinstance(why, PermissionError) else _LAYOUT,
        )


def resolve(
    wanted: Sequence[Need], has: Mapping[str, str], r: str, repository: Repository, where: str
) -> list[Package]:
    """Return what is to be installed, each after what it needs.

    CRAN keeps one version of each package, and R no record of what fits together: the newest is taken, unless one is
    named; then it is found out whether all that is needed will do.

    Args:
        wanted: what is asked for.
        has: what that R has already, name to version; taken for what others need, not for what is asked for.
        r: the version of R.
        repository: where the rest comes from.
        where: the entry.

    Raises:
        MachineError: a package is not there, or two of them do not fit together.
    """
    named = {one.name: one for one in wanted}
    chosen: dict[str, Package] = {}
    order: list[Package] = []

    def take(need: Need, who: str) -> None:
        if need.name == "R":
            if not need.fits(r):
                raise MachineError(f"{who} needs {need}, and this R is {r}.", where=where)
            return
        if (got := chosen.get(need.name)) is None:
            if need.name not in named and need.name in has and need.fits(has[need.name]):
                return
            asked = named.get(need.name, need)
            got = chosen[need.name] = repository.find(asked if asked.how else need)
            for below in got.needs:
                take(below, got.name)
            order.append(got)
        if not need.fits(got.version):
            raise MachineError(f"{who} needs {need}, and {got.name} {got.version} is to be installed.", where=where)

    for one in wanted:
        take(one, "hub.yaml")
    return order


def _md5(path: Path) -> str:
    return md5(path.read_bytes(), usedforsecurity=False).hexdigest()
