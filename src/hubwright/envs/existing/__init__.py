"""An environment that is there already: found, checked, not touched."""

from __future__ import annotations

from pathlib import Path

from hubwright.envs import Made, Tell, Wanted, python
from hubwright.envs.existing.config import Config
from hubwright.errors import MachineError, Problem, Refused
from hubwright.fields import Site
from hubwright.machine.files import weak_component

NAME = "existing"


def check(config: Config, site: Site) -> list[Problem]:
    """Return what keeps everybody from using it."""
    interpreter = Path(config.prefix) / "bin" / "python"
    if not interpreter.exists():
        return [Problem("prefix", f"{interpreter} does not exist.", "Name the folder whose bin has a python.")]
    if site.privileged and (weakness := weak_component(interpreter)):
        remedy = "People find environments of their own in their homes by themselves; a shared one is root's."
        return [Problem("prefix", f"{config.prefix} cannot be shared: {weakness}.", remedy)]
    return []


def sources(config: Config, site: Site) -> dict[str, str]:
    """Nothing but the section: what is in it may change by itself."""
    return {}


def make(config: Config, wanted: Wanted, tell: Tell) -> Made:
    """Write a kernel for it; nothing else is made.

    Raises:
        MachineError: it does not run, or has no ipykernel.
    """
    where = f"environments.{wanted.name}"
    prefix = Path(config.prefix)
    if problems := [one for one in check(config, wanted.site) if one.severity == "error"]:
        raise MachineError(problems[0].what, where=f"{where}.{problems[0].where}", remedy=problems[0].remedy)
    found = python.ask(prefix / "bin" / "python", where)
    current = wanted.folder.parent.parent / "current" / "kernel"
    python.write_kernel(wanted.folder / "kernel", current, wanted.name, config.display or wanted.name, prefix, found)
    return Made(prefix, found.version, found.packages)


def lock(config: Config, site: Site, cache: Path, tell: Tell) -> str:
    """Refuse: it is not Hubwright that makes it."""
    raise Refused("An environment that exists already is not made here, so there is nothing to lock.")
