"""`auth: {kind: ldap}` in hub.yaml."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from hubwright.auth.allow import Labelled
from hubwright.auth.rule import Outside
from hubwright.fields import Duration, shown

_FIELD = re.compile(r"\{[^{}]*\}")
_SECTION = ConfigDict(frozen=True, extra="forbid")


def _check_server(value: str) -> str:
    example = 'must be an address such as "ldaps://ldap.example.org" or "ldap://10.0.0.5:389"'
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{example}, not {shown(value)}.") from error
    good = parts.scheme in {"ldap", "ldaps"} and parts.hostname and port != 0 and value.isascii()
    if not good or parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc or " " in value:
        raise ValueError(f"{example}, not {shown(value)}.")
    return value.rstrip("/")


def _template(*fields: str) -> AfterValidator:
    def check(value: str) -> str:
        found = set(_FIELD.findall(value))
        allowed = {f"{{{field}}}" for field in fields}
        if not found & allowed or found - allowed or _FIELD.sub("", value).strip("{}") != _FIELD.sub("", value):
            raise ValueError(f"must hold {' or '.join(sorted(allowed))}, and nothing else in braces: {shown(value)}.")
        return value

    return AfterValidator(check)


def _check_filter(value: str) -> str:
    if not (value.startswith("(") and value.endswith(")") and value.count("(") == value.count(")")):
        raise ValueError(f'must be a filter in parentheses such as "(uid={{username}})", not {shown(value)}.')
    return value


Server = Annotated[str, AfterValidator(_check_server)]
Template = Annotated[str, _template("username")]
UserFilter = Annotated[str, AfterValidator(_check_filter), _template("username")]
GroupFilter = Annotated[str, AfterValidator(_check_filter), _template("dn", "username")]
Attribute = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")]


class Search(BaseModel):
    """Finding the entry of somebody by what he types, with an account of the hub's own."""

    model_config = _SECTION

    base: str = Field(
        min_length=3, description="Below which entry people are looked for.", examples=["ou=people,dc=example,dc=org"]
    )
    filter: UserFilter = Field(
        default="(uid={username})",
        description="What finds one person; `(sAMAccountName={username})` in an Active Directory.",
    )
    account: str = Field(
        default="",
        description="The entry that the hub searches as; empty is anonymous. "
        "Its password is the secret `ldap.password`.",
        examples=["cn=hub,ou=services,dc=example,dc=org"],
    )


class Groups(BaseModel):
    """Finding the groups of somebody."""

    model_config = _SECTION

    base: str = Field(
        min_length=3, description="Below which entry groups are looked for.", examples=["ou=groups,dc=example,dc=org"]
    )
    filter: GroupFilter = Field(
        default="(|(member={dn})(uniqueMember={dn})(memberUid={username}))",
        description="What finds the groups of the person with the entry `{dn}` and the name `{username}`.",
    )
    name: Attribute = Field(default="cn", description="The attribute that is the group's name.")


class Config(Labelled, Outside):
    """People log in with their password in a directory (LDAP, Active Directory)."""

    kind: Literal["ldap"] = Field(default="ldap", description="A directory that is spoken to by LDAP.")
    servers: tuple[Server, ...] = Field(
        description="The servers, tried in turn: `ldaps://...` is TLS from the start, `ldap://...` as `tls` says.",
        examples=[["ldaps://ldap1.example.org", "ldaps://ldap2.example.org"]],
    )
    tls: Literal["start", "none"] = Field(
        default="start",
        description="What is done on `ldap://...` before a password is sent: StartTLS, or nothing.",
    )
    ca: str | None = Field(
        default=None,
        min_length=1,
        description="A file with the certificates (PEM) that the servers' are signed with, when they are your own; "
        "named with its whole path.",
        examples=["/etc/ssl/example-ca.pem"],
    )
    bind: Template | tuple[Template, ...] | None = Field(
        default=None,
        description="The entry of somebody who types `{username}`, when that is enough to know it; or several, "
        "tried in turn.",
        examples=["uid={username},ou=people,dc=example,dc=org"],
    )
    search: Search | None = Field(
        default=None, description="Finding the entry of somebody, in place of `bind`, and looking who has left."
    )
    name: Attribute = Field(
        default="uid", description="The attribute that is a person's name; `sAMAccountName` in an Active Directory."
    )
    groups: Groups | None = Field(default=None, description="Finding the groups of somebody.")
    timeout: Annotated[Duration, Field(ge=1, le=30)] = Field(
        default=5.0, description="How long one server is waited for before the next is tried."
    )

    @property
    def templates(self) -> tuple[str, ...]:
        """The entries to try, in turn."""
        return (self.bind,) if isinstance(self.bind, str) else self.bind or ()

    @model_validator(mode="after")
    def _has_a_way(self) -> Self:
        if not self.servers:
            raise ValueError("needs at least one address in `servers`.")
        if not self.bind and self.search is None:
            raise ValueError("needs `bind` (a template of people's entries) or `search`.")
        if self.bind and self.search is not None:
            raise ValueError("has both `bind` and `search`; leave one of them out.")
        return self
