"""Ways to log in, a folder each."""

from __future__ import annotations

from hubwright.kinds import Family

KINDS = {
    "first_use": "hubwright.auth.first_use",
    "github": "hubwright.auth.github",
    "google": "hubwright.auth.google",
    "ldap": "hubwright.auth.ldap",
    "oidc": "hubwright.auth.oidc",
    "pam": "hubwright.auth.pam",
}
FAMILY = Family(section="auth", kinds=KINDS, default="first_use", group="hubwright.auth")
