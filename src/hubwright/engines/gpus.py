"""`engine.gpus` in hub.yaml: which GPUs engines on this machine may give to servers, each to one alone."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from hubwright.engines.section import Section
from hubwright.errors import Problem
from hubwright.fields import shown
from hubwright.machine import gpus
from hubwright.profiles.config import Profiles

_GPU = re.compile(r"[0-9]{1,3}|(GPU|MIG)-[A-Za-z0-9/-]{1,80}|/dev/[A-Za-z0-9._/-]{1,80}")


def _check_gpu(value: str) -> str:
    if not _GPU.fullmatch(value) or ".." in value:
        raise ValueError(
            f'must be Nvidia\'s id or number of a GPU, or a node such as "/dev/dri/renderD128", not {shown(value)}.'
        )
    return value


def _check_gpus(values: tuple[str, ...]) -> tuple[str, ...]:
    if twice := next((value for index, value in enumerate(values) if value in values[:index]), None):
        raise ValueError(f"names {shown(twice)} twice: two servers would have the same GPU.")
    return values


Gpu = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    AfterValidator(_check_gpu),
    WithJsonSchema({"title": "GPU id", "type": ["string", "integer"]}),
]


class GpuSection(Section):
    """The section of an engine whose servers may have GPUs of this machine."""

    gpus: Annotated[tuple[Gpu, ...], AfterValidator(_check_gpus)] | None = Field(
        default=None,
        description="The GPUs that servers may have whose size has some, each for itself: Nvidia's ids "
        "(`nvidia-smi -L`) or numbers, or nodes such as `/dev/dri/renderD128`; in containers parts of a GPU, too. "
        "All of the machine by default.",
        examples=[["GPU-5c2ab9a1-0f3d-4a0e-8f11-6a3b8d4e2c01"]],
    )

    def may_have(self) -> tuple[str, ...]:
        """Return the GPUs that servers may have."""
        return gpus.ids() if self.gpus is None else self.gpus

    def too_many(self, profiles: Profiles) -> list[Problem]:
        """Return which sizes have more GPUs than there are."""
        found, many = [], len(self.may_have())
        for name, size in profiles.sizes.items():
            if (size.gpu or 0) > many:
                what = f"is {size.gpu}, and servers may have {many or 'none'}: nobody could start a server of it."
                where = f"hub.yaml profiles.sizes.{name}.gpu"
                found.append(Problem(where, what, "Leave it out, or name GPUs in engine.gpus."))
        return found
