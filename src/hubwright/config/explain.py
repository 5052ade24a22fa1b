"""What pydantic found wrong, as sentences for the person who wrote the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hubwright.auth import WAYS
from hubwright.config.model import FAMILIES, Hub
from hubwright.config.tree import Keys, Tree
from hubwright.errors import Problem, perhaps
from hubwright.fields import shown
from hubwright.kinds import Family

_NOT_OF_THE_FILE = frozenset({"model_type", "dict_type", "model_attributes_type"})


def explain(error: ValidationError, data: dict[str, Any], tree: Tree) -> list[Problem]:
    """Return a problem for each mistake, in the order of the file."""
    found: dict[Keys, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        found.setdefault(_keys(detail["loc"], data), []).append(detail)
    for keys in list(found):
        deeper = any(other[: len(keys)] == keys and len(other) > len(keys) for other in found)
        if deeper and all(detail["type"] in {"literal_error", *_NOT_OF_THE_FILE} for detail in found[keys]):
            del found[keys]  # the other branch of a union, which this was not meant to be
    order = sorted(found, key=lambda keys: (tree.lines.get(keys, 0), keys.__repr__()))
    return [Problem(tree.where(keys), *_sentences(keys, found[keys], data)) for keys in order]


def _keys(location: tuple[str | int, ...], data: Any) -> Keys:
    """Leave out of pydantic's location what does not stand in the file: the names of union branches."""
    keys: list[str | int] = []
    for index, step in enumerate(location):
        family = FAMILIES.get(str(location[0]))
        if (family and index == (2 if family.named else 1)) or (index == 4 and location[1:3] == ("many", "ways")):
            continue  # the kind, by which pydantic told the section's models apart
        if isinstance(data, dict) and step in data:
            keys.append(step)
            data = data[str(step)]
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            keys.append(step)
            data = data[step]
        elif index == len(location) - 1 and isinstance(data, dict) and step != "[key]" and _is_name(step):
            keys.append(step)  # a key that is missing
    return tuple(keys)


def _is_name(step: str | int) -> bool:
    return isinstance(step, str) and step.isidentifier() and step.islower()


def _sentences(keys: Keys, details: list[ErrorDetails], data: dict[str, Any]) -> tuple[str, str]:
    kinds = {detail["type"]: detail for detail in details}
    detail = details[0]
    value, context = detail["input"], detail.get("ctx", {})
    if "extra_forbidden" in kinds:
        return _unknown(keys, data)
    if "union_tag_invalid" in kinds:
        return _unknown_kind(keys, value)
    if "literal_error" in kinds:
        allowed = kinds["literal_error"]["ctx"]["expected"].replace("'", '"')
        section = sorted(_settings_of(keys, data)) if kinds.keys() & _NOT_OF_THE_FILE else []
        words = [word.strip(' "') for word in allowed.replace(" or ", ",").split(",")]
        more = f", or a section with {' and '.join(section)}" if section else ""
        return f"must be {allowed}{more}, not {shown(value)}.", perhaps(value, words) if isinstance(value, str) else ""
    match detail["type"]:
        case "value_error":
            return str(context["error"]), ""
        case "string_type":
            return f"must be a text, not {shown(value)}.", "Put it in quotes." if _is_scalar(value) else ""
        case "int_type" | "int_parsing" | "int_from_float" | "int_parsing_size":
            return f"must be a whole number, not {shown(value)}.", ""
        case "tuple_type" | "list_type":
            return f"must be a list such as [a, b], not {shown(value)}.", ""
        case "model_type" | "dict_type" | "model_attributes_type":
            known = ", ".join(sorted(_settings_of(keys, data)))
            return f"must be a section{f' (with {known})' if known else ''}, not {shown(value)}.", ""
        case "missing":
            return "must be given.", ""
        case "greater_than_equal":
            return f"must be at least {context['ge']:g}, not {shown(value)}.", ""
        case "less_than_equal":
            return f"must be at most {context['le']:g}, not {shown(value)}.", ""
        case "string_too_short":
            return "must not be empty.", ""
        case "string_too_long":
            return f"must have at most {context['max_length']} characters.", ""
        case "string_pattern_mismatch":
            return f"must look like {context['pattern']}, not {shown(value)}.", ""
        case _:
            return f"{detail['msg'].replace('Input should', 'must').rstrip('.')}, not {shown(value)}.", ""


def _is_scalar(value: Any) -> bool:
    return isinstance(value, bool | int | float)


def _unknown_kind(keys: Keys, value: Any) -> tuple[str, str]:
    family = _family_at(keys) or FAMILIES[str(keys[0])]
    names = sorted(family.modules())
    if not isinstance(value, dict):
        return f"must be a section such as `kind: {family.default or names[0]}`, not {shown(value)}.", ""
    if (named := value.get("kind")) is None:
        return f"lacks its `kind`; it must be {' or '.join(names)}.", ""
    what = f"has the kind {shown(named)}; it must be {' or '.join(names)}."
    return what, perhaps(named, names) if isinstance(named, str) else ""


def _unknown(keys: Keys, data: dict[str, Any]) -> tuple[str, str]:
    """Say what is known where an unknown key stands, and which known key it looks like, there or elsewhere."""
    name, section = str(keys[-1]), keys[:-1]
    known = sorted(_settings_of(section, data))
    what = f"is not a setting; known here: {', '.join(known)}."
    if near := perhaps(name, known):
        return what, near
    if family := _family_at(section):
        for kind in family.modules():
            if name in family.load(kind).Config.model_fields:
                return what, f"It belongs to `kind: {kind}`."
    elsewhere: dict[str, str] = {}
    for path in _everywhere(Hub):
        elsewhere.setdefault(path.rpartition(".")[2], path)
    near = perhaps(name, list(elsewhere))
    word = near.partition('"')[2].partition('"')[0]
    return what, f'Perhaps you meant "{elsewhere[word]}"?' if word else ""


def _settings_of(keys: Keys, data: dict[str, Any]) -> set[str]:
    """Return the settings that may stand in the section at `keys`."""
    kinds: list[Any] = [Hub]
    here: Any = data
    for index, step in enumerate(keys):
        if isinstance(here, dict):
            here = here.get(str(step), {})
        else:
            here = here[step] if isinstance(here, list) and isinstance(step, int) and step < len(here) else {}
        if family := _family_at(keys[: index + 1]):
            named = family.name_in(here)
            known = named if named in family.modules() else family.default
            kinds = [family.load(known).Config] if known else []
        else:
            kinds = [found for kind in kinds for found in _below(kind, str(step))]
    return {name for kind in kinds if get_origin(kind) is None for name in kind.model_fields}


def _family_at(keys: Keys) -> Family | None:
    """Return the family whose kinds a section may have; None for one that has no `kind`."""
    if len(keys) == 3 and keys[:2] == ("auth", "ways"):
        return WAYS
    family = FAMILIES.get(str(keys[0])) if keys else None
    return family if family and len(keys) == (2 if family.named else 1) else None


def _below(kind: Any, name: str) -> list[Any]:
    """Return what may stand below `name` in a model, or below any name or number in a mapping or list."""
    if origin := get_origin(kind):
        return list(_kinds_in(get_args(kind)[1 if origin is dict else 0]))
    field = kind.model_fields.get(name)
    return list(_kinds_in(field.annotation)) if field else []


def _kinds_in(annotation: Any) -> Iterator[Any]:
    """Yield the models, mappings and lists that an annotation allows."""
    if (isinstance(annotation, type) and issubclass(annotation, BaseModel)) or get_origin(annotation) in {dict, tuple}:
        yield annotation
    else:
        for argument in get_args(annotation):
            yield from _kinds_in(argument)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    for kind in _kinds_in(annotation):
        if get_origin(kind) is None:
            yield kind
        else:
            for argument in get_args(kind):
                yield from _models_in(argument)


def _everywhere(model: type[BaseModel], before: str = "") -> Iterator[str]:
    """Yield every setting as `engine.memory`; of sections with kinds, those of every kind."""
    for name, field in model.model_fields.items():
        yield before + name
        family = FAMILIES.get(name) if model is Hub else None
        below = [family.load(kind).Config for kind in family.modules()] if family else _models_in(field.annotation)
        for section in below:
            yield from _everywhere(section, f"{before}{name}.{'NAME.' if family and family.named else ''}")
