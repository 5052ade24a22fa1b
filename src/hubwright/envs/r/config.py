"""`kind: r` in `environments`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hubwright.envs.config import Shared
from hubwright.envs.r.versions import PACKAGE
from hubwright.fields import matching, shown

_REPOSITORY = re.compile(r"https?://\S{1,1000}|\.{0,2}/.{0,1000}")


def _check_program(value: str) -> str:
    if not value.startswith("/") or ".." in value.split("/") or not value.isprintable() or len(value) > 1000:
        raise ValueError(f'must be a whole path such as "/usr/bin/R", not {shown(value)}.')
    return value


_check_package = matching(PACKAGE, 'is not a package of R: {}. Write "dplyr", "dplyr==1.1.4" or "dplyr>=1.1".')
_check_repository = matching(
    _REPOSITORY,
    'is no repository: {}. Write its address, "https://cran.example.org", or a folder such as "./cran".',
    printable=True,
)


class Config(Shared):
    """An R of the machine with packages of its own, for an R kernel."""

    kind: Literal["r"] = Field(description="An R of the machine, with packages of its own.")
    program: Annotated[str, AfterValidator(_check_program)] = Field(
        default="/usr/bin/R", description="The R, as a whole path.", examples=["/opt/R/4.4.2/bin/R"]
    )
    packages: tuple[Annotated[str, AfterValidator(_check_package)], ...] = Field(
        default=(),
        max_length=500,
        description="What is installed beside what that R has; what they need comes with them.",
        examples=[["dplyr", "data.table==1.15.4"]],
    )
    repository: Annotated[str, AfterValidator(_check_repository)] = Field(
        default="https://cloud.r-project.org",
        description="Where packages come from: the address of a repository such as CRAN, or a folder that is one "
        "(beginning with `/` or `./`, from the folder of hub.yaml).",
        examples=["https://cran.example.org", "./cran"],
    )
    imports: (
        Annotated[
            tuple[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9.]{0,99}$")], ...],
            Field(max_length=500),
        ]
        | None
    ) = Field(
        default=None,
        description="The packages that a new version must be able to load before people get it; without it `packages`.",
        examples=[["dplyr"]],
    )
