"""What was asked for and what was granted: plain values, which travel through the hub's database and to engines."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from hubwright.errors import Refused
from hubwright.fields import format_bytes


class NotGranted(Refused):
    """A start that may not be, in a sentence and with what to do; `status` is its HTTP status.

    400: the request makes no sense. 403: this user may not have it. 409: there is no room for it now.
    """

    def __init__(self, what: str, *, remedy: str = "", status: int = 400) -> None:
        super().__init__(what, remedy=remedy)
        self.status = status

    @property
    def may_wait(self) -> bool:
        """Whether the same request may be granted later, when others have stopped."""
        return self.status == 409


@dataclass(frozen=True)
class Amounts:
    """Processors and bytes of memory, as quantities: nothing is zero."""

    cpu: float = 0.0
    memory: int = 0

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(self.cpu + other.cpu, self.memory + other.memory)

    def less(self, other: Amounts) -> Amounts:
        """Return what is left of it; never less than nothing."""
        return Amounts(max(0.0, self.cpu - other.cpu), max(0, self.memory - other.memory))

    def __bool__(self) -> bool:
        return self.cpu > 0 or self.memory > 0


NOTHING = Amounts()


@dataclass(frozen=True)
class Mount:
    """A folder of the machine that a container sees: both paths are whole, `{username}` is filled in."""

    source: str
    target: str
    writable: bool = False


@dataclass(frozen=True)
class Grant:
    """What one server gets. None is "no limit" (only without a `profiles` section), an empty text "does not matter"."""

    size: str = ""
    """The size's name; empty when processors and memory were asked for by number."""
    cpu: float | None = None
    """The most processors."""
    memory: int | None = None
    """The most bytes of memory."""
    processes: int | None = None
    gpus: tuple[str, ...] = ()
    """The GPUs that it has for itself, as the machine calls them (`machine.gpus.ids`)."""
    disk: int | None = None
    """The most bytes outside the home."""
    image: str = ""
    """The image's display name."""
    image_ref: str = ""
    """The image, as the container engine knows it."""
    reserve: Amounts = NOTHING
    """What the server keeps for itself, whatever others do."""
    home: str = ""
    """The home on the machine; empty for the account's own."""
    volumes: tuple[Mount, ...] = ()
    total: Amounts | None = None
    """The most that all servers of this user may have together; a part that is zero is no limit."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Grant:
        """Return the grant that `to_json` gave, of this or an earlier version."""
        known = {name: value for name, value in found.items() if name in cls.__dataclass_fields__}
        known["reserve"] = Amounts(**(known.get("reserve") or {}))
        known["gpus"] = tuple(known.get("gpus") or ())
        known["volumes"] = tuple(Mount(**mount) for mount in known.get("volumes") or ())
        known["total"] = Amounts(**known["total"]) if known.get("total") else None
        return cls(**known)


@dataclass(frozen=True)
class Running:
    """A server that runs or is being started or stopped, and so holds what it was granted."""

    user: str
    server: str
    grant: Grant
    ends: float | None = None
    """In how many seconds it will be stopped if it stays idle; None when nobody can say."""


@dataclass(frozen=True)
class Machine:
    """What there is to be granted."""

    cpu: float
    memory: int
    gpus: tuple[str, ...] = ()
    room: Amounts = NOTHING
    """What reserves may add up to: the machine, or the cap, without the margin."""


def size_in_words(size: int) -> str:
    """Return bytes as people read them: `8G`, `1.5G`, `300M`; exact where that is short."""
    exact = format_bytes(size)
    if len(exact) <= 5:
        return exact
    unit, scale = ("G", 2**30) if size >= 2**30 else ("M", 2**20)
    return f"{size / scale:.1f}{unit}"


def left_in_words(left: Amounts, whole: Amounts) -> str:
    """Return `1 of 3 processors and 2G of 8G of memory`; a part of which there is none at all is not spoken of."""
    cpu = f"{round(left.cpu, 2):g} of {round(whole.cpu, 2):g} processors" if whole.cpu else ""
    memory = f"{size_in_words(left.memory)} of {size_in_words(whole.memory)} of memory" if whole.memory else ""
    return " and ".join(word for word in (cpu, memory) if word) or "nothing"


def in_words(amounts: Amounts) -> str:
    """Return `4 processors and 8G of memory`, or the one of them that there is."""
    cpu = f"{round(amounts.cpu, 2):g} processor{'s' * (amounts.cpu != 1)}" if amounts.cpu else ""
    memory = f"{size_in_words(amounts.memory)} of memory" if amounts.memory else ""
    return " and ".join(word for word in (cpu, memory) if word) or "nothing"
