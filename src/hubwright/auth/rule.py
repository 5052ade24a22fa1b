"""Who may enter, and who is an admin, when others say who people are; pure, and the same for every such way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from hubwright.auth import names
from hubwright.fields import Duration, shown


def _check_login(value: str) -> str:
    if not value or len(value) > 320 or not value.isprintable() or value != value.strip():
        raise ValueError(f"is not a name or an address: {shown(value)}.")
    return value


def _check_group(value: str) -> str:
    if not value or len(value) > 255 or not value.isprintable() or value != value.strip():
        raise ValueError(f"is not a group name: {shown(value)}.")
    return value


Login = Annotated[
    str, AfterValidator(_check_login), WithJsonSchema({"title": "name or address", "type": "string", "maxLength": 320})
]
OutsideGroup = Annotated[
    str, AfterValidator(_check_group), WithJsonSchema({"title": "group", "type": "string", "maxLength": 255})
]


class AllowOutside(BaseModel):
    """Some people, by the name or address that the provider knows, or by one of its groups."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    users: tuple[Login, ...] = Field(
        default=(), description="People who may enter, by the name or address that the provider has for them."
    )
    groups: tuple[OutsideGroup, ...] = Field(default=(), description="Groups of the provider whose members may enter.")


Grace = Annotated[
    Duration,
    Field(
        description="How long servers, sessions and tokens of somebody who was taken out go on. "
        "A new login is refused at once."
    ),
]
LookEvery = Annotated[Duration, Field(ge=1, le=86400, description="How often it is looked at who may still enter.")]


class Outside(BaseModel):
    """The settings that every way to log in has where others say who people are."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    tells_groups: ClassVar[bool] = True
    """Whether the provider says in which groups somebody is."""

    allow: Literal["nobody", "all"] | AllowOutside = Field(
        default="nobody",
        description="Who may enter besides the admins and the people an admin has added: `nobody`, "
        "`all` (everyone whom the provider knows), or `{users: [...], groups: [...]}`.",
    )
    admins: tuple[Login, ...] = Field(
        default=(), description="People who are admins of the hub, by the name or address that the provider has."
    )
    admin_groups: tuple[OutsideGroup, ...] = Field(
        default=(), description="Groups of the provider whose members are admins of the hub."
    )
    accounts: Literal["make", "existing"] = Field(
        default="make",
        description="Whether a Unix account is made at the first login, or has to be there "
        "(`existing`, for a machine that knows the people of the directory itself).",
    )
    grace: Grace = 0.0
    look_every: LookEvery = 60.0


@dataclass(frozen=True)
class Person:
    """Somebody as a provider knows him."""

    provider: str
    """Its name in `hub.yaml`."""
    subject: str
    """What stays the same there when the name changes: a number or an id, never shown as a name."""
    login: str
    """The name or address there; in small letters where the provider makes no difference."""
    groups: frozenset[str] = frozenset()
    domain: str = ""
    """The one domain whose addresses lists may name without it."""

    @property
    def called(self) -> frozenset[str]:
        """The names by which a list may mean this person."""
        return frozenset({self.login, names.plain(self.login, self.domain)})

    def __str__(self) -> str:
        return f"{self.provider}:{self.login}"


@dataclass(frozen=True)
class Verdict:
    """Whether somebody may enter, and in words why not."""

    allowed: bool
    admin: bool | None = None
    """None leaves it as it was: then nothing says who is an admin."""
    told: str = ""
    """For the person."""
    detail: str = ""
    """For the admin."""
    renew: bool = False
    """Whether a browser has to log in again, while all that runs goes on."""
    grace: float | None = None
    """Seconds that somebody who is out goes on; None: as everybody does."""


@dataclass(frozen=True)
class Rule:
    """What `allow`, `admins` and `admin_groups` say, with the people of the rest of hub.yaml."""

    everybody: bool = False
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    admins: frozenset[str] = frozenset()
    admin_groups: frozenset[str] = frozenset()

    @classmethod
    def of(cls, config: Outside, users: tuple[str, ...] = (), admins: tuple[str, ...] = ()) -> Rule:
        """Return the rule of a section; `users` and `admins` come from elsewhere in hub.yaml."""
        some = config.allow if isinstance(config.allow, AllowOutside) else AllowOutside()
        return cls(
            config.allow == "all",
            frozenset({*some.users, *users}),
            frozenset(some.groups),
            frozenset({*config.admins, *admins}),
            frozenset(config.admin_groups),
        )

    def plain(self) -> dict[str, Any]:
        """Return it such as JSON holds it; `Rule.parse` reads it again."""
        return {
            "everybody": self.everybody,
            **{name: sorted(getattr(self, name)) for name in ("users", "groups", "admins", "admin_groups")},
        }

    @classmethod
    def parse(cls, found: dict[str, Any]) -> Rule:
        """Return the rule that `plain` wrote."""
        lists = {name: frozenset(found[name]) for name in ("users", "groups", "admins", "admin_groups")}
        return cls(bool(found["everybody"]), **lists)

    @property
    def named(self) -> frozenset[str]:
        """Everybody whom a list names: nobody else may get such a name."""
        return self.users | self.admins

    def decide(self, person: Person, added: frozenset[str] = frozenset()) -> Verdict:
        """Return whether a person may enter; `added` are the people whom an admin has added by name."""
        admin: bool | None = None
        if self.admins or self.admin_groups:
            admin = bool(person.called & self.admins or person.groups & self.admin_groups)
        if self.everybody or admin or person.called & (self.users | added) or person.groups & self.groups:
            return Verdict(True, admin)
        wanted = sorted(self.groups | self.admin_groups)
        if wanted:
            told = f"You are known as {person.login}, but in none of the groups that may use this hub. Ask its admin."
            mine = ", ".join(sorted(person.groups)) or "none"
            detail = f"{person} is in none of the groups {', '.join(wanted)}; its groups: {mine}."
        else:
            told = (
                f"You are known as {person.login}, but not on the list of this hub's people. Ask its admin to add you."
            )
            detail = f"{person} is not on the list (auth.allow, auth.admins, hub.admins, people.users)."
        return Verdict(False, False, told, detail)
