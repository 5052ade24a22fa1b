"""What teachers may do, as roles and scopes of JupyterHub; pure.

The role of a class has, for everybody in it, what JupyterHub asks of who lists users and starts and stops servers, so
that its own API serves a teacher, too; and a scope of ours for the class itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hubwright.classes.config import Class

SCOPE = "custom:hubwright:classes"
"""To look after a class: `!group=` is the name that the class has in hub.yaml."""
CUSTOM = {SCOPE: {"description": "Look after a class: see who is here and whose server runs, and write to it."}}
"""As JupyterHub's `custom_scopes` has it."""
_OF_EACH = ("list:users", "read:users:activity", "servers")
_ALL = "admin:servers"


def role_name(name: str) -> str:
    """Return how the role of a class's teachers is called."""
    return f"class-{name}-teachers"


def role(name: str, section: Class, more: Iterable[str] = ()) -> dict[str, Any]:
    """Return the role of a class's teachers as `load_roles` has it, without those who have it.

    Args:
        more: who else is in the class than the hub's groups and hub.yaml say, such as members of Unix groups.
    """
    whom = [f"group={group}" for group in section.groups]
    whom += [f"user={user}" for user in sorted({*section.users, *more})]
    scopes = [f"{SCOPE}!group={name}", *(f"{scope}!{one}" for one in whom for scope in _OF_EACH)]
    return {"name": role_name(name), "description": f"Teach {section.title or name}", "scopes": scopes}


def looks_after(has: Callable[[str], bool], name: str) -> bool:
    """Whether somebody, or his token, may look after a class: `has` says whether he has a scope."""
    return has(f"{SCOPE}!group={name}") or has(_ALL)
