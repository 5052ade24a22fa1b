"""`hubwright user`: add, remove, list, link."""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table

from hubwright.care.hub_api import HubApi
from hubwright.cli.options import ConfigOption, JsonOption, StateOption, resolve
from hubwright.errors import Refused
from hubwright.fields import Site, check_user_name
from hubwright.machine.policy import Policy
from hubwright.people import accounts

app = typer.Typer(help="Add, remove and list the people of the service.", no_args_is_help=True, rich_markup_mode="rich")

Names = Annotated[list[str], typer.Argument(help="User names, as Unix accounts have them.", show_default=False)]
_WORDS = {"claimed": "has a password", "unclaimed": "link not used yet", "expired": "link expired", "none": "no link"}
_SLOW = 60.0
"""Seconds for requests that may wait for useradd, or for a server to stop."""


@app.command()
def add(
    names: Names,
    admin: Annotated[bool, typer.Option("--admin", help="They manage the service.")] = False,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let people in; each gets a Unix account, and with `first_use` a one-time link.

    An account that exists is joined to the service, as only root can.

    [bold]Examples[/]

      hubwright user add ada grace

      hubwright user add linus --admin
    """
    loaded, site = resolve(config, state)
    wanted = [_checked(site, name) for name in names]
    hub = HubApi(site, _SLOW)
    known = {user["name"]: user for user in hub.users()}  # before accounts are made: is the hub up?
    policy = Policy.load(site.policy) if site.privileged else None
    rows = []
    for name in wanted:
        made = policy is not None and accounts.add(policy, name)
        fresh = name not in known
        if fresh:
            hub.ask("POST", _path(name), {})
        if admin:
            hub.ask("POST", f"/hubwright/people/{quote(name, safe='')}/admin", {})
        link = _new_link(hub, name) if fresh and loaded.hub.auth.kind == "first_use" else ""
        rows.append({"name": name, "added": fresh, "account_made": made, "link": link})
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        _tell_added(row, loaded.hub.auth.kind)


@app.command()
def remove(
    names: Names,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop people's servers and keep them out. Their Unix accounts and homes stay.

    [bold]Examples[/]

      hubwright user remove ada --yes
    """
    loaded, site = resolve(config, state)
    hub = HubApi(site, _SLOW)
    known = [user["name"] for user in hub.users()]
    for name in names:
        if name not in known:
            raise Refused(f'There is no "{name}" here.', remedy='See "hubwright user list".')
    if not yes:
        typer.confirm(f"Stop all servers of {', '.join(names)} and keep them out?", abort=True, err=True)
    for name in names:
        user = hub.ask("GET", _path(name))
        for server in user.get("servers") or {}:
            hub.ask("DELETE", f"{_path(name)}/servers/{quote(server, safe='')}" if server else f"{_path(name)}/server")
        hub.ask("DELETE", _path(name))
        if site.privileged:
            accounts.leave(name)
    if as_json:
        print(json.dumps([{"name": name, "removed": True} for name in names], indent=1))
        return
    for name in names:
        print(f"{name} is out. Account and home stay.")
    if still := sorted({*names} & _named(loaded.hub)):
        print(f"hub.yaml still names {', '.join(still)}: take them out there, or they come back at the next start.")


@app.command("list")
def list_(config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """List who may enter.

    [bold]Examples[/]

      hubwright user list --json
    """
    loaded, site = resolve(config, state)
    hub = HubApi(site)
    states = {}
    if loaded.hub.auth.kind == "first_use":
        states = {person["name"]: person["state"] for person in hub.ask("GET", "/hubwright/people")}
    rows = [
        {
            "name": user["name"],
            "admin": user["admin"],
            "state": states.get(user["name"]),
            "servers": sorted(user.get("servers") or {}),
            "last_activity": user.get("last_activity"),
        }
        for user in sorted(hub.users(), key=lambda user: str(user["name"]))
    ]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    table = Table("user", "", *(["password"] if states else []), "servers", "last seen", box=None, header_style="bold")
    for row in rows:
        password = [_WORDS.get(str(row["state"]), "-")] if states else []
        last = str(row["last_activity"] or "never")[:16].replace("T", " ")
        table.add_row(row["name"], "admin" if row["admin"] else "", *password, str(len(row["servers"])), last)
    Console(highlight=False).print(table)


@app.command()
def link(
    name: Annotated[str, typer.Argument(help="Whose password is to be chosen anew.")],
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a new one-time link for somebody who lost link or password; the old ones stop working at once.

    [bold]Examples[/]

      hubwright user link ada
    """
    loaded, site = resolve(config, state)
    if loaded.hub.auth.kind != "first_use":
        raise Refused("Only with `auth: {kind: first_use}` are passwords chosen through links.")
    made = _new_link(HubApi(site, _SLOW), name)
    print(json.dumps({"name": name, "link": made}, indent=1) if as_json else made)


def _checked(site: Site, name: str) -> str:
    try:
        check_user_name(name)
    except ValueError as error:
        raise Refused(f"This {error}") from None
    if not site.privileged and name != site.account:
        raise Refused(
            f"This service was not started by root, so it can serve only {site.account}.",
            remedy="Start it as root to serve several people.",
        )
    return name


def _new_link(hub: HubApi, name: str) -> str:
    return str(hub.ask("POST", f"/hubwright/people/{quote(name, safe='')}/link", {})["link"])


def _path(name: str) -> str:
    return f"/users/{quote(name, safe='')}"


def _named(hub: Any) -> set[str]:
    allow = getattr(hub.auth, "allow", None)
    return {*hub.hub.admins, *hub.people.users, *getattr(allow, "users", ())}


def _tell_added(row: dict[str, Any], kind: str) -> None:
    name = row["name"]
    if not row["added"]:
        print(f"{name} was here already.")
    elif row["link"]:
        print(f"{name} is in. One-time link, for seven days; hand it over in private:\n  {row['link']}")
    else:
        print(f"{name} is in.")
    if row["account_made"] and kind == "pam":
        print(f'  The new Unix account has no password yet: "passwd {name}".')
