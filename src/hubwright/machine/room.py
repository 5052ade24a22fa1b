"""What all servers of this machine share: the groups above theirs, by which a reserve is kept. Root only.

    base                    all servers together: the cap, or the machine without its margin
      open                  those without a reserve: the memory of `base` that nobody has reserved
        user.<uid>/<key>
      user.<uid>/<key>      those with one

A limit on `open` holds whatever its servers want, on either version of control groups. (The kernel's own `memory.min`
protects from reclaim, but anonymous memory without swap cannot be reclaimed, and the kernel that ends a process for
memory does not ask for it.) Processors are divided by weight: `open` has what is not reserved, so that a busy machine
gives every server its reserve, and an idle one gives it more. A server that goes beyond its own reserve takes from
`base` what nobody uses; when that is full, what is farthest above its reserve ends first (`Room.oom_score`).

Where nobody may reserve anything there is no `open`: users' groups lie below `base`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hubwright.errors import Full, MachineError
from hubwright.machine import capacity
from hubwright.machine.cgroups import Group, Hierarchy, Limits, Reserve
from hubwright.machine.policy import Policy

OPEN = "open"
LEAST_OPEN = 64 * 2**20
"""Bytes that a server without a reserve needs to be one."""


@dataclass(frozen=True)
class Room:
    """What there is for all servers."""

    hierarchy: Hierarchy
    cpu: float
    memory: int
    capped: bool
    """Whether processors are fewer than the machine's."""
    reserves: bool
    """Whether anybody may reserve anything."""

    @classmethod
    def of(cls, policy: Policy, hierarchy: Hierarchy) -> Room | None:
        """Return the room that root's policy leaves on this machine; None without `profiles` or control groups."""
        if policy.room is None or not hierarchy.mounts:
            return None
        cpus, memory = capacity.processors(), capacity.memory()
        cpu_left = max(0.01, cpus - (policy.room["margin_cpu"] or 0))
        memory_left = max(1, memory - int(policy.room["margin_memory"] or 0))
        cpu = min(cpu_left, policy.room["cap_cpu"] or cpu_left)
        return cls(
            hierarchy,
            cpu,
            int(min(memory_left, policy.room["cap_memory"] or memory_left)),
            cpu < cpus,
            policy.reserves,
        )

    def missing(self, reserve: Reserve) -> str:
        """Return a sentence about why a reserve cannot be held here; empty when it can."""
        wanted = Limits(reserve.memory or None, reserve.cpu or None)
        if lacks := self.hierarchy.missing(wanted):
            return lacks.replace("a limit on", "a reserve of")
        return ""

    def group(self, uid: int, key: str, reserve: Reserve) -> Group:
        """Return where a server's group is; nothing is made yet."""
        names = (f"user.{uid}", key)
        return self.hierarchy.group(*names) if reserve or not self.reserves else self.hierarchy.group(OPEN, *names)

    def within(self, limits: Limits) -> Limits:
        """Return limits that can be set below `base`: version 1 refuses more processors than are above."""
        return limits.within(Limits(cpu=self.cpu)) if self.capped and limits.cpu is not None else limits

    def oom_score(self, reserve: Reserve) -> int:
        """Return a server's `oom_score_adj`, by which processes are compared by what they take beyond their reserve.

        Never below zero, which not even root may set everywhere (it takes CAP_SYS_RESOURCE).
        """
        return 500 - min(500, round(1000 * reserve.memory / self.memory))

    def settle(self, servers: Mapping[str, Reserve]) -> str:
        """Divide the room among servers.

        Args:
            servers: path of the group of each that runs or is about to start, to its reserve.

        Returns:
            Why all of them cannot be held to the room (they take more already); empty when they are.

        Raises:
            Full: what is to be reserved is in use by servers without a reserve, or nothing is left for these.
        """
        base = self.hierarchy.group()
        base.make()
        memory = "memory" in self.hierarchy.mounts
        above = ""
        try:
            base.limit(Limits(self.memory if memory else None, self.cpu if self.capped else None))
        except MachineError as error:
            above = f"The servers that run cannot be held to the room there is for all: {error}."
        if not self.reserves:
            return above
        base.weigh(self.cpu)
        kept = {path: reserve for path, reserve in servers.items() if reserve}
        opened = self.hierarchy.group(OPEN)
        opened.make()
        many = sum(1 for path in servers if path not in kept)
        if memory:
            self._hold_down(opened, self.memory - sum(reserve.memory for reserve in kept.values()), many)
        self._weigh(opened, kept, many)
        base.protect(sum(reserve.memory for reserve in kept.values()))
        for path, reserve in kept.items():
            Group(self.hierarchy, path).protect(reserve.memory)
        return above

    def _hold_down(self, opened: Group, limit: int, many: int) -> None:
        """Limit the memory of `many` servers without a reserve; what ended ones leave for a moment is let be."""
        used = opened.usage().memory
        what = f"{max(0, limit) // 2**20}M would be left for {many} without a reserve, which take {used // 2**20}M."
        remedy = "Ask for less, or try again when somebody has stopped."
        if many and (used > limit or limit < many * LEAST_OPEN):
            raise Full(what, remedy=remedy)
        try:
            opened.limit(Limits(max(limit, LEAST_OPEN)))
        except MachineError as error:
            if many:
                raise Full(what, remedy=remedy) from error

    def _weigh(self, opened: Group, kept: Mapping[str, Reserve], many: int) -> None:
        """Give each reserve its processors; the others, and those that reserved memory alone, share the rest."""
        rest = max(0.01, self.cpu - sum(reserve.cpu for reserve in kept.values()))
        alone = sum(1 for reserve in kept.values() if not reserve.cpu)
        share = rest / max(1, many + alone)
        opened.weigh(max(share * many, 0.01))
        users: dict[str, float] = {}
        totals: dict[str, int] = {}
        for path, reserve in kept.items():
            group, user = Group(self.hierarchy, path), str(Path(path).parent)
            group.make()
            group.weigh(reserve.cpu or share)
            users[user] = users.get(user, 0.0) + (reserve.cpu or share)
            totals[user] = totals.get(user, 0) + reserve.memory
        for user, weight in users.items():
            Group(self.hierarchy, user).weigh(weight)
            Group(self.hierarchy, user).protect(totals[user])


def open_up(hierarchy: Hierarchy) -> None:
    """Take off what an earlier hub.yaml with `profiles` has left on the groups above the servers'."""
    for group in (hierarchy.group(), hierarchy.group(OPEN)):
        if any(os.path.isdir(folder) for folder in group.folders):  # noqa: PTH112
            group.unlimit()
