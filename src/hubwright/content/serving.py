"""What the account helper answers about contents: in a child of root's that becomes the home's owner. Standard library.

{"op": "content", "user": NAME, "due": true}                            what this home has not had yet is handed out
{"op": "content", "user": NAME, "dry": true}                            what would be
{"op": "content", "user": NAME, "content": NAME, "asked": [PATH, ...]}  these originals are brought again
"""

from __future__ import annotations

import pwd
from pathlib import Path
from typing import Any

from hubwright.content import who
from hubwright.content.hand import carry_out
from hubwright.content.naming import is_plain
from hubwright.errors import Refused, perhaps
from hubwright.machine import becoming

_TOLD = 300
"""Steps of a content that are told one by one."""


def answer(entry: pwd.struct_passwd, request: dict[str, Any], run: Path, state: Path) -> dict[str, Any]:
    """Do what a request asks for; from here on this process is the account's own.

    Raises:
        Refused: the request is none, or the content is not for this person.
    """
    person, contents = chosen(entry, request, run)
    asked = check_asked(request.get("asked", []))
    dry, due = (request.get(key) is True for key in ("dry", "due"))
    with who.order(person, contents, state, asked=asked, dry=dry, due=due) as order:
        try:
            becoming.become(*order.account)
        except becoming.Root as error:
            raise Refused(f"{entry.pw_name}: {error}.") from error
        return told(carry_out(order), contents)


def chosen(entry: pwd.struct_passwd, request: dict[str, Any], run: Path) -> tuple[who.Recipient, dict[str, str]]:
    """Return who it is about, and name and target of the contents that are meant: the one that is named, or all."""
    rules = who.read(run / who.FILE)
    person = who.Recipient.of(entry, rules)
    contents = who.contents_of(person, rules)
    name = request.get("content")
    if name is None and request.get("asked"):
        raise Refused("The request does not say of which content.")
    if name is not None and (not isinstance(name, str) or name not in contents):
        raise Refused(f'There is no content "{name}" for this person.', remedy=perhaps(str(name), list(contents)))
    return person, contents if name is None else {name: contents[name]}


def told(found: list[dict[str, Any]], contents: dict[str, str]) -> dict[str, Any]:
    """Return what became of it as it is answered."""
    return {
        "ok": True,
        "contents": [{**one, "steps": one["steps"][:_TOLD], "target": contents[one["name"]]} for one in found],
    }


def check_asked(asked: object) -> list[str]:
    """Return paths that somebody asks for; `Refused` when they are none."""
    if not isinstance(asked, list) or not all(isinstance(one, str) and (not one or is_plain(one)) for one in asked):
        raise Refused("What is asked for is no list of paths.")
    return asked
