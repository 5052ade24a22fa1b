"""`kind: julia` in `environments`."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from hubwright.envs.config import Shared
from hubwright.envs.julia.packages import NAME, Package
from hubwright.fields import matching, shown

_ARCHIVES = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar")
_TARGET = re.compile(r"[A-Za-z0-9_+,;.()-]{1,500}")


def _check_package(value: str) -> str:
    Package.parse(value)
    return value


def _check_julia(value: str) -> str:
    if not value.isprintable() or len(value) > 1000:
        raise ValueError(f"is no path or address: {shown(value)}.")
    if "://" in value and not value.startswith(("https://", "http://")):
        raise ValueError(f"must be an address that begins with https://, or a path, not {shown(value)}.")
    return value


_check_target = matching(_TARGET, 'is no CPU target: {}. Write "native" or "generic;haswell,clone_all".')
PackageName = Annotated[
    str, AfterValidator(matching(NAME, 'is not the name of a Julia package: {}. Write "DataFrames".'))
]


class Config(Shared):
    """A Julia with packages that are precompiled once for everybody; people add theirs on top."""

    kind: Literal["julia"] = Field(description="Julia, with packages that are precompiled once.")
    julia: Annotated[str, AfterValidator(_check_julia)] | None = Field(
        default=None,
        min_length=1,
        description="Which Julia: the path of the program, an archive of one, from the folder of hub.yaml, "
        "or the address of an archive; without it the `julia` that the machine has.",
        examples=["/opt/julia-1.10.9/bin/julia", "julia-1.10.9-linux-x86_64.tar.gz"],
    )
    sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-fA-F]{64}$",
        description="The checksum of the archive; an address needs one.",
    )
    version: str | None = Field(
        default=None,
        pattern=r"^1(\.[0-9]{1,3}){0,2}$",
        description="The version that this Julia must be; another one is refused.",
        examples=["1.10"],
    )
    packages: tuple[Annotated[str, AfterValidator(_check_package)], ...] = Field(
        default=(),
        max_length=500,
        description="What is installed: names from the registries, with `@1.2` for a version; folders with a package, "
        "with `./` or `/` before them; addresses of git repositories, with `#name` for a branch, tag or commit. "
        "IJulia, which makes it a kernel, always comes with them.",
        examples=[["DataFrames", "CSV@0.10", "./OurPackage", "https://git.example.org/Ours.jl#main"]],
    )
    registries: tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...] = Field(
        default=("General",),
        min_length=1,
        max_length=20,
        description="Where names are looked up: `General`, or the address or folder of a registry's git repository.",
        examples=[["General", "https://git.example.org/OurRegistry.git"]],
    )
    pkg_server: str | None = Field(
        default=None,
        pattern=r"^(https?://\S{1,1000})?$",
        description="The address of the package server, for `JULIA_PKG_SERVER`; empty for none.",
        examples=["https://pkg.example.org"],
    )
    imports: tuple[PackageName, ...] | None = Field(
        default=None,
        description="The packages that a new version must be able to import before people get it; "
        "without it all of `packages`.",
        examples=[["DataFrames"]],
    )
    sysimage: tuple[PackageName, ...] = Field(
        default=(),
        max_length=200,
        description="Packages, of those that are installed, that become part of Julia's own image, so that they are "
        "there when it starts. Needs a C compiler, and some minutes at each build.",
        examples=[["DataFrames", "Plots"]],
    )
    warm_up: str | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="A Julia program that is run once at the build; what Julia compiles for it goes into the image.",
        examples=["warm_up.jl"],
    )
    cpu_target: Annotated[str, AfterValidator(_check_target)] = Field(
        default="native",
        description="For which processors packages are compiled, as `JULIA_CPU_TARGET` says it; `native` is for "
        "those of this machine.",
        examples=["generic;haswell,clone_all"],
    )

    @property
    def comes_as(self) -> Literal["program", "archive", "address"]:
        """What `julia` names."""
        if self.julia and "://" in self.julia:
            return "address"
        return "archive" if self.julia and self.julia.endswith(_ARCHIVES) else "program"

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.comes_as == "address" and self.sha256 is None:
            raise ValueError("must have `sha256`, the checksum of what the address of `julia` gives.")
        if self.comes_as == "program" and self.sha256 is not None:
            raise ValueError("has a `sha256`, which is for an archive, and `julia` names none.")
        same = [Package.parse(text).same for text in self.packages]
        if twice := [name for name in dict.fromkeys(same) if same.count(name) > 1]:
            raise ValueError(f"names {', '.join(twice)} twice in `packages`.")
        if self.warm_up and not self.sysimage:
            raise ValueError("has a `warm_up`, which is for `sysimage`, and names no packages there.")
        return self
