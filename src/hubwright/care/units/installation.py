"""An installed service: what of it is there, what has to be changed, and the way to it and back."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hubwright.care import ground
from hubwright.care.supervise import CADDY
from hubwright.care.units.describe import NOTE, SOCKET, units
from hubwright.care.units.inputs import are_served
from hubwright.care.units.installed import KEEPER, MAIN, installed, unit_of
from hubwright.care.units.saved import LEFT_OUT, save
from hubwright.care.voice import Voice
from hubwright.config.load import Loaded
from hubwright.engines.local.launch import RUNTIME
from hubwright.envs import cache
from hubwright.errors import HubwrightError, MachineError, NotRunning, Refused
from hubwright.fields import Site
from hubwright.machine import systemd, wire
from hubwright.machine.files import Owner, make_folder, write_atomically
from hubwright.machine.mounts import unmount
from hubwright.machine.place import SYSTEM_CONFIG, place

COMMAND = Path("/usr/local/bin/hubwright")
"""So that an administrator need not know the environment."""
_GRACE = 5.0
"""Seconds that notebooks get to end when the service is taken away."""


@dataclass(frozen=True)
class Changes:
    """What an installation has to do; empty when there is nothing."""

    write: dict[Path, str]
    """Units, by their file."""
    remove: tuple[Path, ...]
    """Units of ours that are no longer wanted."""
    link: dict[Path, Path]
    """Links to make, and where they lead."""
    restart: bool
    """Whether the service does not run, or not as it is described now."""
    enable: bool

    def __bool__(self) -> bool:
        return bool(self.write or self.remove or self.link or self.restart or self.enable)


def changes(loaded: Loaded, site: Site) -> Changes:
    """Compare what should be with what is; changes nothing.

    Raises:
        Refused: no systemd, no root, a state folder of something else, or another service is installed.
    """
    _refuse(loaded, site)
    wanted = {systemd.UNITS / name: text for name, text in units(loaded, site).items()}
    ours = _ours()
    links = {COMMAND: site.prefix / "bin" / "hubwright"}
    if loaded.path and loaded.path.absolute() != SYSTEM_CONFIG:
        links[SYSTEM_CONFIG] = loaded.path.absolute()
    told = systemd.show([MAIN], "UnitFileState")[MAIN]
    runs = systemd.is_active(MAIN) and systemd.is_active(KEEPER)
    return Changes(
        write={path: text for path, text in wanted.items() if _text(path) != text},
        remove=tuple(sorted(ours - wanted.keys())),
        link={path: target for path, target in links.items() if _target(path) != target},
        restart=not runs or not are_served(loaded, site),
        enable=told.get("UnitFileState") != "enabled",
    )


def install(found: Changes, site: Site, voice: Voice) -> Path | None:
    """Do what `changes` found, having saved what is there; return that archive, None when there was nothing.

    Notebooks run on. It returns when systemd has been told; the service comes up meanwhile.
    """
    ground.check_environment(site)
    if found.restart and not systemd.is_active(KEEPER):
        _refuse_up(site)
    kept = _save(site, "install") if found.write or found.remove or found.restart else None
    for path, target in found.link.items():
        _link(path, target, voice)
    for path, text in found.write.items():
        write_atomically(path, text, 0o644, Owner(0, 0))
    if found.remove:
        systemd.systemctl("stop", *(path.name for path in found.remove))
        for path in found.remove:
            path.unlink(missing_ok=True)
    if found.write or found.remove:
        systemd.systemctl("daemon-reload")
    if found.enable:
        systemd.systemctl("enable", "--quiet", MAIN)
    if systemd.UNITS / SOCKET in found.write:  # other ports: the old ones are given back
        systemd.systemctl("stop", SOCKET, unit_of(CADDY))
    if found.restart or found.write:
        _restart(voice)
    return kept


def _restart(voice: Voice) -> None:
    voice.wait("Making the service ready")
    try:
        systemd.systemctl("restart", MAIN, timeout=900)  # returns when the keeper is ready, or has failed
    finally:
        voice.wait("")
    if not systemd.is_active(KEEPER):
        lines = "".join(f"\n  {line}" for line in systemd.journal(KEEPER, 8))
        raise NotRunning(f"The service does not start. The keeper wrote last:{lines}")


def uninstall(voice: Voice) -> Path | None:
    """Stop the service and take away units, state and run folder; return the archive of what is no longer there.

    Homes, accounts, archives of homes, the environment and a hub.yaml outside /etc/hubwright stay. A hub.yaml that
    cannot be used is no hindrance.

    Raises:
        NotRunning: nothing is installed.
    """
    found = installed()
    if found is None:
        raise NotRunning("No service is installed here.", where=str(systemd.UNITS / MAIN))
    site = place(f"127.0.0.1:{found.port}", None, found.config, found.state)
    voice.wait("Stopping the service, notebooks included")
    with suppress(HubwrightError):  # it does not run; or containers, which end with the keeper
        wire.call(site.fork_socket, {"op": "stop_all", "grace": _GRACE}, timeout=_GRACE + 15)
    ours = sorted(_ours())
    systemd.systemctl("disable", "--now", "--quiet", MAIN, timeout=180)
    systemd.systemctl("stop", *(path.name for path in ours), timeout=180)
    voice.wait("")
    kept = _save(site, "uninstall")
    for path in ours:
        path.unlink(missing_ok=True)
    systemd.systemctl("daemon-reload")
    with suppress(MachineError):  # none of them failed
        systemd.systemctl("reset-failed", *(path.name for path in ours))
    if _target(COMMAND) == site.prefix / "bin" / "hubwright":
        COMMAND.unlink()
    SYSTEM_CONFIG.unlink(missing_ok=True)
    with suppress(OSError):  # somebody keeps something else there
        SYSTEM_CONFIG.parent.rmdir()
    for left in site.servers.glob(f"*/{RUNTIME}"):
        unmount(left)
    shutil.rmtree(site.run, ignore_errors=True)
    _remove_state(site.state)
    for made in (site.own_kernel.parent.parent, cache.folder(site)):
        shutil.rmtree(made, ignore_errors=True)
    with suppress(OSError):  # environments that were built stay
        site.environments.rmdir()
    return kept


def _remove_state(state: Path) -> None:
    """Remove everything but what was not packed and cannot be made again."""
    keep = {name for name in LEFT_OUT if name not in ("logs", "static")}
    for path in state.iterdir() if state.is_dir() else ():
        if path.name in keep:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    with suppress(OSError):
        state.rmdir()


def _save(site: Site, why: str) -> Path | None:
    files = [*sorted(_ours()), *([SYSTEM_CONFIG] if os.path.lexists(SYSTEM_CONFIG) else [])]
    if site.config and site.config != SYSTEM_CONFIG and site.config.exists():
        files.append(site.config)
    if not _ours() and not site.database.exists():
        return None
    return save(site, files, why)


def _refuse(loaded: Loaded, site: Site) -> None:
    if not site.privileged:
        raise Refused("Only root may install a service.", remedy="Use sudo.")
    if not systemd.runs():
        raise Refused("systemd does not run this machine.", remedy='Run the service with "hubwright up".')
    ground.check_state(site)
    other = installed()
    if other and other.state != site.state:
        what = f"Another service is installed here: that of {other.config}, whose state is in {other.state}."
        raise Refused(what, remedy='Take it away first: "hubwright uninstall".')
    path = loaded.path.absolute() if loaded.path else None
    if path != SYSTEM_CONFIG and SYSTEM_CONFIG.exists() and not SYSTEM_CONFIG.is_symlink():
        what = f"is there already, and the service shall run by {path}."
        raise Refused(what, where=str(SYSTEM_CONFIG), remedy="Install with that one, or move it away.")


def _refuse_up(site: Site) -> None:
    """A `hubwright up` of the same service has to be stopped by whoever started it."""
    if not site.run.is_dir():
        return
    try:
        os.close(ground.lock(site))
    except Refused as error:
        raise Refused(error.problem.what, remedy="Stop it first; with --keep its notebooks run on.") from None


def _ours() -> set[Path]:
    """Return the files of units that an `install` wrote."""
    return {path for path in systemd.UNITS.glob("hubwright*") if path.is_file() and _text(path).startswith(f"# {NOTE}")}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _target(path: Path) -> Path | None:
    try:
        return path.readlink()
    except OSError:
        return None


def _link(path: Path, target: Path, voice: Voice) -> None:
    """Make a link; what somebody else has put in its place stays."""
    if path.exists() and not path.is_symlink():
        voice.warn(f"{path} is there already and stays as it is.")
        return
    if not path.parent.is_dir():
        make_folder(path.parent, 0o755, Owner(0, 0))
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def explain_beside(site: Site) -> None:
    """Refuse a `hubwright up` of a service that is installed, or on the port of one.

    Raises:
        Refused: says which, and what to do.
    """
    found = installed() if site.privileged else None
    if found is None:
        return
    try:
        runs = systemd.is_active(KEEPER)
    except HubwrightError:
        return
    if found.state == site.state:
        what = f"This service is installed, and systemd {'runs' if runs else 'starts'} it."
        remedy = 'See "hubwright status".' if runs else f'Start it: "systemctl restart {MAIN}".'
        raise Refused(what, remedy=f'{remedy} To run it by hand, first "hubwright uninstall".')
    if runs and found.port == site.listen[1]:
        what = f"Port {found.port} is that of the installed service, whose settings are in {found.config}."
        raise Refused(what, remedy=f"Choose another in hub.listen, or stop that one: systemctl stop {MAIN}.")
