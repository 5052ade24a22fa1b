"""What people start: `bin/julia` of a version, with their own depot before the shared one, and the kernel of it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from hubwright.envs import kernelspec

ENVIRONMENT = "hubwright"
"""The name of the environment in the shared depot."""
_JULIA = """#!/bin/sh
# Julia of the environment {name}, always of this version. People's own depot stands before the shared one, which they
# only read; `using` looks into the project that is active, into their own environment, and then into the shared one.
JULIA_DEPOT_PATH="$HOME/.julia":{depot}:
JULIA_LOAD_PATH=@:@v#.#:{environment}:@stdlib
export JULIA_DEPOT_PATH JULIA_LOAD_PATH
{variables}exec {program} {flags}"$@"
"""
_KERNEL = """#!/bin/sh
# Starts a kernel of the environment {name}, always of this version: a newer one takes the place of the link only.
[ "$1" != --try ] || {{ {there}; exec {julia} -e 'import IJulia'; }}
exec {julia} -i --color=yes --project=@. -e {start} "$@"
"""
_START = (
    "import IJulia; isdefined(IJulia, :run_kernel) ? IJulia.run_kernel() : "
    'include(joinpath(dirname(pathof(IJulia)), "kernel.jl"))'  # before IJulia 1.28
)


@dataclass(frozen=True)
class Place:
    """Where the parts of one version are."""

    folder: Path
    name: str
    program: Path
    sysimage: tuple[str, ...]
    pkg_server: str | None

    @property
    def depot(self) -> Path:
        """The shared depot."""
        return self.folder / "depot"

    @property
    def environment(self) -> Path:
        """The folder of the shared Project.toml and Manifest.toml."""
        return self.depot / "environments" / ENVIRONMENT

    @property
    def image(self) -> Path:
        """The system image, when there is one."""
        return self.depot / "hubwright.so"

    @property
    def julia(self) -> Path:
        """What people run."""
        return self.folder / "bin" / "julia"


def write(place: Place, display: str) -> None:
    """Write `bin/julia` and the kernel of a version."""
    place.julia.parent.mkdir(mode=0o755)
    place.julia.write_text(
        _JULIA.format(
            name=place.name,
            depot=shlex.quote(str(place.depot)),
            environment=shlex.quote(str(place.environment)),
            variables=kernelspec.exports({} if place.pkg_server is None else {"JULIA_PKG_SERVER": place.pkg_server}),
            program=shlex.quote(str(place.program)),
            flags=f"--sysimage={shlex.quote(str(place.image))} " if place.sysimage else "",
        )
    )
    place.julia.chmod(0o755)
    words = {"julia": shlex.quote(str(place.julia)), "start": shlex.quote(_START)}
    script = _KERNEL.format(name=place.name, there=kernelspec.there(place.program), **words)
    current = place.folder.parent.parent / "current" / "kernel"
    spec = {
        "argv": [str(current / kernelspec.SCRIPT), "{connection_file}"],
        "display_name": display,
        "language": "julia",
        "interrupt_mode": "signal",
    }
    pictures = [*place.depot.glob("packages/IJulia/*/deps"), place.folder / "folders" / "IJulia" / "deps"]
    kernelspec.write(place.folder / "kernel", script, spec, pictures, [place.program.parent.parent])
