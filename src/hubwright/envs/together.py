"""Several environments built at once; they share what is downloaded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from queue import Empty, SimpleQueue

from hubwright.envs import building
from hubwright.envs.steps import Steps
from hubwright.envs.versions import Version
from hubwright.errors import HubwrightError
from hubwright.fields import Site
from hubwright.kinds import KindConfig

AT_ONCE = 3
"""How many: more would only wait for the same disk and network."""


def build_all(
    wanted: Mapping[str, KindConfig], site: Site, tell: Callable[[str], None]
) -> Iterator[tuple[str, Version | HubwrightError]]:
    """Build environments, a few at once; yield each with its version, or why there is none, as soon as it is done.

    Whoever is interrupted meanwhile need not wait: the threads end with the program, and what they run ends with them.
    """
    todo: SimpleQueue[tuple[str, KindConfig]] = SimpleQueue()
    done: SimpleQueue[tuple[str, Version | Exception]] = SimpleQueue()
    for item in wanted.items():
        todo.put(item)

    def build(name: str, config: KindConfig) -> Version | Exception:
        try:
            return building.build(name, config, site, steps.of(name))
        except Exception as error:  # told, or raised again, by whoever waits
            return error
        finally:
            steps.end(name)

    def work() -> None:
        while True:
            try:
                name, config = todo.get_nowait()
            except Empty:
                return
            done.put((name, build(name, config)))

    with building.readable(), Steps(tell) as steps:
        for _ in range(min(AT_ONCE, len(wanted))):
            threading.Thread(target=work, daemon=True).start()
        for _ in wanted:
            name, outcome = done.get()
            if isinstance(outcome, Exception) and not isinstance(outcome, HubwrightError):
                raise outcome
            yield name, outcome
