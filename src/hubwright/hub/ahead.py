"""JupyterLab's page for a browser that makes it ready before anybody opens it, and before there is a server.

The home page and the form name what their Start button will open (`pages/assets/ready.js`, by speculation rules:
https://developer.mozilla.org/docs/Web/API/Speculation_Rules_API). While somebody looks at one, the browser loads that
page and runs its scripts; `pages/assets/ahead.js` in it holds back every request until the page is shown, and until
the real page says that it is the same. So nothing is started for it, and it has no token: cookies stand in for that.
"""

from __future__ import annotations

import os
import pwd
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from jupyterhub.handlers.base import PrefixRedirectHandler

from hubwright.engines.local import marks
from hubwright.engines.local.spawner import ForkSpawner
from hubwright.fields import Site
from hubwright.hub.pages.assets import address
from hubwright.machine import site_file

COOKIE = "hubwright-ahead"
_NAME = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"
_PATH = r"[A-Za-z0-9_-][A-Za-z0-9_./-]*"
PATTERN = rf"user/({_NAME})/(?:({_NAME})/)?lab(?:/tree/({_PATH}))?"
"""Of the addresses that can be made ready: after the service's own; names and paths that nothing has to escape."""


@lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> str:
    return path.read_text()


def template(site: Site) -> str:
    """Return the page with its marks; empty where none was made."""
    try:
        return _read(site.page, site.page.stat().st_mtime_ns)
    except OSError:
        return ""


def fill(text: str, base_url: str, user: str, server: str, path: str, home: str) -> str:
    """Return the page of a user's server, opened on `path`; pure."""
    prefix = f"{base_url}user/{user}/{server}{'/' if server else ''}"
    script = f'<script src="{address(base_url)}ahead.js" data-prefix="{prefix}"></script>'
    for mark, value in (
        ("<head>", f"<head>{script}"),
        (marks.PREFIX, prefix),
        (marks.USER, user),
        (marks.SERVER, server),
        (marks.PATH, path),
        (marks.HOME, home),
    ):
        text = text.replace(mark, value)
    return text


def of(spawner: Any) -> str:
    """Return the address that a stopped server's Start button opens, where it can be made ready; else nothing."""
    if not isinstance(spawner, ForkSpawner):
        return ""
    site = _site()
    opened = spawner.default_url or "/lab"
    url: str = spawner.user.server_url(spawner.name).rstrip("/") + opened
    fits = re.fullmatch(re.escape(site.base_url) + PATTERN, url)
    return url if fits and opened.startswith("/lab") and template(site) else ""


def let_in(handler: Any) -> None:
    """Give the browser of who is logged in a cookie for what is made ready for him: the hub's own is not sent there."""
    user = handler.current_user
    path = f"{_site().base_url}user/{user.escaped_name}/"
    handler._set_cookie(COOKIE, user.name, path=path, samesite="Strict")


class AheadHandler(PrefixRedirectHandler):
    """`/user/NAME/lab` of a server that does not run."""

    def get(self, user: str, server: str | None = None, path: str | None = None) -> None:
        """Send the page to a browser of this user's that makes it ready; lead all others to the hub, as without us."""
        site = _site()
        wanted = "prerender" in self.request.headers.get("Sec-Purpose", "")
        own = wanted and self.get_secure_cookie(COOKIE, max_age_days=1) == user.encode()
        text = template(site) if own else ""
        if not text:
            super().get()
            return
        self.set_header("Cache-Control", "no-store")
        self.finish(fill(text, site.base_url, user, server or "", path or "", _home(site, user)))


def _home(site: Site, user: str) -> str:
    try:
        return pwd.getpwnam(user).pw_dir if site.privileged else str(Path.home())
    except KeyError:
        return ""  # whose account is made when the server starts; the page is then loaded again


@lru_cache(maxsize=1)
def _site() -> Site:
    return site_file.load(Path(os.environ["HUBWRIGHT_SITE"]))
