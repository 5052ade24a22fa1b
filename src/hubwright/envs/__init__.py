"""Environments that kernels come from, a folder for each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast

from pydantic import BaseModel

from hubwright.errors import Problem
from hubwright.fields import Site
from hubwright.kinds import Family, KindConfig

FAMILY = Family(
    section="environments",
    kinds={
        "conda": "hubwright.envs.conda",
        "existing": "hubwright.envs.existing",
        "julia": "hubwright.envs.julia",
        "own": "hubwright.envs.own",
        "r": "hubwright.envs.r",
        "uv": "hubwright.envs.uv",
    },
    default="own",
    group="hubwright.environments",
    named=True,
)
DEFAULT = "default"
"""The environment of the kernel `python3`, which every notebook that names no other gets."""
OFFERED = "offered.json"
"""The file that says what hub.yaml offers now: environment -> display name; written by root."""

Tell = Callable[[str], None]
"""Takes what is being done, in a few words."""


@dataclass(frozen=True)
class Wanted:
    """A version of an environment that is to be made."""

    name: str
    folder: Path
    """The version's own folder, empty; it stays where it is, so that scripts in it may hold its path."""
    site: Site
    cache: Path
    """What builds of all environments share: downloads, and unpacked packages."""
    lock: str
    """What the lock file says, empty without one."""


@dataclass(frozen=True)
class Made:
    """What a kind has made of it."""

    prefix: Path
    """Where its programs are, in `bin`; or its library, where the programs are not its own."""
    language: str
    """`3.11.2` and the like, for people."""
    packages: Mapping[str, str]
    """Name to version."""
    imports: tuple[str, ...] = ()
    """What its kernel must be able to import before people get it."""
    importing: str = "import {}"
    """The cell that imports one, in the kernel's language."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """What each of its kernels has set."""


class Environment(Protocol):
    """What the package of a kind offers."""

    NAME: ClassVar[str]
    Config: type[BaseModel]

    def check(self, config: Any, site: Site) -> list[Problem]:
        """Return what keeps this section from working on this machine; changes nothing."""

    def sources(self, config: Any, site: Site) -> dict[str, str]:
        """Return what the build depends on besides the section: the text of the files it names.

        `ConfigError` when one cannot be read.
        """

    def make(self, config: Any, wanted: Wanted, tell: Tell) -> Made:
        """Fill `wanted.folder`, its `kernel` too; `MachineError` says in words why that failed."""

    def lock(self, config: Any, site: Site, cache: Path, tell: Tell) -> str:
        """Return a lock file's text: every package with its version; `Refused` by kinds that have none."""


def later(module: str) -> Callable[[str], Any]:
    """Return a kind's `__getattr__` that takes what a kind offers from `module`, imported when it is asked for."""

    def take(name: str) -> Any:
        if name not in {"check", "sources", "make", "lock"}:
            raise AttributeError(name)
        return getattr(import_module(module), name)

    return take


def environment_of(config: KindConfig) -> Environment:
    """Import the kind that an entry is for."""
    return cast(Environment, FAMILY.of(config))


def is_built(config: KindConfig) -> bool:
    """Whether an entry is something that Hubwright makes; its own environment is there already."""
    return config.kind != "own"


def preloaded(environments: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the modules that kernels of Hubwright's own environment find imported; none where `default` is another."""
    return () if is_built(environments[DEFAULT]) else getattr(environments[DEFAULT], "preload", ())


def forked(config: KindConfig) -> tuple[str, ...]:
    """Return the modules that kernels of an environment that Hubwright makes find imported, since they are forked."""
    return getattr(config, "preload", ()) if is_built(config) else ()


def conflicts(environments: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with entries together: the name, what it is, what to do."""
    for name, config in environments.items():
        if config.kind == "own" and name != DEFAULT:
            others = ", ".join(sorted({*FAMILY.modules()} - {"own"}))
            yield name, f"must have a kind: {others}.", "Only `default` may be the environment of Hubwright itself."
