"""Ways to log in, a folder each."""

from __future__ import annotations

from hubwright.kinds import Family

SINGLE = {
    "first_use": "hubwright.auth.first_use",
    "github": "hubwright.auth.github",
    "google": "hubwright.auth.google",
    "ldap": "hubwright.auth.ldap",
    "oidc": "hubwright.auth.oidc",
    "pam": "hubwright.auth.pam",
}
FAMILY = Family(
    section="auth",
    kinds={**SINGLE, "many": "hubwright.auth.many"},
    default="first_use",
    group="hubwright.auth",
)
WAYS = Family(section="auth.ways", kinds=SINGLE, default="", group="")
"""What may stand in `auth.ways`; only ours, since they must let others decide who is whom."""
