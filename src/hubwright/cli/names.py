"""`hubwright names`: whose is which Unix name, when people log in with an identity from elsewhere."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hubwright.auth import names as rule
from hubwright.auth.identities import Identities
from hubwright.cli.options import ConfigOption, JsonOption, StateOption, is_closed, resolve
from hubwright.errors import Refused, printable
from hubwright.fields import Site
from hubwright.machine.files import Owner

app = typer.Typer(
    help="Whose is which Unix name, when people log in with an identity from elsewhere.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Name = Annotated[str, typer.Argument(help="A Unix name.", show_default=False)]


@app.command("list")
def list_(config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """List the Unix names that identities have.

    [bold]Examples[/]

      hubwright names list --json
    """
    found = _identities(resolve(config, state)[1]).all()
    if as_json:
        print(json.dumps({name: [asdict(one) for one in known] for name, known in sorted(found.items())}, indent=1))
        return
    table = Table("name", "identity", "groups", "last login", box=None, header_style="bold")
    for name, known in sorted(found.items()):
        for one in known:
            seen = datetime.fromtimestamp(one.seen, UTC).strftime("%Y-%m-%d %H:%M") if one.seen else "never"
            table.add_row(name, *(Text(printable(told)) for told in (str(one), ", ".join(one.groups))), seen)
    Console(highlight=False).print(table)


@app.command()
def of(
    logins: Annotated[list[str], typer.Argument(help="Names or addresses, as a provider has them.")],
    as_json: JsonOption = False,
) -> None:
    """Say which Unix names people will get, before they come.

    [bold]Examples[/]

      hubwright names of ada@example.org José.Núñez@example.org
    """
    found: dict[str, str] = {}
    told: dict[str, str] = {}
    for login in logins:
        try:
            found[login] = rule.unix_name(login)
        except Refused as refusal:
            told[login] = str(refusal)
    for name in sorted({*found.values()}):
        if len(same := [login for login in found if found[login] == name]) > 1:
            told[name] = f"{' and '.join(same)} would both be {name}: only the first to come is let in."
    if as_json:
        print(json.dumps({"names": found, "problems": list(told.values())}, indent=1))
    else:
        for login, name in found.items():
            print(f"{login}  {name}")
        for problem in told.values():
            print(problem)
    raise typer.Exit(77 if told else 0)


@app.command()
def link(
    name: Name,
    identity: Annotated[str, typer.Argument(help="Provider and login, as `google:ada@example.org`.")],
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Give a Unix name to an identity, also beside another: they are the same person then.

    [bold]Examples[/]

      hubwright names link ada google:ada@example.org
    """
    provider, colon, login = identity.partition(":")
    if not colon or not provider or not login:
        raise Refused(f'"{identity}" is not a provider and a login.', remedy="Write it as google:ada@example.org.")
    _identities(resolve(config, state)[1]).link(name, provider, login)
    print(f"{identity} is {name} from the next login on.")


@app.command()
def forget(name: Name, config: ConfigOption = None, state: StateOption = None) -> None:
    """Let a Unix name go to whoever comes next. The home of that name stays, and is theirs then.

    [bold]Examples[/]

      hubwright names forget ada
    """
    found = _identities(resolve(config, state)[1]).forget(name)
    if not found:
        raise Refused(f'Nobody has the name "{name}".', remedy='See "hubwright names list".')
    print(f"{name} was {', '.join(map(str, found))}, and is free now.")


def _identities(site: Site) -> Identities:
    if is_closed(site):
        raise Refused("Only whoever runs this service may do that.", where=str(site.state), remedy="Use sudo.")
    if not site.secrets.is_dir():
        raise Refused(f"There is no service in {site.state} yet.", remedy='Start it once: "hubwright up".')
    return Identities(site.secrets, Owner.of(site.account) if site.privileged else None)
