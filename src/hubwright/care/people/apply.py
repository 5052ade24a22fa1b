"""Doing what a plan says, so that a kill at any moment leaves what the next apply completes.

Every step is found by looking at the machine, not by remembering; what must be remembered (who was let in by the
roster) is written before the first step that needs it, and forgotten after the last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hubwright.care import ground
from hubwright.care.people.plan import Planner
from hubwright.care.people.step import Plan, Step
from hubwright.config.load import Loaded
from hubwright.errors import HubwrightError, Refused
from hubwright.fields import Site
from hubwright.people.applied import Applied
from hubwright.people.roster import Person


@dataclass(frozen=True)
class Result:
    """What became of a step."""

    step: Step
    told: str = ""
    """What is to be told besides, such as a one-time link."""
    error: str = ""
    """Why it failed, or was left out; "" when it is done."""

    def plain(self) -> dict[str, Any]:
        """Return it such as JSON holds it."""
        return {**self.step.plain(), "done": not self.error, "told": self.told, "error": self.error}


def plan(loaded: Loaded, site: Site) -> Plan:
    """Return what would change; changes nothing.

    Raises:
        ConfigError: the roster has mistakes.
        Refused: not root's service.
    """
    return Planner.look(loaded, site).plan()


def apply(
    loaded: Loaded,
    site: Site,
    begin: Callable[[Plan], None] = lambda _: None,
    tell: Callable[[Result], None] = lambda _: None,
) -> tuple[Plan, list[Result]]:
    """Bring everything into step with the roster, alone among all who try; `begin` may refuse.

    A step that fails leaves out the other steps of the same person only.

    Raises:
        ConfigError, Refused, MachineError: nothing was changed then.
    """
    if not site.privileged:
        raise Refused("Accounts and homes are root's to make.", remedy="Run it as root: sudo hubwright ...")
    ground.make_folders(site)
    record = Applied(site.state)
    with record.locked():
        planner = Planner.look(loaded, site)
        found = planner.plan()
        begin(found)
        people = {person.name: person for person in planner.people}
        before = planner.applied
        record.write({**before, **{name: _both(one, before.get(name)) for name, one in people.items()}})
        for name in people:
            planner.keep_number(name)
        results: list[Result] = []
        failed: set[str] = set()
        for step in found.steps:
            results.append(_do(step, failed))
            tell(results[-1])
        done = {name: one for name, one in people.items() if name not in failed}
        kept = {name: one for name, one in record.read().items() if name not in found.leaving or name in failed}
        if planner.hub is None:  # they are still known there
            kept |= {name: before[name] for name in found.leaving}
        for name in done:
            planner.keep_number(name)
        if {**kept, **done} != before:
            record.write({**kept, **done})
    return found, results


def _do(step: Step, failed: set[str]) -> Result:
    if step.name in failed:
        return Result(step, error="left out, since a step before it failed")
    try:
        return Result(step, told=step.run())
    except HubwrightError as error:
        failed.add(step.name)
        return Result(step, error=str(error))


def _both(wanted: Person, before: Person | None) -> Person:
    """Return what somebody may have while it is being changed, so that nothing is forgotten half way."""
    if before is None:
        return wanted
    groups = tuple(dict.fromkeys((*before.groups, *wanted.groups)))
    return replace(wanted, admin=wanted.admin or before.admin, groups=groups)
