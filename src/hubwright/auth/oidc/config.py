"""`auth: {kind: oidc}` in hub.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hubwright.auth.oauth_section import Issuer, OAuthSection

Claim = Annotated[str, Field(pattern=r"^[A-Za-z0-9_:/.-]{1,120}$")]
Scope = Annotated[str, Field(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]{1,200}$")]


class Config(OAuthSection):
    """People log in at a provider of OpenID Connect (Keycloak, Entra ID, Authentik, an identity service)."""

    kind: Literal["oidc"] = Field(default="oidc", description="A provider of OpenID Connect.")
    issuer: Issuer = Field(
        description="The provider's address, below which `/.well-known/openid-configuration` tells the rest.",
        examples=["https://login.example.org/realms/lab"],
    )
    scopes: tuple[Scope, ...] = Field(
        default=("openid", "profile", "email"), description="What the provider is asked to tell of a person."
    )
    name: Claim = Field(
        default="preferred_username",
        description="The claim that is a person's name; with `email` only verified addresses are let in.",
    )
    groups: Claim = Field(
        default="groups", description="The claim that holds the groups; dots lead deeper, as in `realm_access.roles`."
    )
    domain: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9.-]{1,253}$",
        description="The domain whose addresses lists may name without it.",
        examples=["example.org"],
    )
    ca: str | None = Field(
        default=None, min_length=1, description="A file with the certificates (PEM) of a CA of your own."
    )
