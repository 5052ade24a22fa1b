"""`auth: {kind: github}` in hub.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hubwright.auth.oauth_section import Issuer, OAuthSection


class Config(OAuthSection):
    """People log in with their GitHub account; groups are organizations, `org`, and teams, `org/team`."""

    kind: Literal["github"] = Field(default="github", description="GitHub accounts.")
    server: Issuer = Field(default="https://github.com", description="GitHub, or a GitHub Enterprise Server.")
