"""What is not there yet of the servers that groups have of their own: an account and a home each, and the packages."""

from __future__ import annotations

import pwd
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from hubwright.auth.ways import is_outside, listed, roster_groups
from hubwright.care.people.step import Step
from hubwright.config.load import Loaded
from hubwright.engines import FAMILY as ENGINES
from hubwright.engines import hosted
from hubwright.engines.local import collaboration
from hubwright.errors import MachineError, Problem
from hubwright.fields import Site
from hubwright.machine.policy import Policy, find_account, group_names, may_serve
from hubwright.people import accounts, homes
from hubwright.people.config import SharedFolder
from hubwright.people.ids import Ids
from hubwright.people.roster import Person


def steps(loaded: Loaded, site: Site, rule: Policy, ids: Ids) -> Iterator[Step]:
    """Yield what is to be done.

    Raises:
        HubwrightError: an account or a home of that name is somebody's.
    """
    teams = loaded.hub.people.teams
    for account, one in teams.items():
        entry = find_account(account)
        if entry is None:
            text = f"a new account, for the server of the group {one.group}"
            yield Step("account", "add", account, text, partial(_make, account, one, ids))
        elif trouble := may_serve(rule, entry, group_names(entry)):
            raise trouble
        if entry is None or homes.missing(Path(entry.pw_dir), entry.pw_uid):
            text = f"a new home, /home/{account}, for what its notebooks keep beside the shared folder"
            yield Step("home", "add", account, text, partial(_make_home, account))
    of_image = hosted(loaded.hub.engine) is not None
    if teams and not of_image and not collaboration.is_installed(site.prefix):
        text = "installed, for servers of groups"
        install = partial(collaboration.install, site.prefix)
        yield Step("packages", "add", "jupyter-collaboration", text, install)


def check(loaded: Loaded, site: Site, people: tuple[Person, ...]) -> Iterator[Problem]:
    """Yield what keeps groups from having servers of their own, and who cannot come since he has such a server's name.

    Args:
        loaded: hub.yaml.
        site: where the service keeps its things.
        people: the roster's.
    """
    teams = loaded.hub.people.teams
    if not teams:
        return
    number = next(number for number, one in enumerate(loaded.hub.people.shared) if one.team)
    where = loaded.where(("people", "shared", number, "collaboration"))
    found = getattr(ENGINES.of(loaded.hub.engine), "check_collaboration", None)
    if found is None:
        what = f"is not for `kind: {loaded.hub.engine.kind}`, which has no servers of groups."
        yield Problem(where, what, "Leave it out, or use `engine: {kind: local}`.")
        return
    way = listed(loaded.hub.auth)
    if is_outside(way) and not way.tells_groups and not roster_groups(loaded.hub.auth):
        what = (
            f"is for who is in the group, and `kind: {way.kind}` tells no groups to a hub with several ways to log in."
        )
        yield Problem(where, what, "Leave it out, have this way alone, or name another as `auth.listed`.")
    for problem in found(loaded.hub.engine, loaded.hub.profiles, site):
        yield Problem(where, problem.what, problem.remedy, problem.severity)
    for account in teams if site.privileged else ():
        if find_account(account) is None:
            what = f"has no account {account} yet: the group's server does not start."
            yield Problem(where, what, '"hubwright apply" makes it.', "warning")
    for name in {*loaded.hub.hub.admins, *(person.name for person in people)} & teams.keys():
        yield Problem(where, f"has an account {name}, which is somebody's name.", "Name the group otherwise.")


def _make(account: str, one: SharedFolder, ids: Ids) -> str:
    if one.group is None:
        raise MachineError("A server of everybody has no group.", where=account)
    uid = ids.give("users", account, account)
    accounts.make_numbered(account, uid, team=one.group)
    return f"number {uid}"


def _make_home(account: str) -> str:
    homes.make(pwd.getpwnam(account))
    return ""
