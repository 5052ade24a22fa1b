"""The `metrics` section of hub.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from hubwright.fields import Bytes, Duration

_SECTION = ConfigDict(frozen=True, extra="forbid")
_DAY = 86400.0


class Keep(BaseModel):
    """How long the history is kept; older points become fewer ones, then none."""

    model_config = _SECTION

    detail: Annotated[Duration, Field(ge=3600, le=31 * _DAY)] = Field(
        default=_DAY, description="How long means over 15 seconds are kept."
    )
    minutes: Annotated[Duration, Field(ge=_DAY, le=366 * _DAY)] = Field(
        default=7 * _DAY, description="How long means over 5 minutes are kept."
    )
    hours: Annotated[Duration, Field(ge=_DAY, le=3660 * _DAY)] = Field(
        default=365 * _DAY, description="How long means over an hour are kept."
    )
    size: Annotated[Bytes, Field(ge=2**23)] = Field(
        default=2**29, description="The most disk that the history takes; beyond it the oldest points go first."
    )


class Metrics(BaseModel):
    """What servers, homes and the machine take, now and over time."""

    model_config = _SECTION

    enabled: bool = Field(default=True, strict=True, description="Whether that is measured at all.")
    every: Annotated[Duration, Field(ge=1, le=15)] = Field(
        default=5.0, description="How often servers and machine are looked at."
    )
    disk_every: Annotated[Duration, Field(ge=60, le=7 * _DAY)] = Field(
        default=900.0,
        description="How often the disk that a home takes is counted, for people whose servers run; "
        "one home at a time, at idle priority.",
    )
    keep: Keep = Field(default=Keep(), description="How long the history is kept, and how large it may be.")
