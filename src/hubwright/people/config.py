"""`people` in hub.yaml: who belongs to the service, and what each of them finds on the machine."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from hubwright.fields import Bytes, UserName, matching, shown

_RANGE = re.compile(r"([0-9]{1,10}) ?- ?([0-9]{1,10})")
_FIRST, _LAST = 1000, 2**31 - 2
_RESERVED = (60001, 65535)
"""What systemd and Debian keep for themselves: dynamic users, homed, nobody."""
_GROUP = re.compile(r"[a-z_][a-z0-9_-]{0,30}[a-z0-9_]|[a-z_]")
_LONGEST_NAME = 32
"""Characters of an account's name."""
_TEAM = "team-"
_SECTION = ConfigDict(frozen=True, extra="forbid")


def _check_range(value: Any) -> str:
    found = _RANGE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f'must be a range of numbers such as "20000-29999", not {shown(value)}.')
    first, last = int(found[1]), int(found[2])
    if not _FIRST <= first <= last <= _LAST:
        raise ValueError(f"must lie between {_FIRST} and {_LAST}, the smaller number first: {shown(value)}.")
    if first <= _RESERVED[1] and last >= _RESERVED[0]:
        raise ValueError(f"must leave out {_RESERVED[0]} to {_RESERVED[1]}, which the system uses: {shown(value)}.")
    return f"{first}-{last}"


check_group_name = matching(
    _GROUP,
    "is not a group name: {}. Use 1 to 32 lower-case letters, digits, dashes and underscores, beginning with a letter.",
)
"""Returns what is the name of a Unix group of at most 32 characters; ValueError otherwise."""


def _check_folder(value: str) -> str:
    parts = value.split("/")[1:]
    if not value.startswith("/") or len(parts) < 2 or not all(parts) or {".", ".."} & {*parts}:
        raise ValueError(f'must be a folder such as "/srv/shared", not {shown(value)}.')
    if not value.isprintable() or len(value) > 1000:
        raise ValueError(f"is not a name of a folder that can be used: {shown(value)}.")
    return value


Range = Annotated[
    str,
    BeforeValidator(_check_range),
    WithJsonSchema({"title": "range", "type": "string", "pattern": "^[0-9]+-[0-9]+$", "examples": ["20000-29999"]}),
]
GroupName = Annotated[
    str,
    AfterValidator(check_group_name),
    WithJsonSchema({"title": "group name", "type": "string", "pattern": f"^({_GROUP.pattern})$"}),
]
Folder = Annotated[str, AfterValidator(_check_folder)]


class SharedFolder(BaseModel):
    """A folder that several people share."""

    model_config = _SECTION

    folder: Folder = Field(description="Where it is.", examples=["/srv/shared/course"])
    group: GroupName | None = Field(
        default=None, description="The group of the roster that shares it; everybody, when it is left out."
    )
    access: Literal["write", "read", "drop"] = Field(
        default="write",
        description="What they may do there: `write`, `read` what the keepers put there, or `drop`, which has a folder "
        "for each of them that only he and the keepers can enter.",
    )
    keepers: GroupName | None = Field(
        default=None,
        description="The group of the roster that fills a folder for reading, or sees everything that is dropped; "
        "without it only root does.",
        examples=["teachers"],
    )
    collaboration: bool = Field(
        default=False,
        strict=True,
        description="Whether the group has a server of its own in this folder, where all of them see each other write "
        "in the same notebook. Anybody of the group starts and opens it. It runs as the account `team-` and the "
        'group\'s name; "hubwright apply" makes that, and installs what it needs.',
    )
    quota: Bytes | None = Field(
        default=None,
        description="How much all that is in it may take together, whoever it belongs to, where its file system keeps "
        "quotas of projects (ext4 and xfs, mounted with `prjquota`).",
        examples=["200G"],
    )

    @property
    def team(self) -> str | None:
        """The account of the group's own server; None without one."""
        return f"{_TEAM}{self.group}" if self.collaboration else None

    @model_validator(mode="after")
    def _fits(self) -> SharedFolder:
        if self.collaboration and (self.group is None or self.access != "write"):
            raise ValueError("has collaboration, which is for a folder with a group and access: write.")
        if len(self.team or "") > _LONGEST_NAME:
            raise ValueError(
                f"has collaboration, whose account {self.team} has more than {_LONGEST_NAME} characters: "
                "give the group a shorter name."
            )
        if self.keepers is not None and self.access == "write":
            raise ValueError("has keepers, who are for access: read and access: drop.")
        return self


class People(BaseModel):
    """People of the service besides those that `auth.allow` lets in."""

    model_config = _SECTION

    users: tuple[UserName, ...] = Field(
        default=(),
        description="People who may enter; as root their Unix accounts are made when the service starts.",
        examples=[["bob", "carol"]],
    )
    roster: str | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="A file that lists people, one address or name a line, with `admin` behind those who manage the "
        "service; or YAML or CSV, by its ending. Named from the folder of hub.yaml. "
        "`hubwright apply` brings the machine in step with it.",
        examples=["people.txt"],
    )
    watch: bool = Field(
        default=False, description="Whether a changed roster is applied by itself while the service runs."
    )
    when_removed: Literal["archive", "keep"] = Field(
        default="archive",
        description="What becomes of somebody who is taken out of the roster: `archive` packs the home into an "
        "archive, then removes home and account; `keep` leaves both. Accounts that Hubwright did not make always stay.",
    )
    ids: Range = Field(
        default="20000-29999",
        description="Numeric ids of the accounts and groups that are made from the roster. They are fixed, and never "
        'used again; several machines agree on them with "hubwright user ids".',
    )
    skeleton: Folder | None = Field(
        default=None,
        description="A folder that new homes begin with, instead of /etc/skel.",
        examples=["/srv/hub/skeleton"],
    )
    quota: Bytes | None = Field(
        default=None,
        description="How much disk each home may take, where its file system keeps quotas.",
        examples=["20G"],
    )
    shared: tuple[SharedFolder, ...] = Field(
        default=(),
        description="Folders that everybody shares, or a group of the roster.",
        examples=[[{"folder": "/srv/shared/all"}, {"folder": "/srv/shared/biology", "group": "biology"}]],
    )

    @property
    def teams(self) -> dict[str, SharedFolder]:
        """The folders in which a group has a server of its own, by that server's account."""
        return {one.team: one for one in self.shared if one.team}

    @model_validator(mode="after")
    def _fits_together(self) -> People:
        named = [one.team for one in self.shared if one.team]
        for name in named:
            if named.count(name) > 1:
                group = self.teams[name].group
                raise ValueError(f"gives the group {group} two servers of its own: keep collaboration in one folder.")
            if name in self.users:
                raise ValueError(f"names the user {name}, which is the account of a group's own server.")
        return self
