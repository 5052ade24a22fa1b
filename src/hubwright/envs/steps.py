"""The steps of builds as they are told: one that takes long is told again, so that nobody takes it for hanging."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from hubwright.envs import Tell

EVERY = 10.0
"""Seconds after which a step is told again, with how long it takes already."""


@dataclass
class _Step:
    words: str
    begun: float
    told: float


class Steps:
    """Passes on what is being done for each environment; a context manager, as it tells by itself meanwhile."""

    def __init__(self, tell: Tell, every: float = EVERY) -> None:
        """`tell` is called by one thread at a time."""
        self._tell, self._every = tell, every
        self._steps: dict[str, _Step] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._again, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def of(self, name: str) -> Tell:
        """Return what takes the steps of an environment."""

        def step(words: str) -> None:
            words = words.rstrip(". ")
            now = time.monotonic()
            with self._lock:
                self._steps[name] = _Step(words, now, now)
                self._tell(f"{name}: {words}")

        return step

    def end(self, name: str) -> None:
        """Tell no more of an environment."""
        with self._lock:
            self._steps.pop(name, None)

    def _again(self) -> None:
        while not self._over.wait(self._every / 10):
            with self._lock:
                now = time.monotonic()
                for name, step in self._steps.items():
                    if now - step.told >= self._every:
                        step.told = now
                        self._tell(f"{name}: {step.words}, for {now - step.begun:.0f} s")
