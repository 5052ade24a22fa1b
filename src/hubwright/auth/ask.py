"""Asking the account helper from the hub's loop, without blocking it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hubwright.errors import NotRunning, Refused
from hubwright.machine import async_wire


async def ask(helper: Path, request: dict[str, Any], timeout: float = 40) -> dict[str, Any]:
    """Send one request to the account helper and return its answer, `ok` or not.

    Raises:
        NotRunning: it does not answer within `timeout` seconds.
    """
    try:
        return await async_wire.ask(helper, request, timeout)
    except NotRunning as error:
        raise NotRunning(
            "The account helper does not answer.", where=str(helper), remedy='See "hubwright status".'
        ) from error


async def ensure_account(helper: Path, name: str) -> None:
    """Have the Unix account `name` made when it is missing.

    Raises:
        Refused: the helper says no, with its words.
        NotRunning: it does not answer.
    """
    await _demand(helper, {"op": "ensure", "user": name})


async def end_membership(helper: Path, name: str) -> None:
    """Have the account `name`, if there is one, taken out of the service's group; account and home stay.

    Raises:
        Refused: the helper says no, with its words.
        NotRunning: it does not answer.
    """
    await _demand(helper, {"op": "leave", "user": name})


async def _demand(helper: Path, request: dict[str, Any]) -> None:
    answer = await ask(helper, request)
    if not answer.get("ok"):
        raise Refused(str(answer.get("error", "refused")), remedy=str(answer.get("remedy", "")))
