"""`engine: {kind: local}` in hub.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hubwright.engines.gpus import GpuSection


class Config(GpuSection):
    """Notebook servers are forked on this machine, each as its user's Unix account."""

    kind: Literal["local"] = Field(default="local", description="Where servers run: on this machine.")
    merge_memory: bool = Field(
        default=False,
        description=(
            "Whether Linux keeps identical memory of different users once (KSM). It spares more than half of an idle "
            "user's memory, and lets a user who measures times find out whether somebody else has a page of memory "
            "whose whole content he knows: for people who trust each other. Needs root and Linux 6.4."
        ),
    )
