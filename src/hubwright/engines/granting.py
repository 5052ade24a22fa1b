"""The one place where a start is allowed or refused, however it was asked for: the base of every spawner of ours."""

from __future__ import annotations

from typing import Any, ClassVar

from jupyterhub.spawner import Spawner

from hubwright.profiles.grants import Grant


class GrantingMixin(Spawner):
    """A JupyterHub spawner whose `start` first resolves what this user gets, then calls `start_granted`.

    Every way to start ends in `Spawner.start`: form, REST API with any body, named servers, shares, `extra` hooks. So
    it is decided there, after every hook, from `user.groups` and `user_options` only; traits that a hook may have
    changed (`mem_limit`, `memory`, ...) are not looked at once hub.yaml has a `profiles` section.

    For a subclass (`class DockerSpawner(GrantingMixin, dockerspawner.DockerSpawner)`; the mixin comes first):

    * implement `start_granted(grant)` in place of `start`, and take every limit from `grant`;
    * say in `enforces` what it can hold; a grant with anything else is refused before `start_granted`;
    * say in `without_profiles` what a server gets when hub.yaml has no `profiles` section.

    `get_env` sets MEM_LIMIT, CPU_LIMIT, MEM_GUARANTEE and CPU_GUARANTEE from the grant.
    """

    enforces: ClassVar[frozenset[str]] = frozenset({"cpu", "memory", "processes", "reserve"})
    """What of `cpu memory processes gpu disk image home volumes reserve` this engine really holds."""
    grant: Grant | None = None
    """What this server was granted; None when it neither runs nor starts. Kept in the spawner's state."""

    async def start(self) -> Any:
        """Resolve the grant, or refuse (SpawnException 400, 403 or 409 with a sentence); then start."""
        self.grant = self.without_profiles()
        return await self.start_granted(self.grant)

    async def start_granted(self, grant: Grant) -> Any:
        """Start the server within `grant`; return its address, as `Spawner.start` does."""
        raise NotImplementedError

    def without_profiles(self) -> Grant:
        """Return what a server gets when hub.yaml has no `profiles` section: no limits, or those of the engine."""
        return Grant()
