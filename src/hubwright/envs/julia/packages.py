"""What an entry of `packages` asks for: a name of a registry, a folder, or a git repository."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from hubwright.fields import shown

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,2}")
_ADDRESS = re.compile(r"([a-z+]{2,10}://|[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:)[^\s#]{1,1000}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,200}")


@dataclass(frozen=True)
class Package:
    """One package that is to be installed."""

    way: Literal["name", "folder", "address"]
    what: str
    """Its name in a registry, the path as it was written, or the address of the repository."""
    version: str = ""
    """With a name: `1.2` and the like. With an address: branch, tag or commit."""

    @classmethod
    def parse(cls, text: str) -> Package:
        """Read `Name`, `Name@1.2`, `./folder`, `/folder` or `https://address#revision`.

        Raises:
            ValueError: it is none of them.
        """
        if text.startswith(("/", "./", "../")) and text.isprintable() and len(text) <= 1000:
            return cls("folder", text)
        what, mark, version = text.partition("#")
        if _ADDRESS.fullmatch(what) and text.isprintable() and (_REVISION.fullmatch(version) or not mark):
            return cls("address", what, version)
        what, mark, version = text.partition("@")
        if NAME.fullmatch(what) and (_VERSION.fullmatch(version) or not mark):
            return cls("name", what, version)
        raise ValueError(
            f'is not a package: {shown(text)}. Write "DataFrames", "DataFrames@1.6", "./folder", or '
            '"https://git.example.org/Ours.jl#main".'
        )

    @property
    def same(self) -> str:
        """What tells whether two entries are of the same package, as far as their text does."""
        if self.way == "name":
            return self.what
        last = self.what.rstrip("/").replace(":", "/").rpartition("/")[2]
        return last.removesuffix(".git").removesuffix(".jl")
