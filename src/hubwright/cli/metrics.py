"""`hubwright metrics`: dashboard, token."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated

import typer

from hubwright.care.hub_api import HubApi
from hubwright.cli.options import ConfigOption, StateOption, resolve
from hubwright.cli.token import lasting

app = typer.Typer(help="Hand the metrics to Prometheus and Grafana.", no_args_is_help=True, rich_markup_mode="rich")
SCOPE = "read:metrics"


@app.command()
def dashboard() -> None:
    """Print a Grafana dashboard; import it in Grafana under Dashboards, New, Import.

    [bold]Examples[/]

      hubwright metrics dashboard > hubwright.json
    """
    print(files("hubwright.metrics").joinpath("grafana.json").read_text(), end="")


@app.command()
def token(
    admin: Annotated[str, typer.Argument(help="An admin of the service, whose name the token bears.")],
    expires: Annotated[str, typer.Option("--expires", help='How long it holds, such as "90d"; or "never".')] = "never",
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Print a new token for Prometheus, which may read metrics and nothing else.

    [bold]Examples[/]

      hubwright metrics token alice > /etc/prometheus/hubwright.token

      curl -H "Authorization: token $(hubwright metrics token alice)" http://127.0.0.1:8000/hub/api/hubwright/prometheus
    """
    seconds = lasting(expires)
    _, site = resolve(config, state)
    print(HubApi(site).make_token(admin, seconds, "hubwright metrics token", [SCOPE]))
