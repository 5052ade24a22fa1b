"""What somebody asks for: from `user_options` of whatever shape (form, link, REST API) to a checked request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hubwright.errors import perhaps
from hubwright.fields import parse_bytes, parse_cpus, shown
from hubwright.profiles.grants import NOTHING, Amounts, NotGranted

LEAST_MEMORY = 64 * 2**20
"""Bytes below which no notebook server starts, so that `memory: 4` is not taken for 4 GB."""
_KEYS = ("size", "cpu", "memory", "image", "reserve")
_AMOUNTS = ("cpu", "memory")
_FORM_RESERVE = {"reserve_cpu": "cpu", "reserve_memory": "memory"}


@dataclass(frozen=True)
class Request:
    """A checked request; None is "as is preselected". Whether the user may have it is decided in `resolve`."""

    size: str | None = None
    cpu: float | None = None
    memory: int | None = None
    image: str | None = None
    reserve: Amounts = NOTHING

    @classmethod
    def parse(cls, options: Any) -> Request:
        """Return the request in `user_options`: `{size, cpu, memory, image, reserve: {cpu, memory}}`, all optional.

        Processors are a number, memory is a text such as `"4G"` or whole bytes, names are texts.

        Raises:
            NotGranted: anything else, with status 400.
        """
        found = _section(options, "", _KEYS)
        reserve = _section(found.get("reserve"), "reserve", _AMOUNTS)
        return cls(
            _name(found, "size"),
            _cpu(found, ""),
            _memory(found, ""),
            _name(found, "image"),
            Amounts(_cpu(reserve, "reserve.") or 0.0, _memory(reserve, "reserve.") or 0),
        )


def options_from_form(form: Mapping[str, Any]) -> dict[str, Any]:
    """Return `user_options` for a form's or a link's fields: `size cpu memory image reserve_cpu reserve_memory`.

    Values are lists of texts, as JupyterHub gives them. A field that is left empty was not filled in; a reserve of
    zero is none. What cannot be understood is passed on as it is, for `Request.parse` to refuse by its name; fields
    that begin with an underscore are JupyterHub's own.
    """
    options: dict[str, Any] = {}
    reserve: dict[str, Any] = {}
    for name, values in form.items():
        value = values[-1] if isinstance(values, list) and values else values
        value = value.strip() if isinstance(value, str) else value
        if name.startswith("_") or value in ("", []):
            continue
        if name in _FORM_RESERVE:
            if (amount := _plain(_FORM_RESERVE[name], value)) != 0:
                reserve[_FORM_RESERVE[name]] = amount
        else:
            options[name] = _plain(name, value)
    return {**options, "reserve": reserve} if reserve else options


def _plain(name: str, value: Any) -> Any:
    """Return a form's text as the number it stands for, where a number is meant."""
    if name not in _AMOUNTS or not isinstance(value, str):
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    return int(number) if name == "memory" and number.is_integer() else number


def _section(found: Any, name: str, known: tuple[str, ...]) -> Mapping[str, Any]:
    if found is None:
        return {}
    if not isinstance(found, dict):
        what = f"{name or 'The request'} must be an object with {', '.join(known)}, not {shown(found)}."
        raise NotGranted(what)
    for key in found:
        if key in known:
            continue
        if key in ("home", "volumes") and not name:
            raise NotGranted(f"{key} cannot be asked for: hub.yaml alone says what it is.", status=403)
        word = str(key)[:60]
        what = f"{f'{name}.' if name else ''}{word} is nothing that can be asked for; known: {', '.join(known)}."
        raise NotGranted(what, remedy=perhaps(word, known))
    return found


def _name(found: Mapping[str, Any], key: str) -> str | None:
    value = found.get(key)
    if value is not None and (not isinstance(value, str) or not 0 < len(value) <= 64):
        raise NotGranted(f"{key} must be a name, not {shown(value)}.")
    return value


def _cpu(found: Mapping[str, Any], before: str) -> float | None:
    value = found.get("cpu")
    try:
        return None if value is None else parse_cpus(value)
    except ValueError as error:
        raise NotGranted(f"{before}cpu {error}") from error


def _memory(found: Mapping[str, Any], before: str) -> int | None:
    value = found.get("memory")
    try:
        size = None if value is None else parse_bytes(value)
    except ValueError as error:
        raise NotGranted(f"{before}memory {error}") from error
    if size is not None and size < LEAST_MEMORY:
        raise NotGranted(
            f"{before}memory must be at least 64M, not {shown(value)}.", remedy='Write "4G" for 4 gigabytes.'
        )
    return size
