"""Ending what a person's browsers hold: the hub's cookie, and what servers and services were given for it."""

from __future__ import annotations

from typing import Any

from jupyterhub import orm

_BY_HAND = "jupyterhub"
"""The OAuth client of tokens that were asked for as such, and of a server's own; browsers' are for other clients."""


def end_sessions(db: Any, user: Any) -> None:
    """Log a person out in every browser; tokens of programs, and running servers, stay.

    JupyterHub itself only takes the cookies from the browser that logs out: a copy would hold for two weeks.
    """
    user.orm_user.cookie_id = orm.new_token()
    for token in list(user.api_tokens):
        if token.client_id != _BY_HAND:
            db.delete(token)
    end_codes(db, user)
    db.commit()


def end_codes(db: Any, user: Any) -> None:
    """Take back the codes of logins at servers and services that are only half done: each would become a token."""
    for code in list(user.orm_user.oauth_codes):
        db.delete(code)
