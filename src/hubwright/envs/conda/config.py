"""`kind: conda` in `environments`."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from hubwright.envs.config import SharedPython
from hubwright.fields import matching, shown

_PACKAGE = re.compile(r"([A-Za-z0-9_.:/-]{1,300}::)?[A-Za-z0-9_.-]{1,100}([ =<>!~\[].{0,500})?")
_CHANNEL = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,100}(/[A-Za-z0-9_./-]{1,200})?|(https?|file)://\S{1,1000}")
_FOLDER = re.compile(r"\.{0,2}/[^\0]{0,1000}")


check_package = matching(_PACKAGE, 'is not a package: {}. Write "numpy", "numpy>=2" or "python=3.12".', printable=True)
"""Returns what looks like conda's way to name a package (MatchSpec); ValueError otherwise."""


def check_channel(value: str) -> str:
    """Return `value` when it is the name of a channel, its address, or a folder; ValueError otherwise."""
    if not _CHANNEL.fullmatch(value) and not (_FOLDER.fullmatch(value) and value.isprintable()):
        raise ValueError(
            f'is not a channel: {shown(value)}. Write "conda-forge", its address, or a folder such as "./channel".'
        )
    return value


Modules = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,199}$")], ...],
    Field(max_length=500),
]


class Config(SharedPython):
    """An environment of conda packages, for a Python kernel or an R one; no conda needs to be installed."""

    kind: Literal["conda"] = Field(description="An environment of conda packages.")
    packages: tuple[Annotated[str, AfterValidator(check_package)], ...] = Field(
        default=(),
        max_length=500,
        description="What is installed, as conda takes it; what the kernel needs is added.",
        examples=[["python=3.12", "rdkit", "numpy>=2"]],
    )
    file: str | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="An `environment.yml` beside `packages`, or in place of them; named from the folder of hub.yaml.",
        examples=["environment.yml"],
    )
    channels: tuple[Annotated[str, AfterValidator(check_channel)], ...] | None = Field(
        default=None,
        max_length=20,
        description="Where packages come from, the first one first: names, addresses, or folders (beginning with `/` "
        "or `./`, from the folder of hub.yaml). Without it those of `file`, else `conda-forge`.",
        examples=[["conda-forge"], ["./channel"]],
    )
    kernel: Literal["python", "r"] = Field(
        default="python", description="What its notebooks speak: `python` (with ipykernel) or `r` (with r-irkernel)."
    )
    imports: Modules | None = Field(
        default=None,
        description="The Python modules, or R packages, that a new version must be able to load before people get it; "
        "without it those of `packages`.",
        examples=[["rdkit", "numpy"]],
    )

    @model_validator(mode="after")
    def _has_packages(self) -> Self:
        if not self.packages and self.file is None:
            raise ValueError("must name `packages`, or a `file` that does.")
        if self.preload and self.kernel != "python":
            raise ValueError("has `preload`, which is for Python: leave it out beside `kernel: r`.")
        return self
