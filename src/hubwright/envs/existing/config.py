"""`kind: existing` in `environments`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hubwright.envs.config import SharedPython
from hubwright.fields import shown


def _check_prefix(value: str) -> str:
    if not value.startswith("/") or ".." in value.split("/") or not value.isprintable() or len(value) > 1000:
        raise ValueError(f'must be a whole path such as "/opt/conda/envs/science", not {shown(value)}.')
    return value.rstrip("/") or "/"


class Config(SharedPython):
    """An environment that is there already, made by whatever means: looked at, never changed."""

    kind: Literal["existing"] = Field(description="An environment that is there already.")
    prefix: Annotated[str, AfterValidator(_check_prefix)] = Field(
        description="Where it is; `bin/python` lies below.", examples=["/opt/conda/envs/science"]
    )
