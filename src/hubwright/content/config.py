"""`content` in hub.yaml: what people get into their homes, where from, and who."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from hubwright.content.naming import is_plain
from hubwright.content.record import FOLDER as RECORDS
from hubwright.fields import UserName, matching, shown

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]{0,199}")
_SECRET = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}\.(secret|password)")
_SCP = re.compile(r"[A-Za-z0-9_.-]{1,64}@[A-Za-z0-9.-]{1,253}:[^\s:][^\s]{0,500}")
_SECTION = ConfigDict(frozen=True, extra="forbid")


def _check_inner(value: str) -> str:
    if not is_plain(value) or not value.isprintable() or len(value) > 500:
        raise ValueError(f'must be a folder such as "course/week-1", without "..", not {shown(value)}.')
    return value


def _check_target(value: str) -> str:
    value = _check_inner(value.rstrip("/"))
    if f"{RECORDS}/".startswith(f"{value}/") or f"{value}/".startswith(f"{RECORDS}/"):
        raise ValueError(f"is where Hubwright keeps what it has handed out: {shown(value)}.")
    return value


def _check_git(value: str) -> str:
    try:
        parts = urlsplit(value)
        held = parts.password
    except ValueError:
        parts, held = urlsplit(""), None
    if held or (parts.scheme in {"http", "https"} and parts.username):
        raise ValueError("holds a name or password. Put it into a secret, and name that with `secret`.")
    usual = parts.scheme in {"https", "http", "ssh"} and parts.hostname
    local = parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc
    if not value.isprintable() or " " in value or not (usual or local or _SCP.fullmatch(value)):
        raise ValueError(
            f'must be an address such as "https://git.example.org/course.git" or "git@example.org:course.git", '
            f"not {shown(value)}."
        )
    return value


def _check_ref(value: str) -> str:
    if not _REF.fullmatch(value) or ".." in value:
        raise ValueError(f'must be a branch, a tag or a commit such as "main", not {shown(value)}.')
    return value


_check_secret = matching(_SECRET, 'must be the name of a secret such as "course.secret", not {}.')
ContentName = Annotated[
    str,
    AfterValidator(
        matching(
            _NAME,
            "is not the name of a content: {}. Use 1 to 40 lower-case letters, digits, dashes and underscores, "
            "beginning with a letter.",
        )
    ),
]


class Some(BaseModel):
    """The people who get something."""

    model_config = _SECTION

    groups: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = Field(
        default=(), max_length=50, description="Unix groups of this machine, those of the roster too."
    )
    users: tuple[UserName, ...] = Field(default=(), description="Single people.")


class Content(BaseModel):
    """A folder of files that people get into their homes, from a folder or a git repository."""

    model_config = _SECTION

    folder: str | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="The folder of this machine with the originals; named from the folder of hub.yaml.",
        examples=["/srv/course"],
    )
    git: Annotated[str, AfterValidator(_check_git)] | None = Field(
        default=None,
        description="The git repository with the originals, in place of `folder`.",
        examples=["https://git.example.org/course.git"],
    )
    ref: Annotated[str, AfterValidator(_check_ref)] | None = Field(
        default=None, description="A branch, tag or commit of `git`; its main branch, unless named.", examples=["main"]
    )
    secret: Annotated[str, AfterValidator(_check_secret)] | None = Field(
        default=None,
        description="The secret that opens `git`: `NAME:TOKEN`, a token alone, or a private key for SSH. "
        'Give it with "hubwright secret".',
        examples=["course.secret"],
    )
    inside: Annotated[str, AfterValidator(_check_inner)] | None = Field(
        default=None, description="Only this folder of it.", examples=["notebooks"]
    )
    target: Annotated[str, AfterValidator(_check_target)] | None = Field(
        default=None, description="The folder of the home that it goes to; its name, unless said.", examples=["course"]
    )
    allow: Literal["all"] | Some = Field(
        default="all", description="Who gets it: `all`, or `{groups: [...], users: [...]}`."
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.folder is None) == (self.git is None):
            raise ValueError("needs either `folder` or `git`, which say where it comes from.")
        if self.git is None and (self.ref or self.secret):
            raise ValueError("has `ref` or `secret`, which are for `git`.")
        return self

    def folder_from(self, config: Path | None) -> Path:
        """Return the folder with the originals, as a hub.yaml at `config` names it."""
        return ((config.parent if config else Path.cwd()) / (self.folder or "")).absolute()

    def place(self, name: str) -> str:
        """Return the folder of the home that it goes to."""
        return self.target or name


def conflicts(contents: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return what is wrong with entries together: the name, what it is, what to do."""
    found = []
    places: dict[str, str] = {}
    for name, entry in contents.items():
        place = entry.place(name)
        for other, there in places.items():
            if f"{place}/".startswith(f"{there}/") or f"{there}/".startswith(f"{place}/"):
                same = place == there
                what = f"goes to {place}, {'as' if same else 'and'} {other} {'does' if same else f'to {there}'}."
                found.append((name, what, "Give it a `target` of its own."))
        places[name] = place
    return found
