"""`Pulse` asks running parts over and over whether they do their work; one that hangs is not one that died."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from hubwright.care.part import Part
from hubwright.machine.process import Process


class Pulse:
    """Asks each part in a thread of its own, so that a silent one holds up neither the others nor whoever starts this.

    A part is silent when it failed `misses` questions in a row, all of one process. One that has not answered yet
    since it was started may still be at its beginning, and gets `at_first` questions.
    """

    def __init__(
        self,
        parts: Iterable[Part],
        process: Callable[[str], Process | None],
        *,
        every: float = 10,
        misses: int = 4,
        at_first: int = 20,
    ) -> None:
        self._process = process
        self._every = every
        self._misses = misses
        self._at_first = at_first
        self._over = threading.Event()
        self._silent: dict[str, Process] = {}
        self._threads = [threading.Thread(target=self._ask, args=(part,), daemon=True) for part in parts]

    def start(self) -> None:
        """Begin to ask."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Ask no more; a question that is being asked is not waited for."""
        self._over.set()

    def silent(self) -> dict[str, Process]:
        """Return the processes that were found silent since the last time."""
        found, self._silent = self._silent, {}
        return found

    def _ask(self, part: Part) -> None:
        asked: Process | None = None
        missed, answered = 0, False
        while not self._over.wait(self._every):
            process = self._process(part.name)
            if process is None:
                continue
            if process != asked:
                asked, missed, answered = process, 0, False
            if part.works():
                missed, answered = 0, True
                continue
            missed += 1
            if missed >= (self._misses if answered else self._at_first) and self._process(part.name) == process:
                self._silent[part.name] = process
                missed = 0
