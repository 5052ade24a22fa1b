"""`auth: {kind: first_use}` in hub.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hubwright.auth.allow import Allow, Labelled


class Config(Labelled):
    """People choose a password of their own through a one-time link that an admin hands them."""

    kind: Literal["first_use"] = Field(
        default="first_use", description="A password chosen through a one-time link, kept by the hub."
    )
    allow: Allow = Field(
        default="nobody",
        description="Who may enter besides the admins and the people an admin has added: "
        "`nobody`, or `{users: [...]}`; each of them needs a one-time link first. "
        "`all` and groups need accounts that exist already (`kind: pam`).",
    )
    minimum_length: int = Field(default=8, ge=1, le=64, description="The fewest characters that a password may have.")
