"""`Hub`: the service as one frozen model. Type, default and help of a setting stand here, or in its kind, only."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from hubwright.auth import FAMILY as AUTH
from hubwright.classes.config import Class, ClassId
from hubwright.content.config import Content, ContentName
from hubwright.engines import FAMILY as ENGINES
from hubwright.envs import DEFAULT as DEFAULT_ENVIRONMENT
from hubwright.envs import FAMILY as ENVIRONMENTS
from hubwright.envs.config import EnvironmentName
from hubwright.fields import Duration, UserName, format_duration, matching, parse_duration, shown
from hubwright.kinds import KindConfig
from hubwright.metrics.config import Metrics
from hubwright.people.config import People
from hubwright.profiles.config import Profiles
from hubwright.proxy.apex import Static
from hubwright.proxy.https import FAMILY as HTTPS

_LISTEN = re.compile(r"(\[[0-9a-fA-F:.%]{2,60}\]|[A-Za-z0-9._-]{0,253}):([0-9]{1,5})")
_CLASS = re.compile(r"[A-Z][A-Za-z0-9_]{0,99}")
_TRAIT = re.compile(r"[a-z_][A-Za-z0-9_]{0,99}")
_URL_PATH = re.compile(r"/([A-Za-z0-9_~-][A-Za-z0-9._~-]*/)*")


def _check_listen(value: str) -> str:
    match = _LISTEN.fullmatch(value)
    if match is None or not 1 <= int(match[2]) <= 65535:
        raise ValueError(f'must be an address and a port such as "127.0.0.1:8000" or ":8000", not {shown(value)}.')
    return value


def _check_url(value: str) -> str:
    example = 'must be an address such as "https://notebooks.example.org/" or "http://10.0.0.5:8000/lab/"'
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{example}, not {shown(value)}.") from error
    path = parts.path if parts.path.endswith("/") else parts.path + "/"
    plain = parts.scheme in {"http", "https"} and parts.hostname and port != 0 and parts.netloc.isascii()
    if not plain or "@" in parts.netloc or parts.query or parts.fragment or not value.isprintable() or " " in value:
        raise ValueError(f"{example}, not {shown(value)}.")
    if not _URL_PATH.fullmatch(path):
        raise ValueError(f"has a path that cannot be used, {shown(path)}: letters, digits, dashes and dots only.")
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"


def _parse_stop_after(value: Any) -> float:
    return 0.0 if value == "never" or value is False else parse_duration(value)


def _parse_day(value: Any) -> Any:
    try:
        return value if isinstance(value, date) else date.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f'must be a day such as "2030-12-24", not {shown(value)}.') from error


def _with_default(environments: dict[str, Any]) -> dict[str, Any]:
    return {DEFAULT_ENVIRONMENT: ENVIRONMENTS.default_config(), **environments}


Day = Annotated[date, BeforeValidator(_parse_day), WithJsonSchema({"title": "day", "type": "string", "format": "date"})]
StopAfter = Annotated[
    float,
    BeforeValidator(_parse_stop_after),
    PlainSerializer(lambda seconds: format_duration(seconds) if seconds else "never", return_type=str),
    WithJsonSchema({"title": "duration, or `never`", "type": ["string", "number"], "examples": ["never", "1h"]}),
]
ClassName = Annotated[
    str, AfterValidator(matching(_CLASS, 'has a name that is no class of JupyterHub, such as "Spawner": {}.'))
]
TraitName = Annotated[str, AfterValidator(matching(_TRAIT, "has a name that is no setting of JupyterHub: {}."))]
_SECTION = ConfigDict(frozen=True, extra="forbid")


class Message(BaseModel):
    """What everybody reads above every page, until its last day."""

    model_config = _SECTION

    text: str = Field(
        min_length=1,
        max_length=1000,
        description="What everybody reads above every page; addresses in it become links.",
        examples=["Maintenance on Friday from 18:00"],
    )
    until: Day | None = Field(default=None, description="The last day it is shown.", examples=["2030-12-24"])


class HubSection(BaseModel):
    """The service itself: its name, its address, its admins."""

    model_config = _SECTION

    name: str = Field(default="Hubwright", min_length=1, max_length=100, description="The name on its pages.")
    listen: Annotated[str, AfterValidator(_check_listen)] = Field(
        default="127.0.0.1:8000",
        description="Address and port that it listens on. `:8000` is every address of this machine; "
        "`https` must then say how it is encrypted.",
        examples=["0.0.0.0:8000"],
    )
    url: Annotated[str, AfterValidator(_check_url)] | None = Field(
        default=None,
        description="The address in people's browsers, when it is not `http://` or `https://` and `listen`: "
        "a name, behind a proxy, or with a path of its own.",
        examples=["https://notebooks.example.org/"],
    )
    admins: tuple[UserName, ...] = Field(
        default=(),
        description="People who manage users and servers. Without any, `first_use` makes one: whoever runs it, "
        "or `hubadmin` when that is root.",
        examples=[["alice"]],
    )
    landing: Literal["lab", "home"] = Field(
        default="lab", description="What people see first: JupyterLab, or the list of their servers."
    )
    logo: str | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="An image that stands before the name: PNG, JPEG, GIF, WebP or SVG; "
        "named from the folder of hub.yaml.",
        examples=["logo.svg"],
    )
    message: Message | None = Field(
        default=None,
        description="A message of the day, with its text and perhaps its last day.",
        examples=[{"text": "Maintenance on Friday from 18:00", "until": "2030-12-24"}],
    )
    templates: str | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="A folder of templates of your own, which stand before Hubwright's; "
        "named from the folder of hub.yaml.",
        examples=["templates"],
    )


class IdleSection(BaseModel):
    """When servers and kernels that nobody uses are stopped. A kernel that computes counts as used."""

    model_config = _SECTION

    stop_after: StopAfter = Field(
        default=0.0, description="How long a server may be idle before it is stopped; or `never`.", examples=["1h"]
    )
    kernels_after: StopAfter = Field(
        default=0.0,
        description="How long a kernel may be idle before it is stopped, also while a page with it is open; "
        "or `never`. Its server, and the notebook's file with the outputs, stay.",
        examples=["1h"],
    )
    check_every: Annotated[Duration, Field(ge=1, le=86400)] = Field(
        default=60.0, description="How often that is looked at."
    )


class Hub(BaseModel):
    """A notebook service."""

    # built when the first file is read: only then the installed kinds are looked up
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    hub: HubSection = Field(default=HubSection(), description="The service itself: its name, its address, its admins.")
    auth: Annotated[KindConfig, AUTH] = Field(
        default_factory=AUTH.default_config, description="How people log in, and who may."
    )
    https: Annotated[KindConfig, HTTPS] = Field(
        default_factory=HTTPS.default_config, description="How connections of browsers are encrypted."
    )
    static: Static | None = Field(
        default=None, description="Pages of your own beside the hub, at the apex of its domain for example."
    )
    people: People = Field(
        default=People(), description="People of the service besides those that `auth.allow` lets in."
    )
    engine: Annotated[KindConfig, ENGINES] = Field(
        default_factory=ENGINES.default_config, description="Where notebook servers run, and what they may take."
    )
    profiles: Profiles | None = Field(
        default=None,
        description="Sizes and images that people choose from, and who may have what; for every engine, "
        "and for every way to start a server. Without it every server has the limits of `engine`.",
    )
    environments: Annotated[
        dict[EnvironmentName, Annotated[KindConfig, ENVIRONMENTS]], AfterValidator(_with_default)
    ] = Field(
        default={},
        validate_default=True,
        description="Where kernels come from: a name for each environment, and what is in it. "
        "`default` is what the kernel `python3` runs in.",
    )
    content: dict[ContentName, Content] = Field(
        default={},
        description="Files that people get into their homes, a name for each collection: where they come from, and "
        "who gets them. What somebody has edited is never overwritten.",
        examples=[{"course": {"folder": "/srv/course"}}],
    )
    idle: IdleSection = Field(
        default=IdleSection(),
        description="When servers and kernels that nobody uses are stopped. A kernel that computes counts as used.",
    )
    metrics: Metrics = Field(
        default=Metrics(), description="What servers, homes and the machine take, now and over time."
    )
    classes: dict[ClassId, Class] = Field(
        default={},
        description="Classes by their names: who is in one, who teaches it, and the times at which its servers "
        "are to be there.",
        examples=[{"biology": {"groups": ["biology"], "teachers": ["ada"]}}],
    )
    sharing: bool = Field(
        default=False,
        strict=True,
        description="Whether people may let others, by name, into servers of theirs, from the home page. "
        "Whoever is let in works there as the owner. Without it, what was shared ends when the hub starts.",
    )
    extra: dict[ClassName, dict[TraitName, Any]] = Field(
        default={},
        description="JupyterHub settings that Hubwright has no word for, as `ClassName: {setting: value}`; "
        "they replace Hubwright's own and are not checked. "
        "Services, roles and environment variables are added to Hubwright's own.",
        examples=[{"JupyterHub": {"active_server_limit": 100}}],
    )


FAMILIES = {family.section: family for family in (AUTH, HTTPS, ENGINES, ENVIRONMENTS)}
"""The sections that are told apart by `kind`."""
