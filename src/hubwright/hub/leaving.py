"""Logging out, of whatever way to log in: everywhere, so that a copied cookie is worth nothing any more."""

from __future__ import annotations

from typing import Any

from jupyterhub.handlers import LogoutHandler

from hubwright.auth.sessions import end_sessions
from hubwright.hub.handlers import Handler


class _Everywhere(LogoutHandler):
    """To be put before an authenticator's own handler."""

    async def default_handle_logout(self) -> None:
        """Take this browser's cookies, and make all copies of them void."""
        user = self.current_user
        await super().default_handle_logout()
        if user:
            end_sessions(self.db, user)


def everywhere(handler: Handler) -> Handler:
    """Return a handler as it is, or when it logs out, one that does it in every browser of the person."""
    pattern, kind, *more = handler
    if not (isinstance(kind, type) and issubclass(kind, LogoutHandler)):
        return handler
    named: dict[str, Any] = {"__module__": __name__, "__doc__": kind.__doc__}
    return (pattern, type(kind.__name__, (_Everywhere, kind), named), *more)
