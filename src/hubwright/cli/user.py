"""`hubwright user`: add, remove, list, show, passwd, link, ids."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table

from hubwright.auth.allow import parts
from hubwright.auth.ways import listed, of_kind, ways_of
from hubwright.care.hub_api import HubApi, unknown
from hubwright.care.people import accounts as people
from hubwright.care.people.hub import SLOW, end_user
from hubwright.care.people.plan import archive_and_remove, roster_of
from hubwright.cli.options import ConfigOption, JsonOption, StateOption, resolve
from hubwright.config.load import Loaded
from hubwright.errors import ConfigError, HubwrightError, NotRunning, Refused
from hubwright.fields import Site, check_user_name
from hubwright.machine.policy import Policy, find_account, group_names
from hubwright.people import accounts, archive
from hubwright.people.applied import Applied
from hubwright.people.ids import Table as Numbers

app = typer.Typer(help="Add, remove and list the people of the service.", no_args_is_help=True, rich_markup_mode="rich")


def _once(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


Names = Annotated[
    list[str], typer.Argument(help="User names, as Unix accounts have them.", show_default=False, callback=_once)
]
_WORDS = {"claimed": "has a password", "unclaimed": "link not used yet", "expired": "link expired", "none": "no link"}


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
    hub = HubApi(site, SLOW)
    known = {user["name"]: user for user in hub.users()}  # before accounts are made: is the hub up?
    policy = Policy.load(site.policy) if site.privileged else None
    rows = []
    for name in wanted:
        made = policy is not None and people.add(loaded, site, policy, name)
        fresh = name not in known
        if fresh:
            hub.ask("POST", _path(name), {})
        if admin:
            hub.ask("POST", f"/hubwright/people/{quote(name, safe='')}/admin", {})
        link = _new_link(hub, name) if fresh and listed(loaded.hub.auth).kind == "first_use" else ""
        rows.append({"name": name, "added": fresh, "account_made": made, "link": link})
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        _tell_added(row, listed(loaded.hub.auth).kind)


@app.command()
def remove(
    names: Names,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    pack: Annotated[
        bool, typer.Option("--archive", help="Pack their homes into archives, then remove homes and accounts.")
    ] = False,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop people's servers and keep them out. Their Unix accounts and homes stay, unless --archive is said.

    [bold]Examples[/]

      hubwright user remove ada --yes

      sudo hubwright user remove ada --archive
    """
    loaded, site = resolve(config, state)
    hub = HubApi(site, SLOW)
    known = [user["name"] for user in hub.users()]
    for name in names:
        if name not in known:
            raise unknown(name)
    table = people.numbers(loaded, site).read() if pack else Numbers()
    for name in names if pack else ():
        number, entry = table.users.get(name), find_account(name)
        if number is None or not number.made or (entry is not None and entry.pw_uid != number.id):
            raise Refused(f"Hubwright did not make the account {name}, so it does not remove it.")
    if not yes:
        homes = " Their homes are archived, then removed." if pack else ""
        typer.confirm(f"Stop all servers of {', '.join(names)} and keep them out?{homes}", abort=True, err=True)
    rows = []
    for name in names:
        end_user(hub, name)
        told = ""
        if site.privileged:
            accounts.leave(name)
            if pack and (entry := find_account(name)) is not None:
                told = archive_and_remove(entry, site)
        rows.append({"name": name, "removed": True, "archive": told})
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(f"{row['name']} is out. " + (f"Archived: {row['archive']}" if pack else "Account and home stay."))
    if still := sorted({*names} & _named(loaded.hub)):
        print(f"hub.yaml still names {', '.join(still)}: take them out there, or they come back at the next start.")
    if still := sorted({*names} & _listed(loaded, site)):
        print(f"The roster still lists {', '.join(still)}: take them out there, or the next apply lets them in again.")


@app.command("list")
def list_(config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """List who may enter.

    [bold]Examples[/]

      hubwright user list --json
    """
    loaded, site = resolve(config, state)
    hub = HubApi(site)
    states = {}
    if of_kind(loaded.hub.auth, "first_use"):
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
    if of_kind(loaded.hub.auth, "first_use") is None:
        raise Refused("Only with `auth: {kind: first_use}` are passwords chosen through links.")
    made = _new_link(HubApi(site, SLOW), name)
    print(json.dumps({"name": name, "link": made}, indent=1) if as_json else made)


@app.command()
def passwd(
    name: Annotated[str, typer.Argument(help="Whose password.", show_default=False)],
    stdin: Annotated[bool, typer.Option("--stdin", help="Read it from standard input, without asking.")] = False,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Set a password: of the Unix account with `pam`, of the hub with `first_use`. It ends the person's sessions.

    [bold]Examples[/]

      sudo hubwright user passwd ada

      pwgen 16 1 | sudo hubwright user passwd ada --stdin
    """
    loaded, site = resolve(config, state)
    _checked(site, name)
    refusal = people.password_refusal(loaded, site, name)
    if refusal:
        raise Refused(refusal)
    if stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = typer.prompt(f"New password of {name}", hide_input=True, confirmation_prompt=True)
    people.set_password(loaded, site, name, password)
    print(f"The password of {name} is set.")
    try:
        HubApi(site).ask("DELETE", f"/hubwright/people/{quote(name, safe='')}/sessions")
    except NotRunning:
        print("The hub does not run: whoever is logged in stays so. To end that, set it again once the hub runs.")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Who.", show_default=False)],
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all that is known of somebody: account, home, roster, servers, archives.

    [bold]Examples[/]

      sudo hubwright user show ada --json
    """
    loaded, site = resolve(config, state)
    found = _about(loaded, site, name)
    if as_json:
        print(json.dumps(found, indent=1))
        return
    table = Table(show_header=False, box=None)
    for key, value in found.items():
        if value not in (None, "", []):
            words = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            table.add_row(f"[bold]{key.replace('_', ' ')}", words.replace("[", "\\["))
    Console(highlight=False).print(table)


@app.command()
def ids(
    source: Annotated[
        Path | None, typer.Option("--import", help="A table of another machine, to take over.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Print the table of numeric ids as JSON, or take over another machine's, so that both give the same.

    [bold]Examples[/]

      sudo hubwright user ids > ids.json

      sudo hubwright user ids --import ids.json
    """
    loaded, site = resolve(config, state)
    if not site.privileged:
        raise Refused("The table of ids is root's.", remedy="Run it as root: sudo hubwright user ids")
    if source is None:
        print(json.dumps(people.numbers(loaded, site).read().plain(), indent=1))
        return
    try:
        other = Numbers.parse(json.loads(source.read_text()))
    except (OSError, ValueError) as error:
        raise Refused(f"This is no table of ids: {error}.", where=str(source)) from error
    fresh = people.take_over(loaded, site, other)
    print(f"{len(fresh)} are new here: {', '.join(fresh)}." if fresh else "Everything was known.")


def _about(loaded: Loaded, site: Site, name: str) -> dict[str, Any]:
    entry = find_account(name)
    applied = Applied(site.state).read() if site.privileged else {}
    known = {}
    try:
        known = {user["name"]: user for user in HubApi(site).users()}
    except HubwrightError as error:
        hub = str(error)
    else:
        hub = "knows them" if name in known else "does not know them"
    if entry is None and name not in known and name not in applied:
        raise unknown(name)
    user = known.get(name, {})
    on_roster = name in _listed(loaded, site)
    return {
        "name": name,
        "login": applied[name].login if name in applied else None,
        "on_the_roster": on_roster,
        "hub": hub,
        "admin": bool(user.get("admin")),
        "servers": sorted(server or "(first)" for server in user.get("servers") or {}),
        "last_activity": user.get("last_activity"),
        "number": entry.pw_uid if entry else None,
        "groups": group_names(entry) if entry else [],
        "home": entry.pw_dir if entry else None,
        "archives": [str(one.path) for one in archive.found(site.state, name)] if site.privileged else [],
    }


def _listed(loaded: Loaded, site: Site) -> set[str]:
    try:
        roster = roster_of(loaded, site)
    except ConfigError:
        return set()
    return set(roster.by_name) if roster else set()


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
    allowed = [parts(getattr(section, "allow", "nobody"))[1] for section in ways_of(hub.auth).values()]
    return {*hub.hub.admins, *hub.people.users, *(name for names in allowed for name in names)}


def _tell_added(row: dict[str, Any], kind: str) -> None:
    name = row["name"]
    if not row["added"]:
        print(f"{name} was here already.")
    elif row["link"]:
        print(f"{name} is in. One-time link, for seven days; hand it over in private:\n  {row['link']}")
    else:
        print(f"{name} is in.")
    if row["account_made"] and kind == "pam":
        print(f'  The new Unix account has no password yet: "hubwright user passwd {name}".')
