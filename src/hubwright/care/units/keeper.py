"""The keeper: a unit's program. It writes what the parts read, and looks after them while they run.

systemd starts the parts, holds their ports and starts again what dies; the keeper does what systemd cannot know.
"""

from __future__ import annotations

import os
from contextlib import suppress

from hubwright.care import ground
from hubwright.care.log import bound
from hubwright.care.pulse import Pulse
from hubwright.care.signals import Requests
from hubwright.care.supervise import CADDY, LEDGER, Notebooks, Service
from hubwright.care.units.inputs import note_inputs
from hubwright.care.units.installed import KEEPER, MAIN
from hubwright.care.units.watch import UnitWatch
from hubwright.care.voice import Voice
from hubwright.config.load import Loaded
from hubwright.errors import HubwrightError
from hubwright.fields import Site
from hubwright.machine import systemd

_STEP = 2.0
_GRACE = 5.0
_AT_FIRST = 60
"""Questions, one every ten seconds, before a part that never answered counts as silent: a boot may be slow."""


def keep(loaded: Loaded, site: Site, service: Service, voice: Voice) -> None:
    """Make `service` ready, tell systemd, and look after it until SIGTERM; the parts run on.

    When all of it is being stopped, and not only this program started anew, containers end with it.

    Raises:
        ConfigError: hub.yaml cannot hold on this machine.
        Refused: a `hubwright up` runs this service.
        MachineError: the machine lacks something.
    """
    ground.check_environment(site)
    ground.make_folders(site)
    held = ground.lock(site)
    try:
        ground.make_secrets(site)
        with Requests.listen() as requests:
            parts = service.parts(site)
            note_inputs(loaded, site)
            watch = UnitWatch(site.run / LEDGER, voice, wakeup=requests.wakeup)
            old = watch.start(parts)
            systemd.notify("READY=1")
            watch.renew(old)
            pulse = Pulse(parts, watch.process, at_first=_AT_FIRST)
            pulse.start()
            told = False
            while not requests.stops:
                watch.step(_STEP)
                for name, process in pulse.silent().items():
                    watch.restart(name, process, f"The {name} runs but has gone silent.")
                if not told and service.answers(site):
                    told = True
                    service.opened(site)
                service.tend(watch.process(CADDY))
                with suppress(HubwrightError):  # a full disk: tried again in a moment
                    bound(ground.log_folders(site))
                systemd.notify("WATCHDOG=1")
            systemd.notify("STOPPING=1")
            pulse.end()
            if service.notebooks and not systemd.is_active(MAIN) and systemd.job_of(KEEPER) == "stop":
                _end(service.notebooks, site, voice)
    finally:
        os.close(held)


def _end(notebooks: Notebooks, site: Site, voice: Voice) -> None:
    """End notebook servers that are in no unit of ours."""
    try:
        left = notebooks.end(site, _GRACE)
    except HubwrightError as error:
        voice.warn(f"Notebooks may still run. {error}")
        return
    if left:
        voice.warn(f"{left} of the notebook servers could not be stopped.")
