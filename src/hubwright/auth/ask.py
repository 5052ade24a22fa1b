"""Asking the account helper from the hub's loop, without blocking it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from hubwright.errors import NotRunning, Refused

_LIMIT = 256 * 1024


async def ask(helper: Path, request: dict[str, Any], timeout: float = 40) -> dict[str, Any]:
    """Send one request to the account helper and return its answer, `ok` or not.

    Raises:
        NotRunning: it does not answer within `timeout` seconds.
    """
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_unix_connection(str(helper), limit=_LIMIT)
            try:
                writer.write(json.dumps(request).encode() + b"\n")
                await writer.drain()
                answer = json.loads(await reader.readline())
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError) as error:
        raise NotRunning(
            "The account helper does not answer.", where=str(helper), remedy='See "hubwright status".'
        ) from error
    if not isinstance(answer, dict):
        raise NotRunning("The account helper does not answer in JSON.", where=str(helper))
    return answer


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
