"""The login page of several ways: a form for each that takes a password, a button for each that sends elsewhere."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jupyterhub.handlers import LoginHandler

_TEMPLATE = Path(__file__).parent / "templates" / "ways.html"


class ChoiceHandler(LoginHandler):
    """`/login`: shows all ways; each takes what is typed at an address of its own."""

    async def post(self) -> None:
        """Show the page again: this address takes nothing."""
        self.set_status(400)
        self.finish(await self._render(login_error="Choose how to sign in."))


def form_of(name: str, label: str, way: Any) -> dict[str, Any]:
    """Return what the page shows of a way."""
    return {"name": name, "label": label, "form": not hasattr(way, "callback_handler"), "links": hasattr(way, "store")}


def page(base_url: str, ways: list[dict[str, Any]]) -> str:
    """Return the page's part, as a template that JupyterHub fills in."""
    base, shown = (json.dumps(one, ensure_ascii=False) for one in (base_url, ways))  # Jinja reads what JSON writes
    return f"{{% set base = {base} %}}{{% set ways = {shown} %}}{_text()}"


@cache
def _text() -> str:
    return _TEMPLATE.read_text()
