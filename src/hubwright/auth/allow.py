"""`auth.allow`: who may enter besides the admins and the people that an admin has added."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hubwright.auth.rule import AllowOutside
from hubwright.fields import UserName


def _check_group(value: str) -> str:
    if not value or len(value) > 32 or not value.isprintable() or any(mark in value for mark in " :,/\\"):
        raise ValueError(f"is not a group name: {value!r}.")
    return value


GroupName = Annotated[str, AfterValidator(_check_group)]


class Labelled(BaseModel):
    """A section whose people type a password on the login page."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    label: str | None = Field(
        default=None,
        min_length=1,
        max_length=60,
        description="What stands above the form after `Sign in with`, where there are several ways.",
    )


class AllowSome(BaseModel):
    """Some people, by name or by Unix group."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    users: tuple[UserName, ...] = Field(default=(), description="People who may enter, by user name.")
    groups: tuple[GroupName, ...] = Field(
        default=(), description="Unix groups of this machine whose members may enter."
    )


Allow = Literal["nobody", "all"] | AllowSome


def parts(allow: Allow | AllowOutside) -> tuple[bool, tuple[str, ...], tuple[str, ...]]:
    """Return (everybody, user names, group names) of an `allow` setting."""
    if isinstance(allow, str):
        return allow == "all", (), ()
    return False, allow.users, allow.groups
