"""Why a kernel ended while it started, in words: the last that it printed, and what of its user's own ran in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from jupyter_client.kernelspec import KernelSpec

from hubwright.engines.local.zygotes import asking

_RUN = {
    "python": (
        ".ipython/profile_default/startup/*.py",
        ".ipython/profile_default/startup/*.ipy",
        ".ipython/profile_default/ipython*_config.*",
        ".local/share/hubwright/environments/{}-3.*/lib/python3*/site-packages",
    ),
    "r": (".Rprofile", ".Renviron", ".local/share/hubwright/environments/{}-R-*"),
    "julia": (".julia/config/startup.jl", ".julia/environments/*/Project.toml", ".julia/environments/*/Manifest.toml"),
}
"""What of somebody's own each language reads at its start, by patterns in his home; `{}` is the environment."""
_BESIDE = {"r": (".Rprofile", ".Renviron"), "julia": ("Project.toml", "Manifest.toml")}
"""And in the folder of the notebook."""
_OURS = "_hubwright.pth"
_OTHER = re.compile(
    r"Execution halted|Stacktrace:|\[\d+\] .*|in expression starting at .*|caused by: .*|--existing .*"
    r"|NOTE: When using the `ipython kernel` .*|To (exit|connect|read more about) .*"
)
"""Lines that say nothing of the reason: what R and Julia print after it, and every IPython as it starts."""
_LOG = re.compile(r"\[[A-Z] \d{4}-")
_MOST = 3
_LONGEST = 300


def words(kernel: KernelSpec, said: str, home: Path, folder: Path) -> str:
    """Return what a user is told: the kernel's last word, and what he may rename to have it start.

    Args:
        kernel: what it is.
        said: what kernels printed since it was started.
        home: the user's.
        folder: the notebook's.
    """
    lines = [line.strip() for line in said.splitlines()]
    lines = [line for line in lines if line and not _OTHER.fullmatch(line) and not _LOG.match(line)]
    errors = [line for line in lines if re.match(r"(ERROR|Error|[A-Za-z_.]*(Error|Exception)\b)", line)]
    reason = (errors or lines or ["nothing"])[-1][:_LONGEST].rstrip(".")
    own = list(_own(kernel, home, folder))
    text = f"{kernel.display_name} ended while it started. It said: {reason}."
    if own:
        text += f" Your own files run in it: {', '.join(own[:_MOST])}{' ...' if len(own) > _MOST else ''}."
        text += " Mend them, or rename them and start it again."
    return text


def _own(kernel: KernelSpec, home: Path, folder: Path) -> Iterator[str]:
    """Yield what is there of what runs, as a user writes it."""
    language = kernel.language.lower()
    environment = kernel.metadata.get(asking.ENVIRONMENT) or Path(kernel.resource_dir).parent.parent.name
    places = [(home, pattern.format(environment)) for pattern in _RUN.get(language, ())]
    places += [(folder, pattern) for pattern in _BESIDE.get(language, ())]
    found = dict.fromkeys(path for place, pattern in places for path in sorted(place.glob(pattern)))
    for path in found:
        if not _is_empty(path):
            yield f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _is_empty(path: Path) -> bool:
    """Whether it is a folder of ours in which the user has nothing yet."""
    try:
        found: Sequence[Path] = [*path.iterdir()] if path.is_dir() else [path]
    except OSError:
        return False
    return {one.name for one in found} <= {_OURS}
