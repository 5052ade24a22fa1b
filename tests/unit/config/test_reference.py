"""What is generated from the model is fresh, whole and true."""

import json
import re
from pathlib import Path

import pytest

from hubwright.config.load import load
from hubwright.config.model import FAMILIES, Hub
from hubwright.config.reference import page, schema, template

DOCS = Path(__file__).parents[3] / "docs"
STALE = "stale: run python -m hubwright.config.reference"


def test_the_reference_page_is_fresh():
    assert (DOCS / "reference.md").read_text() == page(), STALE


def test_the_schema_is_fresh():
    assert (DOCS / "hub.schema.json").read_text() == schema(), STALE
    assert json.loads(schema())["properties"].keys() == Hub.model_fields.keys()


def test_every_setting_has_help_and_stands_on_the_page():
    models = [
        (f"{section}.{'NAME.' * family.named}", family.load(kind).Config)
        for section, family in FAMILIES.items()
        for kind in family.kinds
    ]
    models += [
        (f"{name}.", field.annotation)
        for name, field in Hub.model_fields.items()
        if hasattr(field.annotation, "model_fields")
    ]
    text = page()
    for before, model in models:
        for name, field in model.model_fields.items():
            assert field.description, f"{before}{name} has no description"
            assert f"`{before}{name}" in text


def test_the_template_is_the_defaults(tmp_path):
    path = tmp_path / "hub.yaml"
    path.write_text(template())
    assert load(path).hub == Hub()


def test_every_example_of_the_template_holds(tmp_path):
    path = tmp_path / "hub.yaml"
    names = re.compile(r"^(\s+)# ([A-Za-z_]+: .*)$", re.MULTILINE)
    path.write_text(names.sub(lambda line: line[1] + line[2] if _is_setting(line[2]) else line[0], template()))
    loaded = load(path)
    assert loaded.hub.engine.memory == 2 * 2**30
    assert loaded.hub.hub.admins
    assert loaded.hub.extra


def test_a_section_that_may_be_left_out_stands_there_whole(tmp_path):
    """Without their "# " the lines of `profiles` are one that holds."""
    block = template().partition("# profiles:")[2].partition("\n\n")[0]
    path = tmp_path / "hub.yaml"
    path.write_text("profiles:" + re.sub(r"^# ", "", block, flags=re.MULTILINE))
    assert load(path).hub.profiles.default.servers == 3


def _is_setting(line: str) -> bool:
    name = line.partition(":")[0]
    known = {*Hub.model_fields, "JupyterHub", "preload"}
    for section, field in Hub.model_fields.items():
        if family := FAMILIES.get(section):
            known |= family.load(family.default).Config.model_fields.keys()
        else:
            known |= getattr(field.annotation, "model_fields", {}).keys()
    return name in known


@pytest.mark.parametrize("path", sorted((DOCS.parent / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_load(path):
    assert load(path).path == path
