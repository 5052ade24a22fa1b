"""How care talks to whoever started it, without printing anything itself."""

from __future__ import annotations

from typing import Protocol


class Voice(Protocol):
    """What the command line, or a test, does with the news."""

    def say(self, text: str) -> None:
        """Tell something that happened."""

    def warn(self, text: str) -> None:
        """Tell something that needs a look."""

    def wait(self, text: str) -> None:
        """Tell what is being waited for; replaced by the next `wait`, `""` when it is over."""
