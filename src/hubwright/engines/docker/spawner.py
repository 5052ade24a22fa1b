"""The hub's side of the Docker engine: dockerspawner, with containers, calls and states of our own making."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import dockerspawner
from jupyterhub.spawner import SpawnException
from traitlets import Dict, Float, Unicode, default

from hubwright.engines.docker import (
    cap,
    container,
    daemon,
    disk,
    enter,
    environments,
    gpus,
    images,
    sources,
    user,
    watching,
)
from hubwright.engines.docker.config import Config
from hubwright.engines.docker.diagnosis import hub_reached, in_words
from hubwright.engines.docker.place import Place, hub_folder
from hubwright.engines.granting import GrantingMixin
from hubwright.errors import HubwrightError, NotRunning, Refused
from hubwright.fields import Site, format_bytes, instance_of, server_key, unix_url
from hubwright.machine import capacity, site_file
from hubwright.profiles.config import Amount
from hubwright.profiles.grants import Grant, NotGranted

_LOOK = 0.02
"""Seconds between two looks whether the server listens."""
_ASK = 0.5
"""Seconds between two questions whether the container still runs."""
_DOUBT = 12.0
"""Seconds after which a server that is silent is asked whether it reaches the hub."""
_STUBBORN = 90.0
"""Seconds for which a daemon that does not answer is asked again to stop a server."""
_Found = TypeVar("_Found")


class ContainerSpawner(GrantingMixin, dockerspawner.DockerSpawner):
    """Starts each server in a container as its Unix user; no call of one user waits for another's."""

    enforces: ClassVar[frozenset[str]] = frozenset({"processes", "gpus", "disk", "reserve", "images"})
    engine = Dict(config=True, help="The engine section of hub.yaml, as JSON.")
    stop_grace = Float(10, config=True, help="Seconds a server has to end by itself before it is ended.")
    site_path = Unicode(config=True, help="The site.json of this service; $HUBWRIGHT_SITE by default.")

    @property
    def site(self) -> Site:
        """Where the service keeps its things."""
        return site_file.load(Path(self.site_path or os.environ["HUBWRIGHT_SITE"]))

    @property
    def settings(self) -> Config:
        """The engine section of hub.yaml."""
        return Config.model_validate(self.engine)

    @property
    def key(self) -> str:
        """The server's name in paths."""
        return server_key(self.user.name, self.name)

    @property
    def socket(self) -> Path:
        """Where the server listens."""
        return Place.of(self.site, self.key).socket

    @property
    def client(self) -> Any:
        """This thread's client; dockerspawner has one for all threads."""
        return daemon.client(self.settings.socket, daemon.PATIENT)

    @property
    def executor(self) -> Any:
        """Threads enough for all; dockerspawner has one."""
        return daemon.pool()

    @default("object_name")
    def _object_name_default(self) -> str:
        return container.name_of(instance_of(self.site.state), self.key)

    def docker(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of Docker's client in a thread; errors are ours (see `daemon.ask`)."""
        return self._run(daemon.ask, self.settings.socket, method, *args, **kwargs)

    async def get_object(self) -> dict[str, Any] | None:
        """Return what Docker says of the container, None when it has none of its name."""
        try:
            found: dict[str, Any] = await self.docker("inspect_container", self.object_name)
        except daemon.Missing:
            self.object_id = ""
            return None
        self.object_id = found["Id"]
        return found

    def without_profiles(self) -> Grant:
        """Return the engine's own limits."""
        settings = self.settings
        return Grant(cpu=settings.cpu, memory=settings.memory, processes=settings.processes)

    def gpus(self) -> tuple[str, ...]:
        """Return the GPUs of hub.yaml's `engine`, else those of this machine."""
        return self.settings.may_have()

    def get_env(self) -> dict[str, str]:
        """Return the hub's variables; the port is the one that lets a server listen on a Unix socket instead."""
        env: dict[str, str] = super().get_env()
        env["JUPYTERHUB_SERVICE_URL"] = f"http://127.0.0.1:8888{env['JUPYTERHUB_SERVICE_PREFIX']}"
        env["HUBWRIGHT_SERVER"] = self.key
        return env

    def get_args(self) -> list[str]:
        """Return the server's settings."""
        ours = [f"--ServerApp.sock={container.SOCKET}", "--ServerApp.sock_mode=0666"]
        return [*ours, *super().get_args()]

    async def start_granted(self, grant: Grant) -> str:
        """Start the server; return its address once it listens.

        Raises:
            NotGranted: a container that the hub does not know has the GPU.
            SpawnException: with the reason in words, for the user's page and for the API.
        """
        self.tell(5, "Looking at your account.")
        try:
            return await self._start(grant)
        except NotGranted:
            raise
        except HubwrightError as error:
            status = 403 if isinstance(error, Refused) else 503 if isinstance(error, NotRunning) else 500
            raise SpawnException(in_words(error), reason="refused", status_code=status) from error

    async def _start(self, grant: Grant) -> str:
        settings, site = self.settings, self.site
        home = grant.home or (settings.home or "").replace("{username}", self.user.name)
        person = await self._run(user.find, site, self.user.name, home)
        # what both sections name, the profile decides
        named = container.mounts_of([*settings.volumes, *grant.volumes], person.name)
        volumes = await self._run(sources.settled, named, site)
        if person.shared:
            volumes = (*(one for one in volumes if one.target != person.shared.target), person.shared)
        await self._run(gpus.check_free, settings.socket, instance_of(site.state), self.object_name, grant.gpus)
        if grant.disk and (why := await self._run(disk.missing, settings.socket)):
            what = f"A server of this size cannot be started: {why}."
            raise Refused(what, remedy="Choose another size; an administrator can change hub.yaml or the storage.")
        self.image = grant.image_ref or settings.image
        image = await self._image(settings, site)
        self.tell(50, "Making your container.")
        begun = time.monotonic()
        if await self.get_object():
            await self._remove()
        place = Place.of(site, self.key)
        above = cap.parent(instance_of(site.state), await self._run(cap.driver, settings.socket))
        passwd, group = user.passwd_file(person, image.passwd, image.shell), user.group_file(person, image.group)
        seen = await self._environments(settings, site, image)
        kernels = environments.kernels(seen, site, (person.gid, *person.others))
        await self._run(place.make, passwd, group, list(kernels))
        wanted = self._container(grant, settings, person, volumes, image, place, above, seen)
        made = await self.docker("create_container_from_config", wanted.as_api(), wanted.name, patience=daemon.PATIENT)
        self.object_id = made["Id"]
        self.tell(60, f"Starting your container{_size(grant)}.")
        await self._run(start, settings.socket, self.object_id, wanted)
        await self._run(place.record, self.user.name, self.name, self.object_id, wanted.parent)
        self.tell(75, "Waiting for the server in it.")
        await self._until_up(place, person.uid, begun + settings.start_timeout)
        if person.shared and not place.has(enter.TOGETHER):
            await self._fail(f"The image {self.image} holds no server for groups: it is not Hubwright's own, or older.")
        self.tell(95, "It answers.")
        return unix_url(place.socket, "", 80)

    async def _image(self, settings: Config, site: Site) -> images.Image:
        """Return the image, fetched first where it has to be."""
        name, socket = self.image, settings.socket
        found = await self._run(images.find, socket, name)
        if found is None:
            if settings.pull == "never":
                raise images.missing(name)
            loop = asyncio.get_running_loop()

            def tell(percent: int) -> None:
                words = f"Pulling the image {name}: {percent} %."
                loop.call_soon_threadsafe(self.tell, 10 + percent * 3 // 10, words)

            await self._run(images.pull, socket, name, tell, settings.pull_timeout)
            found = await self._run(images.find, socket, name)
            if found is None:
                raise images.missing(name)
        shared = await self._run(sources.settled, container.mounts_of_all(settings.volumes), site)
        self.tell(45, f"Looking into the image {name}.")
        return await self._run(images.look_into, socket, name, found, site.run / "images", shared)

    async def _environments(self, settings: Config, site: Site, image: images.Image) -> environments.Seen:
        """Return what the container sees of the shared environments; untried ones, rather than no server."""
        try:
            return await self._run(environments.see, settings, image.id, site, site.run / "images")
        except HubwrightError as error:
            self.log.warning("%s starts with environments that could not be tried: %s", self._log_name, error)
            return await self._run(environments.untried, site)

    def _container(
        self,
        grant: Grant,
        settings: Config,
        person: user.Person,
        volumes: tuple[container.Mount, ...],
        image: images.Image,
        place: Place,
        above: str,
        seen: environments.Seen,
    ) -> container.Container:
        site = self.site
        instance = instance_of(site.state)
        handed = gpus.handed(grant.gpus)
        whole = cap.most(settings.cap, self.section) if site.privileged else Amount()
        env = self.get_env()
        env = {
            **env,
            **environments.variables(seen, site, env.get("JUPYTER_PATH", image.jupyter_path)),
            "HOME": person.home,
            "USER": person.name,
            "LOGNAME": person.name,
            "SHELL": image.shell,
            **({enter.SHARED: person.shared.target} if person.shared else {}),
            "JUPYTER_RUNTIME_DIR": "/tmp/jupyter-runtime",  # noqa: S108 (the container's; a home may be on NFS)
        }
        return container.Container(
            instance=instance,
            key=self.key,
            user=person.name,
            server=self.name,
            image=self.image,
            command=(*settings.command, *self.get_args()),
            uid=person.uid,
            gid=person.gid,
            home=person.home,
            groups=tuple(dict.fromkeys((*person.others, *handed.groups))),
            env=env,
            mounts=(
                container.Mount(person.source, person.home, True),
                *volumes,
                *environments.beside(volumes, seen.mounts),
                container.Mount(str(place.jupyter), environments.KERNELS),
                container.Mount(str(place.inside), container.PLACE, True),
                container.Mount(str(hub_folder(site)), str(site.api_socket.parent)),
                container.Mount(str(place.root / "passwd"), "/etc/passwd"),
                container.Mount(str(place.root / "group"), "/etc/group"),
            ),
            network=settings.network or container.network_of(instance),
            memory=grant.memory,
            # control groups of version 1 refuse more processors than the group above has
            cpu=min(grant.cpu, whole.cpu) if grant.cpu and whole.cpu else grant.cpu,
            processes=grant.processes or settings.processes,
            disk=grant.disk,
            reserved_memory=grant.reserve.memory or None,
            reserved_cpu=grant.reserve.cpu or None,
            gpus=handed.ids,
            devices=handed.nodes,
            oom_score=container.oom_score(grant.reserve.memory, whole.memory or capacity.memory()),
            capabilities=settings.capabilities,
            parent=above,
        )

    async def _until_up(self, place: Place, uid: int, deadline: float) -> None:
        """Wait until the server listens; one that ends, or cannot reach the hub, is told at once."""
        begun = asked = time.monotonic()
        doubted = False
        while not place.take(uid):
            now = time.monotonic()
            if now - asked >= _ASK:
                asked = now
                found = await self._state()
                if found and not found["Running"]:
                    await self._fail(f"The server in the container ended while it started{_exit(found)}.")
            if now - begun >= _DOUBT and not doubted:
                doubted = True
                if why := await self._run(hub_reached, self.settings.socket, self.object_id, self.site):
                    await self._fail(why)
            if now >= deadline:
                await self._fail(
                    f"The server in the container was not ready after {self.settings.start_timeout:g} seconds."
                )
            await asyncio.sleep(_LOOK)

    async def _fail(self, why: str) -> None:
        """Raise with what the container said last; it is removed."""
        try:
            said: bytes = await self.docker("logs", self.object_id, tail=12)
        except HubwrightError:
            said = b""
        await self._remove()
        text = said.decode(errors="replace").strip()
        words = f"{why} Its log ends:\n{text}" if text else f"{why} It left no log."
        raise SpawnException(words, reason="ended", status_code=500)

    async def _state(self) -> dict[str, Any] | None:
        """Return the container's state; None while Docker does not say."""
        try:
            found: dict[str, Any] = (await self.docker("inspect_container", self.object_id))["State"]
        except daemon.Missing:
            return {"Running": False, "ExitCode": 0}
        except HubwrightError:
            return None
        return found

    async def stop(self, now: bool = False) -> None:
        """Stop the server and remove its container; returns when it is gone."""
        self._forget()
        grace = 0 if now else round(self.stop_grace)
        deadline = time.monotonic() + _STUBBORN
        while True:
            try:
                if self.object_id:
                    await self.docker("stop", self.object_id, timeout=grace, patience=daemon.PATIENT)
                break
            except daemon.Missing:
                break
            except NotRunning as error:
                if time.monotonic() >= deadline:
                    raise RuntimeError(f"{self._log_name} could not be stopped. {error}") from error
                await asyncio.sleep(1)
        await self._remove()
        self.clear_state()

    async def _remove(self) -> None:
        """Remove the container, whatever it does, and its folder."""
        try:
            if self.object_id:
                await self.docker("remove_container", self.object_id, force=True, v=True, patience=daemon.PATIENT)
        except daemon.Missing:
            pass
        self.object_id = ""
        await self._run(Place.of(self.site, self.key).remove)

    async def look(self) -> int | None:
        """Return None while the server runs, its exit code after.

        While Docker does not answer, the answer is None: a daemon that restarts or is frozen ends no notebook.
        """
        if not self.object_id:
            return None if self._start_pending else 0
        found = await self._state()
        return None if found is None or found["Running"] else int(found["ExitCode"])

    def start_polling(self) -> None:
        """Watch for the container's end: Docker tells it at once; JupyterHub's own polling comes second."""
        super().start_polling()
        if self.object_id:
            watching.watch(self.settings.socket, instance_of(self.site.state)).add(self.object_id, self._ended)

    def stop_polling(self) -> None:
        """Stop watching."""
        super().stop_polling()
        self._forget()

    def _forget(self) -> None:
        if self.object_id:
            watching.watch(self.settings.socket, instance_of(self.site.state)).remove(self.object_id)

    def _ended(self) -> None:
        self._watching = asyncio.ensure_future(self.poll_and_notify())

    def _run(self, work: Callable[..., _Found], *args: Any, **kwargs: Any) -> asyncio.Future[_Found]:
        """Do what blocks in one of the engine's threads."""
        return asyncio.get_running_loop().run_in_executor(daemon.pool(), partial(work, *args, **kwargs))


def start(socket: str, made: str, wanted: container.Container) -> None:
    """Start a container; the service's own network is made again when somebody removed it."""
    try:
        daemon.ask(socket, "start", made, patience=daemon.PATIENT)
    except daemon.Missing:
        if wanted.network != container.network_of(wanted.instance):
            raise
        daemon.ask(socket, "create_network", **container.network_config(wanted.instance))
        daemon.ask(socket, "start", made, patience=daemon.PATIENT)


def _size(grant: Grant) -> str:
    return f" with up to {format_bytes(grant.memory)} of memory" if grant.memory else ""


def _exit(state: dict[str, Any]) -> str:
    return ": it took more memory than it may have" if state.get("OOMKilled") else f" (code {state['ExitCode']})"
