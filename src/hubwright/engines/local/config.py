"""`engine: {kind: local}` in hub.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hubwright.fields import Bytes, Cpus, UserName


class Config(BaseModel):
    """Notebook servers are forked on this machine, each as its user's Unix account."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["local"] = Field(default="local", description="Where servers run: on this machine.")
    memory: Bytes | None = Field(
        default=None,
        description="The memory that one server with all its kernels may take. Limits need root and control groups.",
        examples=["2G"],
    )
    cpu: Cpus | None = Field(
        default=None, description="The processors that one server may take; 0.5 is half of one.", examples=[1]
    )
    processes: int | None = Field(
        default=None,
        ge=16,
        le=4_000_000,
        strict=True,
        description="The processes and threads that one server may have.",
        examples=[512],
    )
    servers: int = Field(
        default=1,
        ge=1,
        le=1000,
        strict=True,
        description="How many servers a person may have: the first one, and named ones beside it.",
        examples=[3],
    )
    merge_memory: bool = Field(
        default=False,
        description=(
            "Whether Linux keeps identical memory of different users once (KSM). It spares more than half of an idle "
            "user's memory, and lets a user who measures times find out whether somebody else has a page of memory "
            "whose whole content he knows: for people who trust each other. Needs root and Linux 6.4."
        ),
    )
    admit: tuple[UserName, ...] = Field(
        default=(),
        description="Accounts that may have servers although they could become root: members of sudo, and the like.",
        examples=[["alice"]],
    )
