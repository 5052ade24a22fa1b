"""`python -m hubwright.metrics`: the process that samples, keeps and tells; HUBWRIGHT_SITE names the site's file.

What hub.yaml says of it stands in `metrics.json` of the run folder: `{"source": module or null, "every": s,
"disk_every": s, "keep": {...}}`.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any, cast

from hubwright.fields import Site
from hubwright.machine import site_file, wire
from hubwright.machine.usage import Names, Source, SourceMaker
from hubwright.metrics import gpu
from hubwright.metrics.answers import Answers
from hubwright.metrics.counters import Descriptors
from hubwright.metrics.homes import Homes
from hubwright.metrics.sampler import Sampler
from hubwright.metrics.store import Keep, Store, open_store
from hubwright.metrics.totals import Machine
from hubwright.metrics.voice import say

HISTORY = "metrics.sqlite"


def main() -> None:
    """Sample until SIGTERM; then write what was gathered."""
    os.umask(0o077)
    site = site_file.load(Path(os.environ["HUBWRIGHT_SITE"]))
    settings = json.loads((site.run / "metrics.json").read_bytes())
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    Service(site, settings).run(stop)


class Service:
    """The threads of one process: this one samples; others answer, count homes and ask for GPUs."""

    def __init__(self, site: Site, settings: dict[str, Any]) -> None:
        self._site = site
        self._path = site.state / HISTORY
        self._keep = Keep(**settings["keep"])
        names: Names = {}
        self._homes = Homes(site, float(settings["disk_every"]), self._users, self._open)
        try:
            store, words = open_store(self._path, self._keep, f"{HISTORY}.damaged-{int(time.time())}")
            names.update(store.names())
            self._homes.found.update(store.homes())
            store.close()
        except (sqlite3.Error, OSError) as error:
            words = f"The history cannot be opened: {error}."
        if words:
            say(words)
        source = _source(settings["source"], site, names)
        self._sampler = Sampler(source, Machine(), float(settings["every"]), self._open, Descriptors.raise_limit())
        self._sampler.trouble = words  # until it is written

    def run(self, stop: threading.Event) -> None:
        """Serve until told to stop."""
        listener = wire.listen(self._site.metrics_socket, 0o600)
        answers = Answers(self._sampler, self._homes, self._keep, self._open)
        self._start("answers", answers.serve, listener)
        self._start("homes", self._homes.run, stop)
        if (nvidia_smi := gpu.program()) is not None:
            self._start("gpus", gpu.watch, nvidia_smi, stop, self._tell_gpus)
        gc.collect()
        gc.freeze()
        due = time.monotonic()
        while not stop.is_set():
            self._sampler.tick(time.monotonic(), time.time())
            due = max(due + self._sampler.every, time.monotonic())
            stop.wait(due - time.monotonic())
        listener.shutdown(socket.SHUT_RDWR)
        self._sampler.finish(time.time())

    def _start(self, name: str, body: Any, *words: Any) -> None:
        threading.Thread(target=body, args=words, name=name, daemon=True).start()

    def _users(self) -> list[str]:
        return [live.running.user for live in list(self._sampler.servers.values())]

    def _open(self) -> Store:
        return Store(self._path, self._keep)

    def _tell_gpus(self, gpus: Any, held: Any) -> None:
        self._sampler.gpus, self._sampler.gpu_memory = gpus, held


def _source(module: str | None, site: Site, names: Names) -> Source | None:
    """Return what the engine's module says of servers; None for an engine that says nothing."""
    if module is None:
        return None
    return cast(SourceMaker, importlib.import_module(module).source)(site, names)


if __name__ == "__main__":
    main()
