"""Images: whether Docker has one, fetching it, and what is in it. Everything here blocks."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from docker.utils import parse_repository_tag

from hubwright.engines.docker import daemon
from hubwright.engines.docker.container import Mount
from hubwright.errors import HubwrightError, MachineError
from hubwright.machine.files import write_atomically

OLDEST = 6
"""The first JupyterHub whose servers reach the hub through a Unix socket."""
TOGETHER = "hubwright.collaboration"
"""A label of images with Hubwright's server and jupyter-collaboration."""
_PROBE = ["jupyterhub-singleuser", "--version"]
_VERSION = re.compile(rb"^(\d+)\.\d+[^\s]*", re.MULTILINE)
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
_DOWNLOAD = 0.7
"""The part of a layer's work that is done when it is here and not yet unpacked."""
_LARGEST = 2**20
"""Bytes that are read of an image's account files."""


class ImageTrouble(MachineError):
    """An image that cannot be used."""


@dataclass(frozen=True)
class Image:
    """What one must know of an image to start a server from it."""

    id: str
    jupyterhub: str
    """The version of JupyterHub in it."""
    passwd: str
    """Its /etc/passwd."""
    group: str
    shell: str
    """A shell that is there."""
    jupyter_path: str = ""
    """What it says of the folders in which Jupyter's data are."""


@dataclass
class Progress:
    """How far a pull is, from what Docker says of each layer; never falls."""

    layers: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Size and share done of each layer that was not here; a size that is not known yet is 0."""
    percent: int = 0

    def add(self, event: dict[str, Any]) -> int:
        """Take one message of the stream; return the whole in percent."""
        layer, status = event.get("id", ""), event.get("status", "")
        detail = event.get("progressDetail") or {}
        size, done = self.layers.get(layer, (0.0, 0.0))
        total = float(detail.get("total") or 0)
        share = float(detail.get("current") or 0) / total if total > 0 else 0.0
        if status == "Pull complete":
            done = 1.0
        elif status in ("Download complete", "Verifying Checksum"):
            done = max(done, _DOWNLOAD)
        elif status == "Downloading":
            size, done = max(size, total), max(done, share * _DOWNLOAD)
        elif status == "Extracting":
            done = max(done, _DOWNLOAD + share * (1 - _DOWNLOAD))
        elif status not in ("Pulling fs layer", "Waiting"):
            return self.percent
        self.layers[layer] = (size, done)
        known = [size for size, _ in self.layers.values() if size]
        guess = sum(known) / len(known) if known else 1.0
        whole = sum(size or guess for size, _ in self.layers.values())
        now = sum((size or guess) * done for size, done in self.layers.values()) / whole
        self.percent = max(self.percent, min(100, int(100 * now)))
        return self.percent


def find(socket: str, image: str) -> dict[str, Any] | None:
    """Return what Docker says of an image it has, None when it has none of that name."""
    try:
        found: dict[str, Any] = daemon.ask(socket, "inspect_image", image)
    except daemon.Missing:
        return None
    return found


def serves_groups(found: dict[str, Any]) -> bool:
    """Whether an image, as `find` returned it, says that its servers may be those of groups."""
    return TOGETHER in ((found.get("Config") or {}).get("Labels") or {})


def pull(socket: str, image: str, tell: Callable[[int], object], timeout: float) -> None:
    """Fetch an image; `tell` hears the percentage whenever it changes.

    Raises:
        ImageTrouble: the registry refuses, has none of that name or for this machine, or cannot be reached.
    """
    repository, tag = parse_repository_tag(image)
    progress, told = Progress(), -1
    try:
        with daemon.troubles(socket):
            asked = daemon.client(socket, timeout)
            for event in asked.pull(repository, tag=tag or "latest", stream=True, decode=True):
                if "error" in event:
                    raise MachineError(str(event["error"]).rstrip("."))
                if progress.add(event) != told:
                    told = progress.percent
                    tell(told)
    except MachineError as error:
        raise trouble_of(image, error.problem.what) from error


def trouble_of(image: str, words: str) -> ImageTrouble:
    """Return what Docker's words about a failed pull mean, with what to do."""
    words = words.removeprefix("Docker says: ").rstrip(".")
    low = words.lower()
    check = "Check its name, or build it on this machine."
    if "no matching manifest" in low:
        return ImageTrouble(
            f"The image {image} is not made for this machine's processor ({words}).",
            remedy="Name an image for this processor, or one for several.",
        )
    if "toomanyrequests" in low or "rate limit" in low:
        return ImageTrouble(
            f"The registry refuses to hand out {image} now: too many requests.",
            remedy="Wait, or log in for root: docker login.",
        )
    if "unauthorized" in low or "authentication required" in low or "forbidden" in low or "no basic auth" in low:
        return ImageTrouble(f"The registry refuses to hand out {image}: {words}.", remedy="Log in first: docker login.")
    if any(sign in low for sign in ("no such host", "dial tcp", "connection refused", "timeout", "tls", "lookup ")):
        return ImageTrouble(
            f"Docker cannot find image {image} on this machine, and its registry cannot be reached: {words}.",
            remedy="Check the network of this machine, or load the image by hand: docker load.",
        )
    if any(sign in low for sign in ("not found", "manifest unknown", "access denied", "does not exist")):
        return ImageTrouble(f"Docker cannot find image {image}: its registry has none of that name.", remedy=check)
    return ImageTrouble(f"Docker cannot fetch image {image}: {words}.", remedy=check)


def missing(image: str) -> ImageTrouble:
    """Return the sentence for an image that is not here and is not to be fetched."""
    return ImageTrouble(
        f"Docker cannot find image {image} on this machine, and engine.pull says never to fetch one.",
        remedy='Fetch or build it: "hubwright images pull", docker load or docker build.',
    )


def check_architecture(socket: str, image: str, found: dict[str, Any]) -> None:
    """Raise ImageTrouble when an image is for another processor or system than the daemon's."""
    here = daemon.ask(socket, "version")
    mine, its = here.get("Arch", ""), found.get("Architecture", "")
    mine, its = _ARCHITECTURES.get(mine, mine), _ARCHITECTURES.get(its, its)
    if mine and its and mine != its:
        raise ImageTrouble(
            f"The image {image} is for {its} processors, and this machine has {mine}.",
            remedy=f"Fetch it for this machine: docker pull --platform linux/{mine} {image}",
        )


def look_into(
    socket: str, image: str, found: dict[str, Any], cache: Path | None, mounts: Sequence[Mount] = ()
) -> Image:
    """Return what is in an image; runs a container for a second, once for each image.

    Args:
        found: what `find` returned.
        cache: the folder that remembers it; None for none.
        mounts: what every container sees; Jupyter may be in there.

    Raises:
        ImageTrouble: for another processor, or without a JupyterHub that is new enough.
    """
    seen = [mount.as_api() for mount in mounts]
    name = sha256(json.dumps([found["Id"], seen], sort_keys=True).encode()).hexdigest()
    file = cache / f"{name[:32]}.json" if cache else None
    if file:
        with suppress(OSError, ValueError, TypeError):
            return Image(**json.loads(file.read_bytes()))
    check_architecture(socket, image, found)
    told = [line.partition("=") for line in (found.get("Config") or {}).get("Env") or ()]
    path = next((value for name, _, value in told if name == "JUPYTER_PATH"), "")
    facts = replace(_probe(socket, image, str(found["Id"]), seen), jupyter_path=path)
    if file:
        write_atomically(file, json.dumps(asdict(facts)), 0o644, durable=False)
    return facts


def _probe(socket: str, image: str, image_id: str, mounts: list[dict[str, Any]]) -> Image:
    host = {"NetworkMode": "none", "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"], "PidsLimit": 256}
    host |= {"Mounts": mounts}
    config = {"Image": image_id, "Entrypoint": _PROBE, "Cmd": [], "User": "65534:65534", "HostConfig": host}
    config |= {"Env": ["HOME=/tmp"], "Healthcheck": {"Test": ["NONE"]}}
    made = daemon.ask(socket, "create_container_from_config", config, patience=daemon.PATIENT)["Id"]
    try:
        passwd, group = (_text(socket, made, f"/etc/{name}") for name in ("passwd", "group"))
        shell = "/bin/bash" if _is_there(socket, made, "/bin/bash") else "/bin/sh"
        try:
            daemon.ask(socket, "start", made, patience=daemon.PATIENT)
        except MachineError as error:
            raise _unfit(image, error) from error
        daemon.ask(socket, "wait", made, patience=daemon.PATIENT)
        said: bytes = daemon.ask(socket, "logs", made)
    finally:
        daemon.ask(socket, "remove_container", made, force=True, v=True, patience=daemon.PATIENT)
    version = _VERSION.search(said)
    if not version:
        words = said.decode(errors="replace").strip().splitlines()
        raise ImageTrouble(
            f"The image {image} holds no JupyterHub that works: jupyterhub-singleuser --version "
            f"says {words[-1] if words else 'nothing'!r}.",
            remedy="Install jupyterhub and jupyterlab in it; images/singleuser/ shows how.",
        )
    if int(version[1]) < OLDEST:
        raise ImageTrouble(
            f"The image {image} holds JupyterHub {version[0].decode()}, and {OLDEST} or newer is needed.",
            remedy="Take a newer image.",
        )
    return Image(image_id, version[0].decode(), passwd, group, shell)


def _unfit(image: str, error: MachineError) -> HubwrightError:
    words = error.problem.what
    if "exec format error" in words:
        return ImageTrouble(f"The image {image} is not for this machine's processor.", remedy="Fetch another one.")
    if "executable file not found" in words or "no such file" in words:
        return ImageTrouble(
            f"The image {image} holds no Jupyter: jupyterhub-singleuser is not in it.",
            remedy="Install jupyterhub and jupyterlab in it; images/singleuser/ shows how.",
        )
    return error


def _is_there(socket: str, container: str, path: str) -> bool:
    try:
        stream, _ = daemon.ask(socket, "get_archive", container, path)
    except daemon.Missing:
        return False
    stream.close()
    return True


def _text(socket: str, container: str, path: str) -> str:
    """Return a file of a container that does not run; empty when there is none."""
    try:
        stream, _ = daemon.ask(socket, "get_archive", container, path)
    except daemon.Missing:
        return ""
    data = b"".join(_at_most(stream, _LARGEST))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        member = archive.next()
        file = archive.extractfile(member) if member and member.isfile() else None
        return file.read().decode(errors="replace") if file else ""


def _at_most(parts: Iterable[bytes], size: int) -> Iterator[bytes]:
    for part in parts:
        size -= len(part)
        if size < 0:
            return
        yield part
