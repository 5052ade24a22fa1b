"""What every entry of `environments` in hub.yaml has, whatever its kind."""

from __future__ import annotations

import keyword
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from hubwright.fields import matching, shown

_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,39}")
_TAKEN = {"python3": "is the kernel of the environment `default`; give that one a kind instead."}


def _check_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"is not the name of an environment: {shown(value)}. Use 1 to 40 lower-case letters, digits, dots, dashes "
            "and underscores, beginning with a letter."
        )
    if value in _TAKEN:
        raise ValueError(_TAKEN[value])
    return value


def _check_module(value: str) -> str:
    parts = value.split(".")
    if len(value) > 200 or not all(part.isidentifier() and not keyword.iskeyword(part) for part in parts):
        raise ValueError(f"is not the name of a Python module: {shown(value)}.")
    return value


check_requirement = matching(
    re.compile(r"[A-Za-z0-9]([^\0\r\n]{0,998})"),
    'is not a package: {}. Write "numpy", "numpy>=2" or "name @ https://...".',
    printable=True,
)
"""Returns what looks like pip's way to name a package; ValueError otherwise."""

EnvironmentName = Annotated[str, AfterValidator(_check_name)]
ModuleName = Annotated[str, AfterValidator(_check_module), WithJsonSchema({"title": "module name", "type": "string"})]


class Groups(BaseModel):
    """The groups of people who may use an environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    groups: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = Field(
        min_length=1, max_length=20, description="Unix groups of this machine whose members see it."
    )


class Shared(BaseModel):
    """An environment that people share, and cannot change."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    display: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="What people read in JupyterLab; its name, when that is left out.",
        examples=["Science (Python 3.11)"],
    )
    allow: Literal["all"] | Groups = Field(
        default="all", description="Who sees it, and may read its files: `all`, or `{groups: [...]}`."
    )


class SharedPython(Shared):
    """An environment whose kernels can be forked."""

    preload: tuple[ModuleName, ...] = Field(
        default=(),
        max_length=100,
        description="Python modules that are imported once for everybody, so that `import` takes no time in a "
        "notebook. They must not start threads. Name only what you trust with the machine: see docs/security.md.",
        examples=[["numpy", "pandas"]],
    )
