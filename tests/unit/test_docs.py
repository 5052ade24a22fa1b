"""What is written for people is whole and true: every command, option and setting, every link, every example."""

from __future__ import annotations

import csv
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import typer

from hubwright.cli import app
from hubwright.config.load import load
from hubwright.config.model import FAMILIES, Hub
from hubwright.hub import compile as compiler
from hubwright.machine.place import place

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DOCS = "\n".join(page.read_text() for page in PAGES)
BY_HAND = "\n".join(page.read_text() for page in PAGES if page.name != "reference.md")
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def commands(group: Any = None, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command of the command line, as one types it."""
    group = group or typer.main.get_command(app)
    context = typer.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


COMMANDS = dict(commands())
OPTIONS = sorted(
    {
        option
        for command in COMMANDS.values()
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("-") and option != "--help"
    }
)


def settings() -> Iterator[str]:
    """Yield every setting of hub.yaml, as `engine.memory`; deeper ones, too."""

    def of(model: Any, before: str) -> Iterator[str]:
        for name, field in model.model_fields.items():
            if hasattr(field.annotation, "model_fields"):
                yield from of(field.annotation, f"{before}{name}.")
            else:
                yield f"{before}{name}"

    for section, field in Hub.model_fields.items():
        if family := FAMILIES.get(section):
            for kind in family.kinds:
                yield from of(family.load(kind).Config, f"{section}.{'NAME.' * family.named}")
        elif hasattr(field.annotation, "model_fields"):
            yield from of(field.annotation, f"{section}.")
        else:
            yield section


def anchors(page: Path) -> set[str]:
    """Return what a link into a page may name after the `#`, as GitHub makes it from headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_command_line_is_found():
    assert {"up", "check", "user add", "user link"} <= COMMANDS.keys()
    assert {"--config", "--keep", "-n"} <= set(OPTIONS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_written_about(command):
    assert f"hubwright {command}" in BY_HAND or f"`{command}`" in BY_HAND


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_is_written_about(option):
    assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", BY_HAND)


@pytest.mark.parametrize("setting", sorted(set(settings())))
def test_every_setting_is_written_about(setting):
    assert re.search(rf"`{re.escape(setting)}`|^## {re.escape(setting)}$", DOCS, re.MULTILINE), setting


def test_commands_in_the_docs_exist():
    """No page tells of a command that is not there."""
    known = {*COMMANDS, *(command.split()[0] for command in COMMANDS)}
    for word in re.findall(r"(?:`|sudo |^)hubwright ([a-z][a-z-]*)", BY_HAND, re.MULTILINE):
        assert word in known, f"hubwright {word}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(found), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_image_comes_from_elsewhere(page):
    """A page that is read offline is whole, and nobody learns who reads it."""
    text = page.read_text()
    assert not re.search(r"!\[[^\]]*\]\((?:https?:)?//", text)
    assert not re.search(r"<(?:img|script|link|iframe)\b", text)


def compiled(path: Path) -> dict[str, Any]:
    """Return the JupyterHub settings of a hub.yaml, as `hubwright up` would write them."""
    loaded = load(path)
    site = place(loaded.hub.hub.listen, loaded.hub.hub.url, loaded.path, None)
    settings = compiler.compile(loaded.hub, site)
    json.dumps([settings, compiler.policy(loaded.hub, site)])
    return settings


def test_the_readme_has_a_hub_yaml_of_ten_lines_that_holds(tmp_path):
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(text.splitlines()) == 10
    path = tmp_path / "hub.yaml"
    path.write_text(text)
    settings = compiled(path)
    assert settings["ForkSpawner"]["memory"] == 2 * 2**30
    assert settings["JupyterHub"]["named_server_limit_per_user"] == 1


def test_the_readme_has_a_place_for_the_figures():
    """bench/report.py fills it."""
    assert re.search(r"<!-- figures -->\n.*\n<!-- /figures -->", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_piece_of_a_hub_yaml_holds(page, tmp_path):
    for number, text in enumerate(re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text)
        compiled(path)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_compile(path):
    assert compiled(path)["JupyterHub"]["services"]


def test_tests_that_the_docs_name_exist():
    """docs/security.md says which test holds a claim."""
    short = {"neighbour": "integration/local/test_neighbour.py", "helper": "integration/auth/test_account_helper.py"}
    file = ""
    found = re.findall(r"(neighbour|helper|[a-z_/]+/test_[a-z_]+\.py|)::(test_\w+)", BY_HAND)
    assert len(found) > 15
    for where, name in found:
        file = short.get(where, where) or file
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(), f"{file}::{name}"


def test_messages_that_the_docs_explain_exist():
    """The fixed words of every message in the table of first-steps.md stand in the code that tells them."""
    folder = Path(importlib.import_module("hubwright").__file__ or "").parent
    sources = [*folder.rglob("*.py"), ROOT / "tools" / "environment.sh"]
    code = re.sub(r'"\s*\n\s*f?"', "", "\n".join(source.read_text() for source in sources))
    table = (ROOT / "docs" / "first-steps.md").read_text().partition("## When it does not work")[2]
    messages = re.findall(r"^\| `(.+?)` [|(]", table, re.MULTILINE)
    assert len(messages) > 15
    upstream = {"cookie_secret_file can be read or written by anybody"}
    unknown = []
    for message in sorted(set(messages) - upstream):
        pieces = re.split(
            r'"?\b(?:ada|hub|memory|numpy|pid|sudo|\d+)\b"?|\.\.\.|/[\w/]+|http:\S+|\(python3\)|[()]|No such file.*',
            message,
        )
        longest = max(pieces, key=len).strip(' ".:`,')
        if longest not in code:
            unknown.append(f"{message}: nobody says {longest!r}")
    assert unknown == []


def test_the_figures_of_containers_are_those_that_were_measured():
    """docs/docker.md says the medians of bench/docker.csv."""
    with (ROOT / "bench" / "docker.csv").open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    sides = ("hubwright", "hubwright, plain image", "dockerspawner")
    measured = [[float(row["result"]) for row in rows if row["side"] == side and not row["error"]] for side in sides]
    assert [len(one) for one in measured] == [12, 12, 12], "the page says: twelve users each"
    ours, plain, theirs = (f"{median(one):.2f} s" for one in measured)
    text = " ".join((ROOT / "docs" / "docker.md").read_text().split())
    assert f"took {ours} with it, {plain} with a plain image, and {theirs} with a plain image and dockerspawner" in text
