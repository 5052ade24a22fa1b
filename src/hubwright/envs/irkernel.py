"""The kernel of an R: its kernelspec, and the script that starts it with a library of the user's own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hubwright.envs import kernelspec, trying
from hubwright.errors import MachineError, printable

KERNEL = "IRkernel"
IMPORTING = "library({})"
_MARK = "hubwright "
_VERSION = re.compile(r"[0-9]+(\.[0-9]+){1,3}")
_ASK = """
site <- unique(c(.Library.site, .Library))
found <- installed.packages()[, c("Package", "Version"), drop = FALSE]
tell <- function(...) cat(paste0("hubwright ", paste(..., sep = "\\t"), "\\n"), sep = "")
tell("version", paste(R.version$major, R.version$minor, sep = "."))
tell("library", normalizePath(site))
if (nrow(found)) tell("package", found[, 1], found[, 2])
"""
_LAUNCH = """#!/bin/sh
# Starts a kernel of the environment {name}, always of this version: a newer one takes the place of the link only.
# What `install.packages()` brings goes to a library of the user's own, which stands before the shared one.
own="${{XDG_DATA_HOME:-$HOME/.local/share}}/hubwright/environments/{name}-R-{minor}"
(umask 077 && mkdir -p "$own") 2>/dev/null # in a home that is full, or cannot be written to, R leaves it out
R_LIBS= R_LIBS_USER=$own R_LIBS_SITE={libraries} HUBWRIGHT_R_LIBRARY=$own
PATH={path}"$PATH"
export R_LIBS R_LIBS_USER R_LIBS_SITE HUBWRIGHT_R_LIBRARY PATH
{variables}[ "$1" != --try ] || {{ {there}; exec {program} --no-save --no-restore --no-echo -e 'library(IRkernel)'; }}
exec {program} --no-save --no-restore --no-echo -e {installing} -e 'IRkernel::main()' --args "$@"
"""
_INSTALLING = """\
if (identical(environment(get("install.packages", globalenv())), asNamespace("utils"))) local({
install <- utils::install.packages
formals(install)$keep_outputs <- quote(tempdir())
body(install) <- bquote({
local({
own <- Sys.getenv("HUBWRIGHT_R_LIBRARY")
if (identical(own, Sys.getenv("R_LIBS_USER")) && !dir.exists(own) && dir.create(own, recursive = TRUE, mode = "0700"))
.libPaths(c(own, .libPaths()))
})
.(body(install))
})
attach(list(install.packages = install), name = "tools:hubwright", warn.conflicts = FALSE)
})
"""
"""Has `install.packages()` show in the notebook why it fails: a home that is full, or what a compiler says.

It is R's own, with its output kept: only then R prints what R CMD INSTALL says, else that goes to the server's log.
One's library is made first where it is not there; R warns with the system's reason where that cannot be. Whoever has an
`install.packages()` of his own, as renv has, or sets R_LIBS_USER in ~/.Renviron keeps what he has."""


@dataclass(frozen=True)
class R:
    """What an R says of itself."""

    version: str
    libraries: tuple[str, ...]
    """Where it looks for packages, besides those that it is told."""
    packages: Mapping[str, str]
    """Name to version, the one that it would load."""

    @property
    def minor(self) -> str:
        """`4.2` and the like: packages are built for one."""
        return ".".join(self.version.split(".")[:2])


def ask(program: Path, where: str, library: Path | None = None) -> R:
    """Ask an R what it is and has; what is in its libraries runs as an account without rights.

    Raises:
        MachineError: it does not run.
    """
    command = [str(program), "--no-init-file", "--no-save", "--no-restore", "--no-echo", "-e", _ASK]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd="/",
            env=environment(library),
            **trying.identity(),
        )
        said = (done.stderr.strip().splitlines() or ["no word"])[-1]
        told = [line.removeprefix(_MARK).split("\t") for line in done.stdout.splitlines() if line.startswith(_MARK)]
    except (OSError, subprocess.TimeoutExpired) as error:
        said, told = str(error), []
    version = [words[1] for words in told if words[0] == "version"]
    if not version or not _VERSION.fullmatch(version[0]):
        raise MachineError(f"{program} does not run: {printable(said)}.", where=where)
    packages = [words[1:] for words in reversed(told) if words[0] == "package"]
    return R(
        version[0],
        tuple(words[1] for words in told if words[0] == "library"),
        {name: number for name, number in packages},
    )


def environment(library: Path | None = None) -> dict[str, str]:
    """Return the variables with which an R runs here: nobody's own settings, `library` before its own."""
    none = {name: "/dev/null" for name in ("R_ENVIRON_USER", "R_PROFILE_USER", "R_MAKEVARS_USER")}
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "R_LIBS_USER": "/dev/null", "R_LIBS": str(library or ""), **none}


def write_kernel(
    folder: Path,
    current: Path,
    name: str,
    display: str,
    program: Path,
    found: R,
    libraries: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> None:
    """Write the kernelspec and the starting script of an R into `folder`, which must not exist.

    Args:
        folder: the `kernel` folder of a version.
        current: the same folder by way of the link `current`, as kernelspecs name it.
        name: the environment's name.
        display: what people read.
        program: the R.
        found: what that says of itself.
        libraries: the shared libraries of this environment, before those of the R itself.
        variables: what else is set.
    """
    script = _LAUNCH.format(
        name=name,
        minor=found.minor,
        libraries=shlex.quote(":".join([*libraries, *found.libraries])),
        path=shlex.quote(f"{program.parent}:") if program.parent != Path("/usr/bin") else "",
        variables=kernelspec.exports(variables or {}),
        program=shlex.quote(str(program)),
        there=kernelspec.there(program),
        installing=shlex.quote(_INSTALLING),
    )
    spec = {
        "argv": [str(current / kernelspec.SCRIPT), "{connection_file}"],
        "display_name": display,
        "language": "R",
        "interrupt_mode": "signal",
    }
    lib = program.parent.parent / "lib" / "R"
    places = [*map(Path, libraries), lib / "site-library", lib / "library"]
    pictures = [place / KERNEL / "kernelspec" for place in places]
    kernelspec.write(folder, script, spec, pictures, [program.parent.parent])
