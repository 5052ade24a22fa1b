"""What in a `profiles` section contradicts itself: each thing with the way to it, so that its line can be told."""

from __future__ import annotations

from collections.abc import Iterator

from hubwright.errors import perhaps
from hubwright.fields import shown
from hubwright.profiles.config import Entry, Profiles
from hubwright.profiles.grants import in_words, size_in_words
from hubwright.profiles.request import LEAST_MEMORY
from hubwright.profiles.resolve import amounts

Keys = tuple[str | int, ...]
Conflict = tuple[Keys, str, str]
"""The way to it below `profiles`, what is wrong, what to do."""


def conflicts(profiles: Profiles) -> Iterator[Conflict]:
    """Yield what makes no sense together, in the order of the section."""
    for name, size in profiles.sizes.items():
        if size.memory < LEAST_MEMORY:
            what = f"is {size.memory} bytes, in which no notebook server starts."
            yield ("sizes", name, "memory"), what, f'Write "{size.memory}G" for gigabytes.' * (size.memory < 2**20)
    for key, wanted in (("sizes", True), ("images", bool(profiles.images))):
        if wanted and getattr(profiles.default, key) is None:
            what = f"must name `{key}`: what people have whose groups and own entry say nothing else."
            yield ("default",), what, f"Write: default: {{{key}: [{next(iter(getattr(profiles, key)))}]}}."
    yield from _entry(profiles, profiles.default, ("default",), [profiles.default])
    for group, entry in profiles.groups.items():
        yield from _entry(profiles, entry, ("groups", group), [entry if entry.sizes else profiles.default])
    for user, entry in profiles.users.items():
        others = [*profiles.groups.values(), profiles.default]
        yield from _entry(profiles, entry, ("users", user), [entry] if entry.sizes else others)


def _entry(profiles: Profiles, entry: Entry, keys: Keys, where_sizes: list[Entry]) -> Iterator[Conflict]:
    for key in ("sizes", "images"):
        known = list(getattr(profiles, key))
        names = getattr(entry, key) or ()
        for index, name in enumerate(names):
            if name not in known:
                there = f"there are: {', '.join(known)}" if known else f"there are no {key}"
                yield (*keys, key, index), f"names the {key[:-1]} {shown(name)}; {there}.", perhaps(name, known)
            elif name in names[:index]:
                yield (*keys, key, index), f"names {shown(name)} twice.", "Name it once."
    yield from _amounts(profiles, entry, keys, where_sizes)
    targets = [volume.target for volume in entry.volumes or ()]
    for index, target in enumerate(targets):
        if target == "/":
            yield (*keys, "volumes", index, "target"), "is the whole container.", "Name a folder in it."
        elif target in targets[:index]:
            yield (*keys, "volumes", index, "target"), f"is {shown(target)}, as another volume's is.", "Change one."
        elif target == entry.home:
            yield (*keys, "volumes", index, "target"), "is where the home is.", "Change one."


def _amounts(profiles: Profiles, entry: Entry, keys: Keys, where_sizes: list[Entry]) -> Iterator[Conflict]:
    names = [name for one in where_sizes for name in one.sizes or ()]
    sizes = [profiles.sizes[name] for name in names if name in profiles.sizes]
    if not sizes:
        return
    reserve, total = amounts(entry.reserve), amounts(entry.total)
    if reserve.cpu > max(size.cpu for size in sizes):
        most = max(size.cpu for size in sizes)
        yield (*keys, "reserve", "cpu"), f"is {reserve.cpu:g}; the largest size here has {most:g}.", "Make it smaller."
    if reserve.memory > (largest := max(size.memory for size in sizes)):
        what = f"is {size_in_words(reserve.memory)}; the largest size here has {size_in_words(largest)}."
        yield (*keys, "reserve", "memory"), what, "Make it smaller."
    if not total:
        return
    fits = (size.cpu <= (total.cpu or size.cpu) and size.memory <= (total.memory or size.memory) for size in sizes)
    if not any(fits):
        what = f"is {in_words(total)}, in which no size fits that can be chosen here."
        yield (*keys, "total"), what, "Make it larger."
