"""What a teacher sees of a class, as values.

    {"name": "biology", "title": "Biology", "now": 1730000000.0,      all times are Unix seconds
     "zone": "Europe/Berlin" or null,          of the timetable
     "on": {"begin": 0.0, "end": 0.0} or null, the lesson that is on, or for which servers start
     "next": {...} or null,                    the next one
     "people": [{
       "name": "bob",
       "known": true,                          false for who has never been here
       "here": true,                           whether he did something within five minutes
       "seen": 0.0 or null,                    when he last did
       "starting": false,                      whether his server is to be started, or starting
       "failure": "",                          why it did not start
       "servers": [{
         "server": "", "title": "...", "state": "running", "since": 0.0, "seen": 0.0,
         "size": "Small", "image": "Python",   what was chosen of `profiles`; empty where nothing was
         "kernels": [{"name": "Python 3", "state": "busy"}] or null}]}],   null while that is not known
     "messages": [{"id": "...", "text": "...", "by": "ada", "at": 0.0, "until": 0.0}],
     "usage": [...]}                           as `hubwright.metrics` has `servers`

The names of notebooks are never told, nor asked for: to be in a class says nothing of who may read one's files.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from hubwright.classes.timetable import Lesson
from hubwright.engines.granting import GrantingMixin
from hubwright.hub.classes.kernels import Kernels
from hubwright.hub.classes.teaching import Teaching
from hubwright.hub.pages import failures
from hubwright.profiles.grants import Amounts, in_words

HERE = 300.0
"""Seconds since somebody's last sign for which he counts as here."""
_STARTED = 25.0
"""Seconds after a start in which what the new server does by itself counts as activity."""


def view(teaching: Teaching, people: dict[str, Any], name: str, now: float) -> dict[str, Any]:
    """Return what the page of a class shows; `people`: the hub's users by name, None for who has never been here."""
    ours = {(user, at) for one in teaching.book.rounds for user, at in one.started.items()}
    ours |= {*teaching.rounds.started_here.items()}
    waiting = teaching.rounds.waiting[name]
    return {
        "name": name,
        "now": now,
        **_when(teaching, name, now),
        "people": [
            _person(user, people[user], ours, user in waiting, teaching.rounds.failed.get(user, ""), now)
            | {"servers": _servers(people[user], teaching.kernels)}
            for user in people
        ],
        "messages": [asdict(one) for one in teaching.book.said([name], now)],
    }


def listed(teaching: Teaching, names: list[str], now: float) -> list[dict[str, Any]]:
    """Return name, title and times of some classes, and how many people are in each."""
    return [{"name": name, "people": len(teaching.rolls.members(name)), **_when(teaching, name, now)} for name in names]


def _when(teaching: Teaching, name: str, now: float) -> dict[str, Any]:
    section = teaching.rolls.sections[name]
    moment = datetime.fromtimestamp(now, UTC)
    return {
        "title": teaching.rolls.title(name),
        "zone": section.time_zone,
        "on": _lesson(section.hours.running(moment, section.start_before)),
        "next": _lesson(section.hours.following(moment)),
    }


def _lesson(found: Lesson | None) -> dict[str, float] | None:
    return {"begin": found.begin.timestamp(), "end": found.end.timestamp()} if found else None


def _person(
    name: str, user: Any, ours: set[tuple[str, str]], waiting: bool, failure: str, now: float
) -> dict[str, Any]:
    if user is None:
        nothing: dict[str, Any] = {"known": False, "here": False, "seen": None}
        return {"name": name, "starting": waiting, "failure": failure, **nothing}
    default = user.spawners[""]
    seen = _seen(user, default.orm_spawner, (name, str(default.orm_spawner.started)) in ours, default.active)
    failed = failures.of(default)
    return {
        "name": name,
        "known": True,
        "here": seen is not None and seen > now - HERE,
        "seen": seen,
        "starting": waiting,
        "failure": ""
        if default.active
        else (failed and failed.cause) or failure or ("It did not start." if failed else ""),
    }


def _seen(user: Any, kept: Any, ours: bool, active: bool) -> float | None:
    """Return when somebody did something himself: JupyterHub counts the start and the stop of his server, too."""
    seen = _seconds(user.last_activity)
    if seen is None or (not active and user.last_activity == kept.last_activity):
        return None
    return None if active and ours and seen <= (_seconds(kept.started) or 0.0) + _STARTED else seen


def _servers(user: Any, kernels: Kernels) -> list[dict[str, Any]]:
    spawners = [] if user is None else [spawner for spawner in user.spawners.values() if spawner.active]
    return [_server(one) | _chosen(one) | {"kernels": kernels.known(one)} for one in spawners]


def _chosen(spawner: Any) -> dict[str, str]:
    """Return size and image that a server was granted by `profiles`; processors and memory where these were chosen."""
    grant = spawner.grant if isinstance(spawner, GrantingMixin) and spawner.profiles else None
    if grant is None:
        return {"size": "", "image": ""}
    return {"size": grant.size or in_words(Amounts(grant.cpu or 0.0, grant.memory or 0)), "image": grant.image}


def _server(spawner: Any) -> dict[str, Any]:
    kept = spawner.orm_spawner
    state = "stopping" if spawner.pending == "stop" else "running" if spawner.ready else "starting"
    return {
        "server": spawner.name,
        "title": kept.display_name or spawner.name,
        "state": state,
        "since": _seconds(kept.started),
        "seen": _seconds(kept.last_activity),
    }


def _seconds(moment: datetime | None) -> float | None:
    return moment.replace(tzinfo=UTC).timestamp() if moment else None
