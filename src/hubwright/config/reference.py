"""What is generated from the model: the JSON Schema for editors, the reference page, and a commented hub.yaml.

`python -m hubwright.config.reference [docs]` writes the first two anew; a test fails while they are stale.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from ruamel.yaml import YAML

from hubwright.config.model import FAMILIES, Hub
from hubwright.envs import DEFAULT as DEFAULT_ENVIRONMENT

_INTRODUCTION = """# hub.yaml

One file describes the service. Every setting may be left out, and so may the file. Check it with `hubwright check`;
begin one with `hubwright init`. An editor that reads JSON Schema completes it with the line

    # yaml-language-server: $schema=hub.schema.json

Sizes are written `512M` or `2G` (powers of 1024), durations `45s`, `30m`, `1h` or `2d`.

<!-- Generated from the model by "python -m hubwright.config.reference"; change it there. -->
"""


def schema() -> str:
    """Return the JSON Schema of hub.yaml."""
    found = Hub.model_json_schema()
    found["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    found["title"] = "hub.yaml"
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def page() -> str:
    """Return docs/reference.md."""
    parts = [_INTRODUCTION]
    for section, field in Hub.model_fields.items():
        parts.append(f"## {section}\n\n{field.description}\n")
        if family := FAMILIES.get(section):
            for kind in sorted(family.kinds):
                model = family.load(kind).Config
                default = " (the default)" if kind == family.default else ""
                name = ".NAME" if family.named else ""
                parts.append(f"### {section}{name}: {{kind: {kind}}}{default}\n\n{model.__doc__}\n")
                parts.append(_table(model, f"{section}{name}."))
        elif models := list(_models(field)):
            parts.append(_table(models[0], f"{section}."))
        else:
            lines = [f"{section}:", *_example(field.examples[0] if field.examples else {}, "  ")]
            parts.append("\n".join(["```yaml", *lines, "```\n"]))
            parts += [_table(inner, f"{section}{mark}.") for mark, inner in _repeated(field)]
    return "\n".join(parts)


def template() -> str:
    """Return a hub.yaml in which every setting stands as a comment: with its help, and its default or an example."""
    lines = ["# The notebook service on this machine. Every line below shows a default, or an example after it;"]
    lines += ['# take the "# " away to change one. "hubwright check" tells what is wrong with it.', ""]
    for section, field in Hub.model_fields.items():
        lines += [*_comment(field.description or "", ""), f"{section}:"]
        if family := FAMILIES.get(section):
            lines += [f"  {name}:" for name in family.named * [DEFAULT_ENVIRONMENT]]
            lines += _settings(family.load(family.default).Config, "  " * (1 + family.named), _kinds_of(section))
        elif model := next(_models(field), None):
            optional = field.default is None
            settings = _settings(model, "  ", optional=optional)
            lines += [f"# {line}" for line in (lines.pop(), *settings)] if optional else settings
        else:
            lines += _example(field.examples[0] if field.examples else {}, "  # ")
        lines.append("")
    return "\n".join(lines)


def _kinds_of(section: str) -> str:
    family = FAMILIES[section]
    return " ".join(f"{kind}: {(family.load(kind).Config.__doc__ or '').strip()}" for kind in sorted(family.kinds))


def _settings(model: type[BaseModel], indent: str, kinds: str = "", optional: bool = False) -> Iterator[str]:
    """Yield the settings of a section: each as a comment, or bare when the whole section is one."""
    for name, field in model.model_fields.items():
        yield from _comment(kinds if kinds and name == "kind" else field.description or "", indent)
        below = [] if optional and field.examples else list(_models(field))
        if below and len(_arguments(field.annotation)) == len(below):
            yield f"{indent}{name}:"
            yield from _settings(below[0], indent + "  ", optional=optional)
        else:
            default = _default(field)
            value = field.examples[0] if default in (None, [], {}) and field.examples else default
            yield from _example({name: value}, indent if optional else f"{indent}# ")


def _example(values: dict[str, Any], indent: str) -> Iterator[str]:
    for name, value in values.items():
        yield f"{indent}{name}: {_yaml(value)}"


def _comment(text: str, indent: str) -> Iterator[str]:
    line = f"{indent}#"
    for word in text.split():
        if len(line) + len(word) > 110:
            yield line
            line = f"{indent}#"
        line += f" {word}"
    yield line


def _table(model: type[BaseModel], before: str) -> str:
    rows = ["| setting | value | default | |", "|---|---|---|---|"]
    for keys, field, kind in _rows(model, before):
        default = _default(field)
        shown = "" if default in (None, [], {}) else f"`{_yaml(default)}`"
        rows.append(f"| `{keys}` | {kind} | {shown} | {field.description} |")
    return "\n".join(rows) + "\n"


def _rows(model: type[BaseModel], before: str) -> Iterator[tuple[str, FieldInfo, str]]:
    whole = model.model_json_schema(mode="validation")
    described = next(one for one in (whole, *whole.get("anyOf", ())) if "properties" in one)
    shown: set[type[BaseModel]] = set()
    for name, field in model.model_fields.items():
        below = list(_models(field))
        named = [(f"{before}{name}{mark}.", inner) for mark, inner in _repeated(field) if inner not in shown]
        rest = [item for item in _arguments(field.annotation) if not _is_model(item)]
        if not below or rest or field.examples:
            yield f"{before}{name}", field, _value(described["properties"][name], whole.get("$defs", {}))
        for section in below:
            yield from _rows(section, f"{before}{name}.")
        for place, section in named:
            yield from _rows(section, place)
        shown.update(below)


def _repeated(field: FieldInfo) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the model of which a mapping or a list holds many, with the mark that stands for any of them."""
    for item in _arguments(field.annotation):
        inner = get_args(item)[-1] if get_origin(item) is dict else next(iter(get_args(item)), None)
        if inner and _is_model(inner):
            yield (".NAME" if get_origin(item) is dict else "[]"), inner


def _value(described: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return a setting's type in words."""
    if branches := described.get("anyOf") or described.get("oneOf"):
        words = [_value(branch, definitions) for branch in branches if branch.get("type") != "null"]
        return " or ".join(words)
    if "$ref" in described:
        return "a section"
    if "const" in described:
        return f"`{described['const']}`"
    if "enum" in described:
        return " or ".join(f"`{item}`" for item in described["enum"])
    match described.get("type"):
        case "boolean":
            return "`true` or `false`"
        case "object" if described.keys() & {"additionalProperties", "patternProperties"}:
            return "a section for each name"
        case "array":
            return f"list of {_value(described['items'], definitions).removeprefix('a ')}s"
        case "integer":
            limits = (described.get("minimum"), described.get("maximum"))
            return f"whole number, {limits[0]} to {limits[1]}" if None not in limits else "whole number"
        case "string" if described.get("title", "").islower():
            return str(described["title"])
        case "string":
            return "text"
        case _:
            return str(described.get("title", "value")).lower()


def _default(field: FieldInfo) -> Any:
    """Return a default as it would stand in the file."""
    if field.default is PydanticUndefined:
        return None
    return TypeAdapter(field.rebuild_annotation()).dump_python(field.default, mode="json", exclude_none=True)


def _models(field: FieldInfo) -> Iterator[type[BaseModel]]:
    yield from (item for item in _arguments(field.annotation) if _is_model(item))


def _arguments(annotation: Any) -> list[Any]:
    if get_origin(annotation) in {Union, UnionType}:
        return [found for item in get_args(annotation) for found in _arguments(item)]
    return [] if annotation is NoneType else [annotation]


def _is_model(item: Any) -> bool:
    return isinstance(item, type) and issubclass(item, BaseModel)


def _yaml(value: Any) -> str:
    """Return a value as it stands after a colon, in one line."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = True
    yaml.width = 10_000
    stream = io.StringIO()
    yaml.dump(value, stream)
    return stream.getvalue().removesuffix("...\n").strip()


def write(folder: Path) -> None:
    """Write schema and page into `folder`."""
    (folder / "hub.schema.json").write_text(schema())
    (folder / "reference.md").write_text(page())


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
