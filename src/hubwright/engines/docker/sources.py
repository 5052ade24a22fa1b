"""The folders of the machine that Docker, as root, mounts for users: where they really are, and nowhere else later."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from hubwright.engines.docker.container import Mount, Shared
from hubwright.errors import Problem, Refused
from hubwright.fields import Site
from hubwright.machine.settled import MEND, changeable, settle
from hubwright.profiles.config import USERNAME


def settled(mounts: Iterable[Mount], site: Site) -> tuple[Mount, ...]:
    """Return mounts whose sources are without a link, and cannot be led elsewhere before Docker mounts them. Blocks.

    Who could put a link in the place of a component would see what the link leads to, past the modes of the folders on
    the way there. A service that an ordinary user runs serves that user only.

    Raises:
        Refused: somebody else than root could, or it is not there.
    """
    return tuple(replace(one, source=found(one.source)) if site.privileged else one for one in mounts)


def found(source: str) -> str:
    """Return where a source is; see `settled`."""
    try:
        return str(settle(Path(source)))
    except PermissionError as error:
        what = f"The folder {source} cannot be looked at by the hub's account."
        raise Refused(what, remedy="An administrator can let it pass: chmod o+x on the folders above it.") from error
    except OSError as error:
        what = f"The folder {source} is not on this machine."
        raise Refused(what, remedy="An administrator can make it.") from error


def problems(volumes: Iterable[Shared], home: str | None, where: str) -> list[Problem]:
    """Return what of volumes and of a pattern for homes no server could be given, as far as it is there already."""
    told = []
    named = [(f"{where}.volumes.{index}.source", one.source) for index, one in enumerate(volumes)]
    for place, source in [*named, *([(f"{where}.home", home)] if home else [])]:
        first, user, _ = source.partition(USERNAME)
        # what is before the user's name is the same for all
        known = Path(first.rpartition("/")[0] or "/") if user else Path(source)
        try:
            if user and (why := changeable(settle(known))):
                told.append(Problem(place, f"{why}: a home or folder in it could be replaced by a link.", MEND))
        except Refused as error:
            told.append(Problem(place, error.problem.what, error.problem.remedy))
        except OSError:
            what = f"the folder {known} is not there, or cannot be looked at."
            told.append(Problem(place, what, "Make it before servers are started.", "warning"))
    return told
