"""`auth: {kind: pam}` in hub.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hubwright.auth.allow import Allow, GroupName, Labelled
from hubwright.auth.rule import Grace, LookEvery


class Config(Labelled):
    """People log in with the name and password of their Unix account on this machine."""

    kind: Literal["pam"] = Field(default="pam", description="Unix accounts of this machine, through PAM.")
    allow: Allow = Field(
        default="nobody",
        description="Who may enter besides the admins and the people an admin has added: "
        "`nobody`, `all`, or `{users: [...], groups: [...]}`.",
    )
    admin_groups: tuple[GroupName, ...] = Field(
        default=(), description="Unix groups whose members are admins of the hub."
    )
    grace: Grace = 0.0
    look_every: LookEvery = 60.0
    service: str = Field(
        default="login",
        pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$",
        description="The PAM service that checks passwords: a file in /etc/pam.d.",
    )
