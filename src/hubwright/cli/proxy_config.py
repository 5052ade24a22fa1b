"""`hubwright proxy-config`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from hubwright.cli.options import ConfigOption, StateOption, resolve
from hubwright.errors import Refused
from hubwright.proxy import apex, outer


class Program(StrEnum):
    """What may stand before the service."""

    nginx = "nginx"
    caddy = "caddy"


ProgramArgument = Annotated[Program | None, typer.Argument(help="What stands before the service.", show_default=False)]
UpstreamOption = Annotated[
    str | None,
    typer.Option(
        "--upstream",
        help="Address and port by which the other machine reaches this one.",
        show_default="what hub.listen says",
    ),
]
CertificateOption = Annotated[
    str | None, typer.Option("--certificate", help="The certificate's file on the other machine.", show_default=False)
]
KeyOption = Annotated[str | None, typer.Option("--key", help="Its key's file there.", show_default=False)]
TunnelOption = Annotated[
    str | None,
    typer.Option(
        "--tunnel", help="USER@HOST: print a systemd unit for this machine, which keeps a tunnel to the other open."
    ),
]


def proxy_config(
    program: ProgramArgument = None,
    upstream: UpstreamOption = None,
    certificate: CertificateOption = None,
    key: KeyOption = None,
    tunnel: TunnelOption = None,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Print a whole configuration for a proxy before this service, for `https: {kind: behind_proxy}`.

    With websockets, bodies of any size, and time-outs that a long cell outlives. By a tunnel the other machine
    reaches this one at its own address 127.0.0.1.

    [bold]Examples[/]

      hubwright proxy-config nginx --upstream 10.0.0.7:8000

      hubwright proxy-config caddy

      hubwright proxy-config --tunnel hubwright@gateway.example.org
    """
    loaded, site = resolve(config, state)
    if loaded.hub.https.kind != "behind_proxy":
        raise Refused(
            "nothing stands before this service.",
            where=loaded.where("https.kind"),
            remedy="Write `https: {kind: behind_proxy}`, and the address in browsers in hub.url.",
        )
    if (program is None) == (tunnel is None):
        raise Refused("Name one of nginx, caddy and --tunnel.")
    if (certificate is None) != (key is None):
        raise Refused("A certificate and its key go together.", remedy="Name both --certificate and --key.")
    before = outer.outer(site, upstream, certificate, key, apex.apex_of(loaded.hub.static, site))
    if tunnel is not None:
        print(outer.tunnel(site, tunnel), end="")
    elif program is Program.nginx:
        print(outer.nginx(before), end="")
    else:
        print(outer.caddy(before, own_certificate=certificate is not None), end="")
