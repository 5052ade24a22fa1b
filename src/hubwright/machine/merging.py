"""Have Linux keep identical pages of different processes once (KSM, the kernel's admin-guide/mm/ksm).

It is a switch of the whole machine and a mark of each process; the mark passes on to what is forked. Merged pages tell
those who measure how long a write takes that somebody else has the same page: see docs/security.md.
"""

from __future__ import annotations

import ctypes
import json
from pathlib import Path

from hubwright.errors import MachineError
from hubwright.machine.files import write_atomically

_SWITCHES = Path("/sys/kernel/mm/ksm")
_WANTED = {"advisor_mode": "scan-time", "advisor_max_cpu": "10", "run": "1"}
"""A scan is to take 200 s, but never more than a tenth of one processor, where the kernel sees to that (Linux 6.8)."""
_PR_SET_MEMORY_MERGE = 67


def begin(record: Path) -> None:
    """Mark this process and its future children, and turn merging on; what it was before is kept in `record`.

    The record must lie in a folder that nobody but root can write: `end` writes what it says into the kernel.

    Raises:
        MachineError: this kernel has no such thing (Linux 6.4), or this process may not ask for it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_MEMORY_MERGE, 1, 0, 0, 0) != 0 or not (_SWITCHES / "run").exists():
        raise MachineError(
            "needs Linux 6.4 with KSM, which this machine has not.",
            where="engine.merge_memory",
            remedy="Leave it out.",
        )
    if _now("run") == "1":  # somebody else's decision, or that of a fork server that was killed
        return
    before = {name: _now(name) for name in _WANTED if (_SWITCHES / name).exists()}
    write_atomically(record, json.dumps(before), 0o600, durable=False)
    try:
        for name in before:
            (_SWITCHES / name).write_text(_WANTED[name])
    except OSError as error:
        raise MachineError(
            f"cannot be turned on: {error.strerror}.",
            where="engine.merge_memory",
            remedy="Start the service as root on the machine itself, or leave it out.",
        ) from error


def end(record: Path) -> None:
    """Put back what `begin` changed, if it changed anything; what is merged stays so until it is written to."""
    try:
        before = json.loads(record.read_text())
    except FileNotFoundError:
        return
    for name in reversed([name for name in _WANTED if name in before]):
        try:
            (_SWITCHES / name).write_text(before[name])
        except OSError:  # read-only meanwhile, as in a container: nothing to put back there
            continue
    record.unlink()


def _now(name: str) -> str:
    """Return the value of a switch; the chosen one, where the kernel lists all in the form `[none] scan-time`."""
    words = (_SWITCHES / name).read_text().split()
    return next((word.strip("[]") for word in words if word.startswith("[")), words[0])
