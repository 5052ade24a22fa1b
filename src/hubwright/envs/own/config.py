"""`kind: own` of `environments.default`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hubwright.envs.config import ModuleName


class Config(BaseModel):
    """The environment that Hubwright itself is installed in; for `default` only, and there when nothing is said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["own"] = Field(default="own", description="The environment that Hubwright itself is installed in.")
    preload: tuple[ModuleName, ...] = Field(
        default=(),
        description="Python modules that are imported once for everybody, so that `import` takes no time in "
        "a notebook. They must be installed, and must not start threads.",
        examples=[["numpy", "pandas"]],
    )
