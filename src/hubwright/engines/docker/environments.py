"""Shared environments in containers: the same folders, read-only, and whether an image can run what is in them. Blocks.

One that was built with a program of this machine, such as /usr/bin/python3, needs that program in the image, and what
is compiled needs a C library that is not older. So each is tried once in each image: its kernel's starting script is
called with `--try`.
"""

from __future__ import annotations

import grp
import json
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from hubwright.engines.docker import daemon, images, sources
from hubwright.engines.docker.config import Config
from hubwright.engines.docker.container import Mount, mounts_of_all
from hubwright.errors import HubwrightError, MachineError, NotRunning, Problem, printable
from hubwright.fields import Site
from hubwright.machine.accounts import READERS
from hubwright.machine.files import write_atomically

KERNELS = "/run/hubwright-kernels"
"""Where a container sees its `kernels` folder; on the path of Jupyter's data."""
_TRYING: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
_REMEDY = "Name an image that has it, or build the environment with programs of its own: see docs/environments.md."
_BROKEN = "this image cannot run it: {}"
_MARK = "hubwright-tried"
_TRY = f"""\
for launch do # a script that was written before there was this word is let be
  grep -q -e --try "$launch" && ! said=$("$launch" --try 2>&1 </dev/null) &&
    printf '{_MARK}\\t%s\\t%s\\n' "$launch" "$(printf '%s' "$said" | tail -n 1)"
done
echo {_MARK}
"""


@dataclass(frozen=True)
class Served:
    """The version of an environment that serves."""

    name: str
    called: str
    """Its kernel's name."""
    display: str
    version: int
    built: str
    groups: tuple[int, ...] | None
    """Whose members may see it; None for everybody."""
    folders: tuple[str, ...]
    """What it needs of the machine besides the folder of all environments."""

    def is_for(self, groups: Iterable[int]) -> bool:
        """Whether a member of `groups` may see it."""
        return self.groups is None or not {*self.groups}.isdisjoint(groups)


@dataclass(frozen=True)
class Seen:
    """What a container sees of them."""

    served: tuple[Served, ...] = ()
    mounts: tuple[Mount, ...] = ()
    unusable: Mapping[str, str] = field(default_factory=dict)
    """Name to why it does not work in the image."""


def served(site: Site) -> tuple[Served, ...]:
    """Return every environment that was built; none where hub.yaml names none."""
    try:
        told = json.loads(site.environments_built.read_bytes())
    except FileNotFoundError:
        return ()
    return tuple(
        Served(**{**one, "name": name, "groups": one["groups"] and (*one["groups"],), "folders": (*one["folders"],)})
        for name, one in told.items()
    )


def see(config: Config, image_id: str, site: Site, cache: Path | None) -> Seen:
    """Return what containers of an image see of the environments; runs one for a second when something is new.

    Args:
        cache: the folder that remembers what was tried; None for none.

    Raises:
        HubwrightError: Docker does not answer, or can start no container of this image.
    """
    if not (seen := untried(site)).served:
        return seen
    volumes = sources.settled(mounts_of_all(config.volumes), site)
    tried = _tried(config.socket, image_id, site, seen.served, (*beside(volumes, seen.mounts), *volumes), cache)
    return replace(seen, unusable={**tried, **seen.unusable})


def untried(site: Site) -> Seen:
    """Return what containers of any image see of the environments."""
    if not (found := served(site)):
        return Seen()
    mounts, lost = _mounts(found, site)
    return Seen(found, mounts, lost)


def beside(volumes: Sequence[Mount], mounts: Iterable[Mount]) -> Iterator[Mount]:
    """Yield those of `mounts` that are in no volume of hub.yaml: there, what that volume shows counts."""
    for one in mounts:
        if not any(Path(one.target).is_relative_to(volume.target) for volume in volumes):
            yield one


def problems(config: Config, names: Iterable[str], site: Site) -> list[Problem]:
    """Return which environment does not work in which of some images, as far as both are here."""
    told = []
    cache = site.run / "images"
    try:
        for image in names if served(site) else ():
            if (found := images.find(config.socket, image)) is None:
                continue  # whoever fetches it says so
            seen = see(config, found["Id"], site, cache if os.access(cache, os.W_OK) else None)
            for name, why in seen.unusable.items():
                what = f"does not work in containers of the image {image}: {why}."
                told.append(Problem(f"hub.yaml environments.{name}", what, _REMEDY, "warning"))
    except NotRunning:
        pass  # whoever looks at the engine says so
    except HubwrightError as error:
        told.append(Problem("hub.yaml environments", error.problem.what, error.problem.remedy, "warning"))
    return told


def kernels(seen: Seen, site: Site, groups: Iterable[int]) -> Iterator[tuple[str, str | dict[str, object]]]:
    """Yield kernels for whoever is in `groups`: the name, and where it is, or the kernelspec of one that is broken.

    It is what a server without Hubwright in it finds; one with it looks into the folder of all environments itself.
    """
    mine = {*groups}
    for one in seen.served:
        why = seen.unusable.get(one.name)
        if why is None:
            yield one.called, str(site.environments / one.name / "current" / "kernel")
        elif one.is_for(mine):
            shown = f"{one.display}: broken, {_BROKEN.format(why)}"
            yield one.called, {"argv": ["/bin/false", "{connection_file}"], "display_name": shown, "language": "python"}


def variables(seen: Seen, site: Site, jupyter_path: str) -> dict[str, str]:
    """Return what servers are told; `jupyter_path` is what the image or hub.yaml says of it."""
    if not seen.served:
        return {}
    bad = {
        one.name: [one.version, _BROKEN.format(seen.unusable[one.name])]
        for one in seen.served
        if one.name in seen.unusable
    }
    found = {"HUBWRIGHT_ENVIRONMENTS": str(site.environments)}
    found["JUPYTER_PATH"] = os.pathsep.join(filter(None, [KERNELS, jupyter_path]))
    return {**found, "HUBWRIGHT_UNUSABLE": json.dumps(bad)} if bad else found


def _mounts(found: Iterable[Served], site: Site) -> tuple[tuple[Mount, ...], dict[str, str]]:
    """Return the folders, and which environments cannot have theirs, with the reason."""
    mounts: dict[str, Mount] = {}
    lost: dict[str, str] = {}
    wanted = [(None, str(site.environments)), *((one.name, folder) for one in found for folder in one.folders)]
    for name, folder in wanted:
        try:
            (mounts[folder],) = sources.settled([Mount(folder, folder)], site)
        except HubwrightError as error:
            if name is None:
                raise
            lost[name] = error.problem.what.rstrip(".")
    return tuple(mounts.values()), lost


def _tried(
    socket: str, image_id: str, site: Site, found: Sequence[Served], mounts: Sequence[Mount], cache: Path | None
) -> dict[str, str]:
    """Return which environments do not work in an image, with the reason; remembered for each image and version."""
    seen = [mount.as_api() for mount in mounts]
    told = [image_id, seen, [(one.name, one.version, one.built) for one in found]]
    digest = sha256(json.dumps(told).encode()).hexdigest()[:32]
    file = cache / f"envs-{digest}.json" if cache else None
    with _TRYING[digest]:  # a class that comes in together waits for one container, and does not start sixty
        if file:
            with suppress(OSError, ValueError):
                return dict(json.loads(file.read_bytes()))
        wrong = _try_all(socket, image_id, site, found, seen)
        if file:
            write_atomically(file, json.dumps(wrong), 0o644, durable=False)
        return wrong


def _try_all(
    socket: str, image_id: str, site: Site, found: Sequence[Served], seen: list[dict[str, Any]]
) -> dict[str, str]:
    host: dict[str, Any] = {
        "NetworkMode": "none",
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "PidsLimit": 256,
    }
    host |= {"Mounts": seen, "GroupAdd": _groups(site)}
    who = "65534:65534" if site.privileged else f"{os.getuid()}:{os.getgid()}"
    scripts = [str(site.environments / one.name / "current" / "kernel" / "launch") for one in found]
    config: dict[str, Any] = {
        "Image": image_id,
        "Entrypoint": ["/bin/sh", "-c", _TRY, "sh"],
        "Cmd": scripts,
        "User": who,
    }
    config |= {"Env": ["HOME=/nonexistent"], "Healthcheck": {"Test": ["NONE"]}, "HostConfig": host}
    made = daemon.ask(socket, "create_container_from_config", config, patience=daemon.PATIENT)["Id"]
    try:
        daemon.ask(socket, "start", made, patience=daemon.PATIENT)
        daemon.ask(socket, "wait", made, patience=daemon.PATIENT)
        said: bytes = daemon.ask(socket, "logs", made)
    finally:
        daemon.ask(socket, "remove_container", made, force=True, v=True, patience=daemon.PATIENT)
    text = said.decode(errors="replace")
    lines = [line.split("\t") for line in text.splitlines() if line.startswith(_MARK)]
    if not lines:
        raise MachineError(f"Environments could not be tried in an image: {printable(text.strip()[-300:])}.")
    names = dict(zip(scripts, found, strict=True))
    return {names[words[1]].name: _reason(words[2]) for words in lines if len(words) == 3}


def _reason(said: str) -> str:
    return printable(said.strip().rstrip(".")[-300:]) or "it ends without a word"


def _groups(site: Site) -> list[str]:
    """Return the group that may read all environments, once there is one."""
    if not site.privileged:
        return []
    with suppress(KeyError):
        return [str(grp.getgrnam(READERS).gr_gid)]
    return []
