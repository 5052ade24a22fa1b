"""Plain HTTP."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hubwright.errors import Problem
from hubwright.fields import Site
from hubwright.proxy.https.elsewhere import covers as covers
from hubwright.proxy.https.elsewhere import pair as pair
from hubwright.proxy.https.elsewhere import watched as watched
from hubwright.proxy.serving import Serving, is_open

NAME = "none"
ENCRYPTS = False


class Config(BaseModel):
    """Plain HTTP, for this machine alone: other machines are let in only with `insecure`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["none"] = Field(default="none", description="Plain HTTP.")
    insecure: bool = Field(
        default=False,
        description="Listen to other machines all the same. "
        "Passwords and cookies then cross the network for everybody on it to read.",
    )


def check(config: Config, site: Site) -> list[Problem]:
    """Return that others could read along, where they could."""
    remedy = "Take `https: {kind: self_made}`, `files` or `behind_proxy`; or listen on 127.0.0.1."
    if is_open(site) and not config.insecure:
        what = "other machines reach this address by plain HTTP, so that passwords would cross the network unencrypted."
        where = "hub.yaml hub.listen"
        return [Problem(where, what, f"{remedy} If it must be, say `https: {{kind: none, insecure: true}}`.")]
    if is_open(site):
        what = "passwords and cookies cross the network unencrypted."
        return [Problem("hub.yaml https.insecure", what, remedy, "warning")]
    if site.public_url.startswith("https:"):
        what = "says HTTPS, and the service speaks plain HTTP: something before it must encrypt."
        return [Problem("hub.yaml hub.url", what, "Name that with `https: {kind: behind_proxy}`.", "warning")]
    return []


def serving(config: Config, site: Site) -> Serving:
    """Return what Caddy is told."""
    return Serving()
