"""`hubwright profiles`: explain."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.text import Text

from hubwright.auth import FAMILY as AUTH
from hubwright.care.hub_api import HubApi
from hubwright.cli.options import ConfigOption, JsonOption, StateOption, resolve
from hubwright.config.load import Loaded
from hubwright.errors import NotRunning, Refused
from hubwright.fields import Site
from hubwright.machine.policy import find_account, group_names
from hubwright.profiles import resolve as resolving
from hubwright.profiles.config import Entry
from hubwright.profiles.grants import Amounts, in_words

app = typer.Typer(help="Say what people may have.", no_args_is_help=True, rich_markup_mode="rich")

_UNSET = {
    "images": "none",
    "reserve": "nothing",
    "home": "the account's own",
    "volumes": "none",
    "total": "no limit",
}


@app.callback()
def _profiles() -> None:
    """Say what people may have."""


@app.command()
def explain(
    user: Annotated[str, typer.Argument(help="The user's name.", show_default=False)],
    group: Annotated[
        list[str] | None,
        typer.Option(
            "--group", "-g", help="A group of the hub that he is in; may be repeated.", show_default="as the hub says"
        ),
    ] = None,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a user gets, and which line of hub.yaml each value comes from.

    His groups are asked of the service, and of this machine where people log in with Unix accounts; where it does not
    run, or to see what another group would change, name them.

    [bold]Examples[/]

      hubwright profiles explain ada

      hubwright profiles explain ada --group students --json
    """
    loaded, site = resolve(config, state)
    if (section := loaded.hub.profiles) is None:
        raise Refused(
            "There is no `profiles` section: every server has the limits of `engine`.",
            where=str(loaded.path or "hub.yaml"),
            remedy='Begin one: "hubwright init" writes an example.',
        )
    groups, note = (group, "") if group else _groups(site, user)
    if not group and getattr(AUTH.of(loaded.hub.auth), "UNIX_GROUPS", False) and (account := find_account(user)):
        groups = list(dict.fromkeys([*groups, *group_names(account)]))
    servers = getattr(loaded.hub.engine, "servers", 1)
    found = resolving.entitlement(section, user, groups, servers)
    rows = {name: _row(loaded, found, name) for name in Entry.model_fields}
    if as_json:
        print(json.dumps({"user": user, "groups": list(groups), "entitlement": rows}, indent=1))
        return
    console = Console(highlight=False)
    listed = f" in {', '.join(groups)}" if groups else ""
    console.print(Text.assemble((user, "bold"), f"{listed}{f'. {note}' if note else ''}"), soft_wrap=True)
    for name, row in rows.items():
        console.print(Text.assemble((f"{name:9}", "bold"), (row["where"], "dim")), soft_wrap=True)
        for line in row["words"].splitlines():
            console.print(Text(f"         {line}"), soft_wrap=True)


def _groups(site: Site, user: str) -> tuple[list[str], str]:
    """Return the user's groups as the hub knows them, and a note where it cannot say."""
    try:
        hub = HubApi(site, 10)
        if user not in {known["name"] for known in hub.users()}:
            return [], "The service does not know this user yet."
        return list(hub.ask("GET", f"/users/{quote(user, safe='')}").get("groups", [])), ""
    except NotRunning:
        return [], "The service does not run, so the hub's groups are not known: name them with --group."


def _row(loaded: Loaded, found: resolving.Entitlement, name: str) -> dict[str, Any]:
    """Return the value as JSON holds it and in words, and the place it comes from."""
    source = found.sources.get(name)
    value: Any
    match name:
        case "sizes":
            value = list(found.sizes)
            words = _lines(
                f"{size}: {in_words(Amounts(limits.cpu, limits.memory))}" for size, limits in found.sizes.items()
            )
        case "images":
            value = list(found.images)
            words = _lines(f"{image}: {what.image}" for image, what in found.images.items())
        case "reserve":
            value = {"cpu": found.reserve.cpu, "memory": found.reserve.memory}
            words = f"at most {in_words(found.reserve)}" if found.reserve else ""
        case "total":
            value = {"cpu": found.total.cpu, "memory": found.total.memory} if found.total else None
            words = in_words(found.total) if found.total else ""
        case "volumes":
            value = [{"source": one.source, "target": one.target, "writable": one.writable} for one in found.volumes]
            words = _lines(f"{one.source} at {one.target}{', writable' * one.writable}" for one in found.volumes)
        case _:
            value = getattr(found, name)
            words = str(value)
    default = "by default" if name != "servers" else loaded.where("engine.servers")
    where = loaded.where(source) if source else default
    return {"value": value, "words": words or _UNSET[name], "where": where}


def _lines(items: Iterable[str]) -> str:
    return "\n".join(items)
