"""Families of kinds: what the value of `kind:` in hub.yaml stands for, ours and those of other packages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Protocol, cast

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from hubwright.errors import Problem
from hubwright.fields import Site


class KindConfig(Protocol):
    """A section of hub.yaml that begins with `kind:`."""

    @property
    def kind(self) -> str:
        """The kind's name."""


class Kind(Protocol):
    """What the package of a kind offers."""

    NAME: str
    Config: type[BaseModel]

    def check(self, config: Any, site: Site) -> list[Problem]:
        """Return what keeps this section from working on this machine; changes nothing."""

    def configure(self, config: Any, site: Site, c: dict[str, dict[str, Any]]) -> None:
        """Write the JupyterHub settings of this section into `c`; pure."""


@cache
def _installed(group: str) -> dict[str, str]:
    """What is installed does not change while a program runs."""
    return {point.name: point.value for point in _all_installed().select(group=group)}


@cache
def _all_installed() -> Any:
    """Look through all packages, once for all groups: that takes a twentieth of a second."""
    return entry_points()


@dataclass(frozen=True)
class Family:
    """The kinds that one section may name, or each entry of a section that maps names to them.

    As an annotation of a pydantic field it makes the section a union of their models, told apart by `kind`.
    """

    section: str
    """Its key in hub.yaml."""
    kinds: Mapping[str, str]
    """Name to module, for the kinds that come with Hubwright."""
    default: str
    group: str
    """The entry-point group in which other packages name theirs."""
    named: bool = False
    """Whether the section maps names to sections of a kind each; `environments` does."""

    def modules(self) -> dict[str, str]:
        """Return name and module of every kind that is installed; ours cannot be replaced."""
        return {**_installed(self.group), **self.kinds}

    def load(self, name: str) -> Kind:
        """Import the kind `name`; KeyError when there is none."""
        return cast(Kind, import_module(self.modules()[name]))

    def of(self, config: KindConfig) -> Kind:
        """Import the kind that a section is for."""
        return self.load(config.kind)

    def default_config(self) -> Any:
        """Return the section as it is when hub.yaml leaves it out."""
        return self.load(self.default).Config()

    def name_in(self, section: Any) -> str:
        """Return the kind that a section names, or the default."""
        name = section.get("kind", self.default) if isinstance(section, dict) else getattr(section, "kind", "")
        return name if isinstance(name, str) else ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Make the union; called once, when the first hub.yaml is read."""
        choices = {name: handler.generate_schema(self.load(name).Config) for name in self.modules()}
        return core_schema.tagged_union_schema(choices, discriminator=self.name_in)
