"""`auth: {kind: many}` in hub.yaml."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hubwright.auth import WAYS
from hubwright.fields import UserName, shown
from hubwright.kinds import KindConfig

WayName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]
Identity = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,30}:[^\s:][^:]{0,319}$")]
_OWN = ("first_use", "pam")
"""Kinds whose people are called as their Unix accounts."""


class Config(BaseModel):
    """Several ways to log in on one page, each with its button or its form; each says itself who may enter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["many"] = Field(default="many", description="Several ways to log in on one page.")
    ways: dict[WayName, Annotated[KindConfig, WAYS]] = Field(
        description="The ways, in the order in which they stand on the page: a name, and a section as `auth` would be "
        "with that way alone. What belongs to a way is called by its name: identities, as in `staff:ada`, and "
        "secrets, as in `staff.password`.",
        examples=[{"staff": {"kind": "pam", "allow": "all"}, "guests": {"kind": "first_use"}}],
    )
    listed: WayName | None = Field(
        default=None,
        description="The way whose people `hub.admins`, `people.users`, the roster and `hubwright user add` mean; "
        "the first one, when it is left out.",
    )
    links: dict[UserName, tuple[Identity, ...]] = Field(
        default={},
        description="People who come in by several ways: a Unix name, and each identity as `WAY:NAME`. Without a link "
        "the same name from two ways is two people, and the second is refused.",
        examples=[{"ada": ["staff:ada", "guests:ada@example.org"]}],
    )

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if len(self.ways) < 2:
            raise ValueError("needs two ways or more in `ways`; write a single one without `kind: many`.")
        for kind in _OWN:
            same = [name for name, section in self.ways.items() if section.kind == kind]
            if len(same) > 1:
                raise ValueError(f"has {' and '.join(same)}, both of kind {kind}; there can be one of it.")
        if self.listed is not None and self.listed not in self.ways:
            raise ValueError(f"has `listed: {self.listed}`, which is none of its ways: {', '.join(self.ways)}.")
        self._check_links()
        return self

    def _check_links(self) -> None:
        whose: dict[str, str] = {}
        for name, identities in self.links.items():
            for identity in identities:
                way, _, login = identity.partition(":")
                if way not in self.ways:
                    raise ValueError(f"links {shown(identity)}, and has no way called {way}.")
                if self.ways[way].kind in _OWN and login != name:
                    raise ValueError(f"links {identity} to {name}: with `kind: {self.ways[way].kind}` he is {login}.")
                if whose.setdefault(identity, name) != name:
                    raise ValueError(f"links {identity} to {whose[identity]} and to {name}.")
