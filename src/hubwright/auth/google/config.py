"""`auth: {kind: google}` in hub.yaml."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hubwright.auth.oauth_section import OAuthSection

Domain = Annotated[str, Field(pattern=r"^[a-z0-9.-]{1,253}$")]


class Config(OAuthSection):
    """People log in with their Google account, of a domain or of any."""

    tells_groups: ClassVar[bool] = False
    kind: Literal["google"] = Field(default="google", description="Google accounts.")
    hosted_domain: tuple[Domain, ...] = Field(
        default=(),
        description="The domains of an organisation (Workspace) whose people are let in; without it, any account. "
        "With one, lists may name people without it.",
        examples=[["example.org"]],
    )

    @property
    def short_domain(self) -> str:
        """The domain without which lists may name people: the only one; "" for none."""
        return self.hosted_domain[0] if len(self.hosted_domain) == 1 else ""
