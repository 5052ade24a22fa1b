"""What a user may have, and what one start gets: pure, the same whichever way it was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hubwright.errors import perhaps
from hubwright.fields import shown
from hubwright.profiles.config import USERNAME, Amount, Entry, Image, Profiles, Size
from hubwright.profiles.grants import (
    Amounts,
    Grant,
    Machine,
    Mount,
    NotGranted,
    Running,
    in_words,
    left_in_words,
    size_in_words,
)
from hubwright.profiles.request import Request

Keys = tuple[str, ...]
_CLOSE = 1e-9
"""Processors are added up as floats."""


@dataclass(frozen=True)
class Entitlement:
    """What one user may have, and where in hub.yaml each of it stands."""

    user: str
    sizes: Mapping[str, Size]
    """The first one is preselected."""
    images: Mapping[str, Image]
    """The first one is preselected."""
    reserve: Amounts
    """The most that one server may reserve."""
    home: str
    """Empty for the account's own."""
    volumes: tuple[Mount, ...]
    servers: int
    total: Amounts | None
    """Over all servers; a part that is zero is no limit."""
    sources: Mapping[str, Keys] = field(default_factory=dict)
    """For each key of `Entry` that is set the way to its value, `("profiles", "users", "ada", "sizes")`."""

    @property
    def largest(self) -> Amounts:
        """The most processors and the most memory of any size, each on its own."""
        return Amounts(max(size.cpu for size in self.sizes.values()), max(size.memory for size in self.sizes.values()))


def chain(profiles: Profiles, user: str, groups: Iterable[str]) -> list[tuple[Keys, Entry]]:
    """Return the entries that count for a user, first the one that wins: his own, his groups' as written, `default`."""
    member = set(groups)
    found = [(("profiles", "users", user), profiles.users[user])] if user in profiles.users else []
    found += [(("profiles", "groups", name), entry) for name, entry in profiles.groups.items() if name in member]
    return [*found, (("profiles", "default"), profiles.default)]


def entitlement(profiles: Profiles, user: str, groups: Iterable[str], servers: int = 1) -> Entitlement:
    """Return what a user may have.

    Args:
        profiles: the section.
        user: his name.
        groups: names of his groups in the hub.
        servers: how many servers he may run where no entry says it.

    Raises:
        NotGranted: hub.yaml gives him nothing, or his name cannot be part of a path.
    """
    if user in ("", ".", "..") or "/" in user or "\0" in user:
        raise NotGranted(f"The name {shown(user)} cannot be used in a path.", status=403)
    entries = chain(profiles, user, groups)
    sources: dict[str, Keys] = {}
    values: dict[str, Any] = {}
    for name in Entry.model_fields:
        for keys, entry in entries:
            if (value := getattr(entry, name)) is not None:
                values[name], sources[name] = value, (*keys, name)
                break
    sizes = {name: profiles.sizes[name] for name in values.get("sizes", ()) if name in profiles.sizes}
    if not sizes:
        raise NotGranted(f"hub.yaml has no size for {user}.", remedy="An admin can name some in profiles.", status=403)
    images = {name: profiles.images[name] for name in values.get("images", ()) if name in profiles.images}
    total = amounts(values.get("total"))
    return Entitlement(
        user,
        sizes,
        images,
        amounts(values.get("reserve")),
        values.get("home", "").replace(USERNAME, user),
        tuple(
            Mount(volume.source.replace(USERNAME, user), volume.target.replace(USERNAME, user), volume.writable)
            for volume in values.get("volumes", ())
        ),
        values.get("servers", servers),
        total or None,
        sources,
    )


def amounts(found: Amount | None) -> Amounts:
    """Return a section's amounts; what it does not speak of is zero."""
    return Amounts((found and found.cpu) or 0.0, (found and found.memory) or 0)


def machine(profiles: Profiles, cpu: float, memory: int, gpus: tuple[str, ...] = ()) -> Machine:
    """Return what a machine of this size has to give: without the margin, and within the cap."""
    left = Amounts(cpu, memory).less(amounts(profiles.margin))
    cap = amounts(profiles.cap)
    return Machine(
        cpu, memory, gpus, Amounts(min(left.cpu, cap.cpu or left.cpu), min(left.memory, cap.memory or left.memory))
    )


def reserved(running: Iterable[Running]) -> Amounts:
    """Return what running servers keep for themselves, all together."""
    return sum((one.grant.reserve for one in running), Amounts())


def grant(allowed: Entitlement, request: Request, running: Sequence[Running], machine: Machine) -> Grant:
    """Return what a start gets.

    Args:
        allowed: what the user may have.
        request: what he asks for.
        running: every other server that holds something now, of all users.
        machine: what there is.

    Raises:
        NotGranted: with a sentence; 400 for what makes no sense, 403 for what he may not have, 409 for what does not
            fit now.
    """
    size, cpu, memory = _limits(allowed, request)
    image = _image(allowed, request)
    _check_own(allowed, Amounts(cpu, memory), [one for one in running if one.user == allowed.user])
    gpus = _gpus((size and size.gpu) or 0, running, machine)
    kept = Amounts(
        min(request.reserve.cpu, allowed.reserve.cpu, cpu), min(request.reserve.memory, allowed.reserve.memory, memory)
    )
    _check_reserve(kept, running, machine)
    sizes = list(allowed.sizes.values())
    return Grant(
        _size_name(allowed, request) or "",
        cpu,
        memory,
        size.processes if size else most([one.processes for one in sizes]),
        gpus,
        size.disk if size else most([one.disk for one in sizes]),
        image,
        allowed.images[image].image if image else "",
        kept,
        allowed.home,
        allowed.volumes,
        allowed.total,
    )


def _size_name(allowed: Entitlement, request: Request) -> str | None:
    """Return the size that counts: the one asked for, or the preselected one when nothing else was asked for."""
    if request.size is None and request.cpu is None and request.memory is None:
        return next(iter(allowed.sizes))
    return request.size


def _limits(allowed: Entitlement, request: Request) -> tuple[Size | None, float, int]:
    """Return the size, if one counts, with processors and memory: what was asked for, never more than allowed."""
    name = _size_name(allowed, request)
    if name is not None and name not in allowed.sizes:
        what = f"There is no size {shown(name)} for {allowed.user}; there is {_listed(allowed.sizes)}."
        raise NotGranted(what, remedy=perhaps(name, list(allowed.sizes)), status=403)
    size = allowed.sizes[name] if name is not None else None
    first = next(iter(allowed.sizes.values()))
    most = Amounts(size.cpu, size.memory) if size else allowed.largest
    whose = f"the size {name} has" if size else f"{allowed.user} may have"
    cpu = request.cpu if request.cpu is not None else (size or first).cpu
    memory = request.memory if request.memory is not None else (size or first).memory
    if cpu > most.cpu:
        raise NotGranted(f"{cpu:g} processors were asked for; {whose} at most {most.cpu:g}.", status=403)
    if memory > most.memory:
        what = f"{size_in_words(memory)} of memory were asked for; {whose} at most {size_in_words(most.memory)}."
        raise NotGranted(what, status=403)
    return size, cpu, memory


def _image(allowed: Entitlement, request: Request) -> str:
    if request.image is None:
        return next(iter(allowed.images), "")
    if request.image not in allowed.images:
        choice = f"there is {_listed(allowed.images)}" if allowed.images else "there is none to choose from"
        what = f"There is no image {shown(request.image)} for {allowed.user}; {choice}."
        raise NotGranted(what, remedy=perhaps(request.image, list(allowed.images)), status=403)
    return request.image


def _check_own(allowed: Entitlement, wanted: Amounts, mine: Sequence[Running]) -> None:
    """Refuse what is more than the user may have over all his servers."""
    if len(mine) >= allowed.servers:
        many = f"{allowed.servers} server{'s' * (allowed.servers > 1)}"
        raise NotGranted(
            f"{allowed.user} may run {many} at the same time, and runs as many.", remedy="Stop one first.", status=403
        )
    if allowed.total is None:
        return
    used = sum((Amounts(one.grant.cpu or 0.0, one.grant.memory or 0) for one in mine), Amounts())
    left = allowed.total.less(used)
    too_much = allowed.total.cpu and wanted.cpu > left.cpu + _CLOSE
    if too_much or (allowed.total.memory and wanted.memory > left.memory):
        what = (
            f"All servers of {allowed.user} together may have {in_words(allowed.total)}; "
            f"{left_in_words(left, allowed.total)} are left, and {in_words(wanted)} were asked for."
        )
        raise NotGranted(what, remedy="Stop another one, or ask for less.", status=403)


def _gpus(wanted: int, running: Sequence[Running], machine: Machine) -> tuple[str, ...]:
    """Return GPUs that nobody else has, the first ones that are free."""

    def free(others: Sequence[Running]) -> list[str]:
        held = {gpu for one in others for gpu in one.grant.gpus}
        return [gpu for gpu in machine.gpus if gpu not in held]

    left, many = free(running), len(machine.gpus)
    needs = f"This size needs {wanted} GPU{'s' * (wanted > 1)}"
    if wanted > many:
        raise NotGranted(f"{needs}; the machine has {many or 'none'}.", status=403)
    if wanted > len(left):
        when = _when(lambda others: len(free(others)) >= wanted, [one for one in running if one.grant.gpus], "one")
        what = f"{needs}; {len(left) or 'none'} of {many} {'is' if many == 1 else 'are'} free now. {when}"
        raise NotGranted(what, remedy="Choose a size without a GPU.", status=409)
    return tuple(left[:wanted])


def _check_reserve(wanted: Amounts, running: Sequence[Running], machine: Machine) -> None:
    """Refuse a reserve that would make the sum of all larger than the machine."""
    free = machine.room.less(reserved(running))
    if not wanted or _fits(wanted, running, machine):
        return
    if wanted.cpu > machine.room.cpu + _CLOSE or wanted.memory > machine.room.memory:
        what = f"{in_words(wanted)} cannot be reserved: this machine has {in_words(machine.room)} to reserve in all."
        raise NotGranted(what, remedy="Reserve less.", status=403)
    holders = [one for one in running if one.grant.reserve]
    when = _when(lambda others: _fits(wanted, others, machine), holders, "reserved")
    what = f"{in_words(wanted)} cannot be reserved now: {left_in_words(free, machine.room)} are free. {when}"
    raise NotGranted(what, remedy="Reserve less, or start without a reserve.", status=409)


def _fits(wanted: Amounts, running: Iterable[Running], machine: Machine) -> bool:
    free = machine.room.less(reserved(running))
    return wanted.cpu <= free.cpu + _CLOSE and wanted.memory <= free.memory


def _when(fits: Callable[[Sequence[Running]], bool], holders: Sequence[Running], what: str) -> str:
    """Say when there may be room: when enough of the idle ones among those who hold what is wanted were stopped."""
    left = list(holders)
    for one in sorted((one for one in left if one.ends is not None), key=lambda one: one.ends or 0.0):
        left.remove(one)
        if fits(left):
            minutes = max(1, round((one.ends or 0.0) / 60))
            return f"It may be in {minutes} minute{'s' * (minutes > 1)}, when an idle server is stopped."
    return f"It may be when somebody who has {what} stops a server."


def most(values: Sequence[int | None]) -> int | None:
    """Return the largest limit; None as soon as one is none."""
    limits = [value for value in values if value is not None]
    return max(limits) if len(limits) == len(values) else None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
