"""Why a server did not start: the cause in a sentence, the end of its log, and for an admin what the hub knows."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any

from jupyterhub.spawner import SpawnException
from tornado.web import HTTPError

_LOG = "Its log ends:"
"""What an engine puts between the cause and the end of the server's log."""
_MOST = 6000
"""Characters of what the hub knows that are shown, the last ones."""


@dataclass(frozen=True)
class Failure:
    """What is told of a start that failed."""

    cause: str
    """A sentence, or a few; empty when nobody may say."""
    log: str = ""
    """The end of the server's log."""
    detail: str = ""
    """For admins only: the error with what caused it, and where."""


def told(error: BaseException | None) -> Failure:
    """Return what to tell of `error`. Of what is no refusal the user reads no more than that it is one."""
    if error is None:
        return Failure("")
    words = _words(error)
    cause, _, log = words.partition(_LOG)
    lines = traceback.format_exception(error)
    return Failure(cause.strip(), log.strip("\n"), "".join(lines).strip()[-_MOST:])


def _words(error: BaseException) -> str:
    said = getattr(error, "jupyterhub_message", None)
    if said:
        return str(said)
    if isinstance(error, SpawnException):
        return str(error.message)
    if isinstance(error, HTTPError):
        return str(error.log_message % error.args if error.args else error.log_message or "")
    if isinstance(error, TimeoutError):
        return "The server did not answer in time, and was stopped."
    return ""


def of(spawner: Any) -> Failure | None:
    """Return why a server's last start failed; None when it did not."""
    if spawner is None or getattr(spawner, "active", False) or not getattr(spawner, "_failed", False):
        return None
    return told(spawner._spawn_future.exception())
