"""JupyterLab's files as the first service of a run laid them out, for the services that begin after it.

To compress and write them takes a second of the processor's time for each new state folder, and shows nothing the second
time. `hubwright up` takes what is there only when its name is that of the files it would lay out.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BUILDS = Path("static/lab")
"""Where they are in a state folder."""
_kept: list[Path] = []


@contextmanager
def keeping() -> Iterator[None]:
    """Have a place to keep them, as root, until the tests end."""
    if os.geteuid() != 0:
        yield
        return
    place = Path(tempfile.mkdtemp(prefix="hwt-lab-", dir="/var/lib"))
    _kept.append(place)
    try:
        yield
    finally:
        _kept.remove(place)
        shutil.rmtree(place)


def give(state: Path) -> None:
    """Put what is kept into a state folder that is not there yet, as hard links; nothing where none can be made."""
    if state.exists() or not (place := _beside(state)) or not any(place.iterdir()):
        return
    (state / "secrets").mkdir(mode=0o700, parents=True)  # by which `up` knows it as a service's
    shutil.copytree(place, state / _BUILDS, copy_function=os.link)


def keep(state: Path) -> None:
    """Keep what a service has laid out, when none did before."""
    if (place := _beside(state)) and not any(place.iterdir()):
        shutil.copytree(state / _BUILDS, place, copy_function=os.link, dirs_exist_ok=True)


def _beside(state: Path) -> Path | None:
    """Return where they are kept, if that is on the same disk."""
    disk = state.parent.stat().st_dev
    return next((place for place in _kept if place.stat().st_dev == disk), None)
