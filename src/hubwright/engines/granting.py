"""The one place where a start is allowed or refused, however it was asked for: the base of every spawner of ours."""

from __future__ import annotations

import asyncio
import json
import time
from abc import ABCMeta, abstractmethod
from dataclasses import replace
from datetime import UTC
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakSet

from jupyterhub.spawner import Spawner, SpawnException
from traitlets import Bool, Dict, Float, Int, default

from hubwright.engines.listening import answers
from hubwright.engines.telling import TellingMixin
from hubwright.machine import capacity, policy
from hubwright.profiles import resolve
from hubwright.profiles.config import Profiles
from hubwright.profiles.grants import Grant, Machine, NotGranted, Running
from hubwright.profiles.request import Request, options_from_form

FORM = "hubwright"
"""`options_form` of a spawner whose user has something to choose: the hub's start page shows it (`hub/pages`)."""
SERVER_SCOPES = ["users:activity!user"]
"""What the own token of a group's server may do: report that it is used."""
_LOOK_AGAIN = 1.0
"""Seconds after which a start that waits for room looks once more."""
_SETTLING = 30.0
"""Seconds that a server of an earlier hub has to answer, or to end, when it is first looked at."""


class _Meta(ABCMeta, type(Spawner)):  # type: ignore[misc]
    """The metaclass of spawners with methods that a kind must have: one without cannot be made."""


class GrantingMixin(TellingMixin, Spawner, metaclass=_Meta):
    """A JupyterHub spawner whose `start` first resolves what this user gets, then calls `start_granted`.

    Every way to start ends in `Spawner.start`: form, REST API with any body, named servers, shares, `extra` hooks. So
    it is decided there, after every hook, from the user's groups and `user_options` only; traits that a hook may have
    changed (`mem_limit`, `memory`, ...) are not looked at once hub.yaml has a `profiles` section. Deciding and taking
    hold of what was granted happen without giving the loop away, so two starts never see the same room as free.

    For a subclass (`class DockerSpawner(GrantingMixin, dockerspawner.DockerSpawner)`; the mixin comes first):

    * implement `start_granted(grant)` in place of `start`, and take every limit from `grant`; its deadline is
      `own_timeout`, since `start_timeout` holds the wait for room, too; what the machine cannot hold just now is
      `NotGranted` with status 409, and is asked for again where hub.yaml says `when_full: wait`;
    * implement `look` in place of `poll`, and say in `socket` where the server listens;
    * say with `tell` what the start waits for;
    * say in `enforces` what it can hold; a grant with anything else is refused before `start_granted`;
    * say in `without_profiles` what a server gets when hub.yaml has no `profiles` section.

    `get_env` sets MEM_LIMIT, CPU_LIMIT, MEM_GUARANTEE and CPU_GUARANTEE from the grant.
    """

    profiles = Dict(config=True, help="hub.yaml's `profiles` section; empty for none.")
    most_servers = Int(1, config=True, help="How many servers a user may run where `profiles` does not say it.")
    idle_after = Float(0, config=True, help="Seconds after which an idle server is stopped; 0 for never.")
    unix_groups = Bool(False, config=True, help="Whether the Unix groups of a user count as those of the hub do.")
    teams = Dict(config=True, help="The groups that have servers of their own, by the accounts of these.")
    room_timeout = Float(0, config=True, help="Seconds a start waits for room before it is refused.")

    enforces: ClassVar[frozenset[str]] = frozenset({"processes", "reserve"})
    """What of `processes gpus disk reserve` this engine really holds, besides processors and memory; and `images`,
    where servers are made from one."""
    grant: Grant | None = None
    """What this server was granted; None when it neither runs nor starts. Kept in the spawner's state."""
    choice: dict[str, Any] | None = None
    """The `user_options` that were last granted. Kept in the spawner's state, also while it is stopped."""
    user_options: Any
    """JupyterHub's: what was asked for, of whatever shape."""
    _unix: frozenset[str] = frozenset()
    """The user's Unix groups, where they count, as of the last look."""
    _restored = False
    """Whether an earlier hub started this server, and nobody has looked at it since."""
    _was_of: str | None = None
    """The group whose own server it was when an earlier hub started it, "" for a person's; None: this hub did."""
    _holding: ClassVar[WeakSet[GrantingMixin]] = WeakSet()
    """Every spawner of this hub that has had a grant."""

    # Starting

    async def start(self) -> Any:
        """Resolve the grant, or refuse (SpawnException 400, 403 or 409 with a sentence); then start.

        With `room_timeout` a start whose reserve does not fit now waits so long.
        """
        deadline = time.monotonic() + self.room_timeout
        before = self.choice
        self._was_of = None
        await self.learn_groups()
        while True:
            try:
                self.grant = self.decide(self.user_options)
                self._holding.add(self)
                self.choice = json.loads(json.dumps(self.user_options or {})) if self.profiles else None
                return await self.start_granted(self.grant)
            except NotGranted as refusal:
                self._give_back()
                self.choice = before
                if not refusal.may_wait or time.monotonic() >= deadline:
                    self._forget_options()
                    raise SpawnException(str(refusal), reason="not-granted", status_code=refusal.status) from refusal
                self.tell(3, str(refusal))
            await asyncio.sleep(_LOOK_AGAIN)

    @abstractmethod
    async def start_granted(self, grant: Grant) -> Any:
        """Start the server within `grant`; return its address, as `Spawner.start` does."""

    async def stop(self, now: bool = False) -> None:
        """Stop the server, as the class beside this one does it."""
        await super().stop(now)

    async def poll(self) -> int | None:
        """Return None while the server runs, its exit code after.

        A group's own server is ended when hub.yaml names it no more, and one that was a person's when a group has it.
        One of an earlier hub may be ending just now: then JupyterHub would wait for its answer as long as for one that
        is frozen. So the first look waits until it answers or has ended, for half a minute at most.
        """
        code = await self.look()
        if code is None and self._was_of not in (None, self.team or ""):
            self.log.warning("%s is another's by hub.yaml now: the server ends", self.user.name)
            await self.stop()
            code = 0
        deadline = time.monotonic() + _SETTLING
        while self._restored and self.server and code is None and time.monotonic() < deadline:
            self._restored = not await answers(self.socket, f"{self.server.base_url}api", 2.0)
            await asyncio.sleep(0.2 if self._restored else 0)
            code = await self.look()
        self._restored = False
        return code

    @abstractmethod
    async def look(self) -> int | None:
        """Return None while the server runs, its exit code after."""

    @property
    @abstractmethod
    def socket(self) -> Path:
        """Where the server listens."""

    def without_profiles(self) -> Grant:
        """Return what a server gets when hub.yaml has no `profiles` section: no limits, or those of the engine."""
        return Grant()

    @property
    def own_timeout(self) -> float:
        """Seconds that `start_granted` has."""
        return float(max(1.0, self.start_timeout - self.room_timeout))

    # What can be had

    @property
    def team(self) -> str | None:
        """The group whose own server this is; None for a person's."""
        found: str | None = self.teams.get(self.user.name)
        return found

    @property
    def section(self) -> Profiles | None:
        """The `profiles` section; None for none."""
        return _parsed(json.dumps(self.profiles)) if self.profiles else None

    async def learn_groups(self) -> None:
        """Look at the user's Unix groups, where they count; the machine may have to ask a directory for them."""
        if self.unix_groups and self.profiles:
            self._unix = await asyncio.to_thread(_groups_of, self.user.name)

    def entitlement(self) -> resolve.Entitlement | None:
        """Return what the user may have, by hub.yaml and his groups; None without `profiles`.

        Raises:
            NotGranted: hub.yaml gives him nothing.
        """
        if (section := self.section) is None:
            return None
        groups = {*self._unix, *(group.name for group in self.user.groups)} | {*filter(None, [self.team])}
        allowed = resolve.entitlement(section, self.user.name, groups, self.most_servers)
        return allowed if "images" in self.enforces else replace(allowed, images={})

    def machine(self) -> Machine:
        """Return what there is to be granted."""
        section = self.section or Profiles.model_construct()
        return resolve.machine(section, capacity.processors(), capacity.memory(), self.gpus())

    def gpus(self) -> tuple[str, ...]:
        """Return the GPUs that servers may have; none, unless an engine says otherwise."""
        return ()

    def others(self, server: str | None = None) -> list[Running]:
        """Return every server of this hub that holds a grant: one that runs, or is being started or stopped.

        Args:
            server: the name of the user's server that is left out; this one by default.
        """
        mine = (self.user.name, self.name if server is None else server)
        return [
            Running(one.user.name, one.name, one.grant, one._ends())
            for one in list(self._holding)
            if one.grant is not None and (one.user.name, one.name) != mine
        ]

    def decide(self, options: Any, server: str | None = None) -> Grant:
        """Return what a start with these `user_options` gets now; changes nothing, and never gives the loop away.

        Raises:
            NotGranted: it may not be, or cannot be now.
        """
        if self.team and (self.name if server is None else server):
            raise NotGranted("A group has one server of its own.", remedy="Open that one.", status=403)
        if (allowed := self.entitlement()) is None:
            return self.without_profiles()
        request = Request.parse(options)
        if request.image is not None and "images" not in self.enforces:
            what = "An image cannot be asked for: servers of this hub are no containers, and all have the same."
            raise NotGranted(what, remedy="Leave the image out.", status=400)
        granted = resolve.grant(allowed, request, self.others(server), self.machine())
        for name in ("gpus", "disk", "processes", "reserve"):
            if getattr(granted, name) and name not in self.enforces:
                words = {"gpus": "hand out GPUs", "disk": "limit the disk of a server", "processes": "count processes"}
                what = f"Servers of this engine cannot {words.get(name, 'have a reserve')}, which the request needs."
                raise NotGranted(what, remedy="Choose something else, or have an admin look at `profiles`.", status=403)
        return granted

    def _forget_options(self) -> None:
        """Take the refused options out of the database, where JupyterHub has put them for the next start.

        What was granted last stays; when that is what was refused, the next start is by what is preselected.
        """
        kept = self.choice if self.choice and self.choice != self.user_options else {}
        self.user_options = self.orm_spawner.user_options = kept

    def _ends(self) -> float | None:
        """Return in how many seconds it is stopped if nobody uses it."""
        seen = self.orm_spawner.last_activity
        held = self.grant and (self.grant.reserve or self.grant.gpus)
        if not self.idle_after or not held or seen is None:
            return None
        return float(max(0.0, seen.replace(tzinfo=UTC).timestamp() + self.idle_after - time.time()))

    def _give_back(self) -> None:
        self.grant = None
        self._holding.discard(self)

    # JupyterHub's

    @default("options_form")
    def _options_form(self) -> Any:
        return _form if self.profiles else ""

    @default("server_token_scopes")
    def _server_token_scopes(self) -> list[str]:
        """Let a group's own server report what it does; JupyterHub's default would let in whoever has copied its token.

        Everybody of the group can read that, also who is in it no more later on.
        """
        return SERVER_SCOPES if self.team else []

    @default("options_from_form")
    def _options_from_form(self) -> Any:
        return options_from_form if self.profiles else self._passthrough_options_from_form

    @default("apply_user_options")
    def _apply_user_options(self) -> Any:
        """Say that they are handled, in `start`."""
        return _nothing_to_apply if self.profiles else None

    def get_env(self) -> dict[str, str]:
        """Return the hub's variables, and what the server may take, for jupyter-resource-usage and the like."""
        env: dict[str, str] = super().get_env()
        if grant := self.grant:
            limits = {"MEM_LIMIT": grant.memory, "CPU_LIMIT": grant.cpu}
            limits |= {"MEM_GUARANTEE": grant.reserve.memory or None, "CPU_GUARANTEE": grant.reserve.cpu or None}
            for name in limits:
                env.pop(name, None)
            env |= {
                name: (f"{value:g}" if isinstance(value, float) else str(value))
                for name, value in limits.items()
                if value
            }
        return env

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what an earlier hub granted a server that runs, and the user's last choice."""
        super().load_state(state)
        self.choice = state.get("choice")
        self._was_of = str(state.get("team") or "")
        if state.get("grant") and self.server is not None:
            self.grant = Grant.from_json(state["grant"])
            self._holding.add(self)
            self._restored = True

    def get_state(self) -> dict[str, Any]:
        """Return what a later hub needs: the grant while the server runs, the user's last choice always."""
        state: dict[str, Any] = super().get_state()
        if self.grant:
            state["grant"] = self.grant.to_json()
        if self.team:
            state["team"] = self.team
        if self.choice is not None:
            state["choice"] = self.choice
        return state

    def clear_state(self) -> None:
        """Give back what was granted; the last choice stays."""
        super().clear_state()
        self._give_back()


def _nothing_to_apply(spawner: Any, user_options: Any) -> None:
    """Stand where JupyterHub would warn of options that nobody looks at."""


def _groups_of(name: str) -> frozenset[str]:
    account = policy.find_account(name)
    return frozenset(policy.group_names(account) if account else ())


async def _form(spawner: GrantingMixin) -> str:
    """Return `FORM` when there is something to choose; else nothing, so that a start begins at once, or is refused."""
    await spawner.learn_groups()
    try:
        allowed = spawner.entitlement()
    except NotGranted:
        return ""
    return FORM if allowed and (len(allowed.sizes) > 1 or len(allowed.images) > 1 or allowed.reserve) else ""


@lru_cache(maxsize=4)
def _parsed(text: str) -> Profiles:
    return Profiles.model_validate_json(text)
