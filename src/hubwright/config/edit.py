"""Small changes of hub.yaml by a command: comments, order and style of what is there stay."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from hubwright.errors import Refused, perhaps
from hubwright.machine import locks
from hubwright.machine.files import Owner, write_atomically

_SECTION = "environments"
_LISTING = ("conda", "julia", "r", "uv")
"""The kinds whose entries have `packages`."""
_PATIENCE = 30.0
USUAL = "uv"
"""What a new environment is when nobody says."""
_PYTHON = {"conda": 'Name it among the packages: "python=3.12".'}


def add_packages(text: str, name: str, packages: Sequence[str], python: str | None, kind: str | None = None) -> str:
    """Return hub.yaml with packages added to an environment; one of `kind` is made when there is none of the name.

    Raises:
        Refused: nothing is named, or the environment is of another kind, of one that lists no packages, or has another
            Python already.
    """
    data, entry = _environment(text, name)
    if entry is None:
        if not packages:
            raise Refused(f"hub.yaml has no environment {name} yet.", remedy="Name the packages it shall have.")
        if kind and kind not in _LISTING:
            near = perhaps(kind, _LISTING) or f"There are: {', '.join(_LISTING)}."
            raise Refused(f"There is no kind {kind} whose packages hub.yaml lists.", remedy=near)
        entry = data.setdefault(_SECTION, {})[name] = {"kind": kind or USUAL}
    _lists_packages(name, entry)
    if not packages and not python:
        raise Refused(
            f"No package is named for {name}.", remedy=f'As hub.yaml says it is built by "hubwright env build {name}".'
        )
    if kind and kind != entry["kind"]:
        raise Refused(f"{name} is of kind {entry['kind']}.", remedy="Add an environment of another name.")
    if python and entry["kind"] != "uv":
        raise Refused(
            f"{name} is of kind {entry['kind']}, which takes no --python.", remedy=_PYTHON.get(entry["kind"], "")
        )
    if python and entry.setdefault("python", python) != python:
        raise Refused(f"{name} has Python {entry['python']}.", remedy="Change it in hub.yaml, or add an environment.")
    listed = entry.setdefault("packages", [])
    for package in packages:
        same = [index for index, there in enumerate(listed) if _plain(there) == _plain(package)]
        if same:
            listed[same[0]] = package
        else:
            listed.append(package)
    return _dump(data)


def remove_packages(text: str, name: str, packages: Sequence[str]) -> str:
    """Return hub.yaml with packages taken out of an environment.

    Raises:
        Refused: it has none of the name; one that only another package needs is not listed.
    """
    data, entry = _environment(text, name)
    _lists_packages(name, entry or {})
    listed = (entry or {}).get("packages", [])
    for package in packages:
        same = [there for there in listed if _plain(there) == _plain(package)]
        if not same:
            raise Refused(f"hub.yaml does not list {package} in {name}.", remedy=f"Listed: {', '.join(listed)}.")
        listed.remove(same[0])
    return _dump(data)


def remove_environment(text: str, name: str) -> str:
    """Return hub.yaml without an environment."""
    data, _ = _environment(text, name)
    data[_SECTION].pop(name, None)
    if not data[_SECTION]:
        del data[_SECTION]
    return _dump(data)


def write(path: Path, text: str) -> None:
    """Replace hub.yaml; owner and mode stay."""
    found = path.stat()
    owner = Owner(found.st_uid, found.st_gid) if os.geteuid() == 0 else None
    write_atomically(path.resolve(), text, found.st_mode & 0o777, owner)


def change(path: Path, how: Callable[[str], str], lock: Path) -> None:
    """Change hub.yaml as `how` says of its text, `alone`."""
    with alone(lock):
        write(path, how(path.read_text()))


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Have commands that change hub.yaml, or what follows from it, wait for each other.

    Raises:
        Refused: another does not come to an end.
    """
    with locks.held(lock, _PATIENCE) as is_free:
        if not is_free:
            raise Refused("hub.yaml is just being changed by another command.", remedy="Wait for it.")
        yield


@contextmanager
def tried(path: Path, how: Callable[[str], str], lock: Path) -> Iterator[Path]:
    """Give a file beside hub.yaml with the changed text; hub.yaml is changed when the block ends well.

    A build takes minutes: what somebody else has changed in hub.yaml meanwhile stays.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    for left in path.parent.glob(f".{path.name}.[0-9]*"):  # by a command that was killed
        if not Path("/proc", left.name.rpartition(".")[2]).exists():
            left.unlink(missing_ok=True)
    try:
        write_atomically(fresh, how(path.read_text()), 0o600)
        yield fresh
        change(path, how, lock)
    finally:
        fresh.unlink(missing_ok=True)


@contextmanager
def kept(path: Path) -> Iterator[None]:
    """Have a file, where there is one, be as it was when the block fails."""
    before = path.read_text() if path.exists() else None
    try:
        yield
    except BaseException:
        if before is not None:
            write(path, before)
        raise


def _environment(text: str, name: str) -> tuple[Any, Any]:
    try:
        data = _yaml().load(text) or {}
    except YAMLError as error:
        raise Refused("hub.yaml is not YAML just now.", remedy='See "hubwright check", then run this again.') from error
    return data, (data.get(_SECTION) or {}).get(name)


def _lists_packages(name: str, entry: Any) -> None:
    if entry.get("kind") not in _LISTING:
        raise Refused(f"{name} is of kind {entry.get('kind', 'own')}, whose packages are not in hub.yaml.")


def _plain(package: str) -> str:
    """Return a distribution's name as PEP 503 compares it, without version and extras."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;@(]", package, maxsplit=1)[0]).lower()


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _dump(data: Any) -> str:
    out = io.StringIO()
    _yaml().dump(data, out)
    return out.getvalue()
