"""Versions of R packages, and what packages say that they need (Writing R Extensions, "The DESCRIPTION file")."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

PACKAGE = re.compile(r"([A-Za-z][A-Za-z0-9.]{0,98}[A-Za-z0-9])(?: *(==|>=|<=|>|<) *([0-9][0-9.-]{0,30}))?")
"""As an entry of `packages` is written."""
_NEED = re.compile(r"\s*([A-Za-z][A-Za-z0-9.]*)\s*(?:\(\s*(==|>=|<=|>|<|!=)\s*([0-9][0-9.-]*)\s*\))?\s*")
_NEEDS = ("Depends", "Imports", "LinkingTo")
_MEANS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True)
class Need:
    """A package, and which versions of it will do."""

    name: str
    how: str = ""
    version: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.how} {self.version}".rstrip()

    def fits(self, version: str) -> bool:
        """Whether a version will do."""
        return not self.how or bool(_MEANS[self.how](_parts(version), _parts(self.version)))


@dataclass(frozen=True)
class Package:
    """A package as its DESCRIPTION, or a repository's index, has it."""

    name: str
    version: str
    needs: tuple[Need, ...] = ()
    """R itself among them."""
    md5: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """The name of its archive."""
        return f"{self.name}_{self.version}.tar.gz"


def read_need(text: str) -> Need:
    """Return what an entry of `packages` asks for."""
    found = PACKAGE.fullmatch(text)
    if found is None:
        raise ValueError(f"is not a package of R: {text}")
    return Need(found[1], found[2] or "", found[3] or "")


def read_packages(text: str) -> list[Package]:
    """Return the packages of a PACKAGES file, or the one of a DESCRIPTION; what is none is left out."""
    found = []
    for record in re.split(r"\n\s*\n", text):
        told = dict(_fields(record))
        if "Package" in told and "Version" in told:
            needs = [_NEED.fullmatch(one) for key in _NEEDS for one in told.get(key, "").split(",") if one.strip()]
            known = tuple(Need(one[1], one[2] or "", one[3] or "") for one in needs if one)
            found.append(Package(told["Package"], told["Version"], known, told.get("MD5sum", "").lower(), told))
    return found


def newest(packages: list[Package]) -> dict[str, Package]:
    """Return the newest package of each name."""
    found: dict[str, Package] = {}
    for one in packages:
        if one.name not in found or _parts(found[one.name].version) < _parts(one.version):
            found[one.name] = one
    return found


def _fields(record: str) -> list[tuple[str, str]]:
    """Return the fields of one record of Debian's control format, which R's files have."""
    found: list[tuple[str, str]] = []
    for line in record.splitlines():
        if line[:1].isspace() and found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
        else:
            key, is_field, value = line.partition(":")
            found += [(key.strip(), value.strip())] if is_field else []
    return found


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.split(r"[.-]", version) if part.isdecimal())
