"""`kind: uv` in `environments`."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from hubwright.envs.config import ModuleName, SharedPython, check_requirement
from hubwright.fields import matching

_PYTHON = re.compile(r"(3\.[0-9]{1,2}(\.[0-9]{1,3})?|/[^\0\n]{1,1000})")


_check_python = matching(
    _PYTHON, 'must be a version such as "3.12", or the whole path of a Python, not {}.', printable=True
)


class Config(SharedPython):
    """A Python environment of the packages that are named, made with uv."""

    kind: Literal["uv"] = Field(description="A Python environment, made with uv.")
    python: Annotated[str, AfterValidator(_check_python)] | None = Field(
        default=None,
        description="The version of Python, or the whole path of one; without it the Python that runs Hubwright. "
        "A version that is not installed is fetched.",
        examples=["3.12"],
    )
    managed: bool = Field(
        default=False,
        description="Whether the Python is one that uv fetches, also where the machine has that version: it lies with "
        "the environments, so that containers have it, whatever their image.",
    )
    packages: tuple[Annotated[str, AfterValidator(check_requirement)], ...] = Field(
        default=(), max_length=500, description="What is installed, as pip takes it.", examples=[["numpy", "pandas>=2"]]
    )
    requirements: str | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="A file of requirements beside `packages`, or in place of them; named from the folder of hub.yaml.",
        examples=["requirements.txt"],
    )
    from_source: bool = Field(
        default=False,
        description="Whether packages that come only as source may be built. Their authors' programs run at the build, "
        "as an account without rights.",
    )
    imports: tuple[ModuleName, ...] | None = Field(
        default=None,
        description="The modules that a new version must be able to import before people get it; "
        "without it those of `packages`.",
        examples=[["numpy", "pandas"]],
    )
    index: str | None = Field(
        default=None,
        pattern=r"^(https?|file)://\S{1,1000}$",
        description="The address of the package index, when it is not PyPI.",
        examples=["https://pypi.example.org/simple"],
    )
    find_links: str | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="A folder with packages, for a machine that cannot reach an index; from the folder of hub.yaml.",
        examples=["wheels"],
    )

    @model_validator(mode="after")
    def _has_packages(self) -> Self:
        if not self.packages and self.requirements is None:
            raise ValueError("must name `packages`, or a file of them in `requirements`.")
        if self.managed and (self.python or "").startswith("/"):
            raise ValueError("has `managed`, so that uv fetches its Python: name a version in `python`, and no path.")
        return self
