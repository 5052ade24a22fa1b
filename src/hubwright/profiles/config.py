"""The `profiles` section of hub.yaml: sizes and images by name, and what people may have of them."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from hubwright.fields import Bytes, Cpus, Duration, Processes, UserName, matching, shown

_SECTION = ConfigDict(frozen=True, extra="forbid")
_NAME = re.compile(r"\S(.{0,62}\S)?")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}")
_FIELD = re.compile(r"\{[^{}]*\}|[{}]")
USERNAME = "{username}"


_check_name = matching(
    _NAME, "must be a name of 1 to 64 characters without a space at its ends, not {}.", printable=True
)
_check_image = matching(_IMAGE, 'must be the name of an image such as "quay.io/jupyter/base-notebook:latest", not {}.')


def _check_path(value: str) -> str:
    """Return a path that is absolute, plain, and holds no other placeholder than `{username}`."""
    if any(found != USERNAME for found in _FIELD.findall(value)):
        raise ValueError(f"may hold {USERNAME} and no other word in braces: {shown(value)}.")
    whole = PurePosixPath(value)
    if not value.startswith("/") or ".." in whole.parts or not value.isprintable() or ":" in value:
        raise ValueError(f'must be a whole path such as "/srv/data", not {shown(value)}.')
    return str(whole)


def _check_home(value: str) -> str:
    if USERNAME not in value:
        raise ValueError(f"must hold {USERNAME}, so that everybody has a home of his own, not {shown(value)}.")
    return _check_path(value)


Name = Annotated[str, AfterValidator(_check_name)]
PathPattern = Annotated[str, AfterValidator(_check_path)]
HomePattern = Annotated[str, AfterValidator(_check_home)]


class Size(BaseModel):
    """An upper limit that people choose by name; they may ask for less."""

    model_config = _SECTION

    cpu: Cpus = Field(
        description="The most processors a server of this size may use; 0.5 is half of one.", examples=[2]
    )
    memory: Bytes = Field(
        description="The most memory that a server of this size may take, with all its kernels.", examples=["4G"]
    )
    gpu: int | None = Field(
        default=None, ge=1, le=64, strict=True, description="The GPUs that a server of this size has.", examples=[1]
    )
    processes: Processes | None = Field(
        default=None,
        description="The processes and threads that a server of this size may have.",
        examples=[512],
    )
    disk: Bytes | None = Field(
        default=None, description="The disk that a server of this size may fill outside the home.", examples=["20G"]
    )


class Image(BaseModel):
    """A container image that people choose by its display name."""

    model_config = _SECTION

    image: Annotated[str, AfterValidator(_check_image)] = Field(
        description="The image, as the container engine knows it.", examples=["quay.io/jupyter/base-notebook:latest"]
    )
    help: str = Field(default="", max_length=500, description="What people read about it when they choose.")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"image": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Say that the image alone, as a text, will do."""
        return {"anyOf": [{"type": "string"}, handler.resolve_ref_schema(handler(core))]}


class Amount(BaseModel):
    """Processors and memory; what is left out is not spoken of."""

    model_config = _SECTION

    cpu: Cpus | None = Field(default=None, description="Processors.", examples=[4])
    memory: Bytes | None = Field(default=None, description="Memory.", examples=["8G"])


class Margin(Amount):
    """Processors and memory that the machine keeps."""

    memory: Bytes | None = Field(default=512 * 2**20, description="Memory.", examples=["4G"])


class Volume(BaseModel):
    """A folder of the machine that servers see besides the home."""

    model_config = _SECTION

    source: PathPattern = Field(
        description="The folder on the machine; `{username}` in it is the user.", examples=["/srv/data"]
    )
    target: PathPattern = Field(description="Where servers see it.", examples=["/data"])
    writable: bool = Field(default=False, strict=True, description="Whether users may write into it.")


class Entry(BaseModel):
    """What people may have; a key that is left out is taken from the next entry that has it."""

    model_config = _SECTION

    sizes: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="The sizes to choose from; the first one is preselected.",
        examples=[["Small", "Large"]],
    )
    images: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="The images to choose from; the first one is preselected.",
        examples=[["Python"]],
    )
    reserve: Amount | None = Field(
        default=None,
        description="The most that one server may keep for itself, whatever others do. Nothing by default.",
        examples=[{"cpu": 1, "memory": "2G"}],
    )
    home: HomePattern | None = Field(
        default=None,
        description="Where homes are on the machine, with `{username}` in it; "
        "for engines that bring the home into a container. The account's own home by default.",
        examples=["/home/{username}"],
    )
    volumes: tuple[Volume, ...] | None = Field(
        default=None,
        description="Folders of the machine that containers see besides the home; read-only unless `writable`.",
        examples=[[{"source": "/srv/data", "target": "/data"}]],
    )
    servers: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        strict=True,
        description="How many servers a user may run at the same time. `engine.servers` by default.",
        examples=[3],
    )
    total: Amount | None = Field(
        default=None,
        description="The most that all servers of a user may have together. No total by default.",
        examples=[{"cpu": 4, "memory": "16G"}],
    )


class Profiles(BaseModel):
    """Sizes and images that people choose from, and who may have what. Holds for every way to start a server."""

    model_config = _SECTION

    sizes: dict[Name, Size] = Field(
        min_length=1,
        description="The sizes there are, by the name that people read.",
        examples=[{"Small": {"cpu": 1, "memory": "2G"}, "Large": {"cpu": 4, "memory": "16G"}}],
    )
    images: dict[Name, Image] = Field(
        default={},
        description="The images there are, by the name that people read: the image, or `{image: ..., help: ...}`. "
        "For engines that run containers.",
        examples=[{"Python": {"image": "quay.io/jupyter/base-notebook:latest", "help": "Python and JupyterLab"}}],
    )
    default: Entry = Field(
        default=Entry(), description="What everybody may have whose groups and own entry say nothing else."
    )
    groups: dict[Name, Entry] = Field(
        default={},
        description="What the members of a group of the hub may have; of several groups the one that is written first "
        "counts, key by key.",
        examples=[{"students": {"sizes": ["Small"]}}],
    )
    users: dict[UserName, Entry] = Field(
        default={}, description="What one user may have.", examples=[{"alice": {"sizes": ["Large", "Small"]}}]
    )
    margin: Margin = Field(
        default=Margin(),
        description="What the machine keeps for itself: reserves, and all servers together, leave it alone.",
        examples=[{"cpu": 1, "memory": "4G"}],
    )
    cap: Amount = Field(
        default=Amount(),
        description="The most that all servers may take together. The machine without its margin by default.",
        examples=[{"cpu": 8, "memory": "64G"}],
    )
    when_full: Literal["refuse", "wait"] = Field(
        default="refuse",
        description="What becomes of a start whose reserve or GPUs cannot be had now: it is refused, or it waits.",
    )
    wait: Annotated[Duration, Field(ge=1, le=86400)] = Field(
        default=600.0, description="How long such a start waits before it is refused after all."
    )

    def entries(self) -> dict[str, Entry]:
        """Return every entry by the way to it: `default`, `groups.NAME`, `users.NAME`."""
        found = {"default": self.default}
        return found | {f"{kind}.{name}": e for kind in ("groups", "users") for name, e in getattr(self, kind).items()}
