"""`environments` in hub.yaml."""

from __future__ import annotations

import keyword
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from hubwright.fields import shown


def _check_module(value: str) -> str:
    parts = value.split(".")
    if len(value) > 200 or not all(part.isidentifier() and not keyword.iskeyword(part) for part in parts):
        raise ValueError(f"is not the name of a Python module: {shown(value)}.")
    return value


ModuleName = Annotated[str, AfterValidator(_check_module), WithJsonSchema({"title": "module name", "type": "string"})]


class Environment(BaseModel):
    """An environment that kernels come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preload: tuple[ModuleName, ...] = Field(
        default=(),
        description="Python modules that are imported once for everybody, so that `import` takes no time in "
        "a notebook. They must be installed, and must not start threads.",
        examples=[["numpy", "pandas"]],
    )


class Environments(BaseModel):
    """Where kernels come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    default: Environment = Field(
        default=Environment(), description="The environment that Hubwright itself is installed in."
    )
