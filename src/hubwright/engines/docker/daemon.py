"""Talking to the Docker daemon: a client a thread, and every trouble as a sentence."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException

from hubwright.errors import HubwrightError, MachineError, NotRunning, Refused

QUICK = 10.0
"""Seconds for a question that a daemon in order answers in milliseconds."""
PATIENT = 120.0
"""Seconds for what it works on: making, starting, stopping, removing."""
_THREADS = 128
_mine = threading.local()


@cache
def pool() -> ThreadPoolExecutor:
    """Return the threads that wait for Docker; so many that no user's call waits for another's."""
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="docker")


def client(socket: str, timeout: float) -> docker.APIClient:
    """Return this thread's client, made at the first call, which asks the daemon for its version.

    Raises:
        NotRunning: nobody answers there.
    """
    found = _mine.__dict__.setdefault("clients", {})
    if socket not in found:
        with troubles(socket):
            found[socket] = docker.APIClient(base_url=socket, version="auto", timeout=timeout, num_pools=2)
    found[socket].timeout = timeout
    return found[socket]


def ask(socket: str, method: str, *args: Any, patience: float = QUICK, **kwargs: Any) -> Any:
    """Call a method of docker-py's APIClient; blocks, so not for the hub's loop.

    Raises:
        Missing: what was asked for is not there.
        NotRunning: nobody answers, or not within `patience` seconds.
        MachineError: Docker cannot do it; its own words are in the sentence.
    """
    asked = client(socket, patience)
    with troubles(socket):
        return getattr(asked, method)(*args, **kwargs)


class Missing(MachineError):
    """Docker has no such container, image or network."""


@contextmanager
def troubles(socket: str) -> Iterator[None]:
    """Turn what docker-py raises into our errors."""
    try:
        yield
    except APIError as error:
        words = str(error.explanation or error).strip().rstrip(".")
        if error.status_code == 404:
            raise Missing(f"Docker says: {words}.") from error
        raise MachineError(f"Docker says: {words}.", remedy=_remedy(words)) from error
    except (DockerException, requests.RequestException, OSError) as error:
        raise _silent(socket, error) from error


def _silent(socket: str, error: Exception) -> HubwrightError:
    path = Path(socket.removeprefix("unix://"))
    text = f"{error} {error.__cause__ or ''}"
    if "PermissionError" in text or "Permission denied" in text:
        return Refused(
            f"Docker's socket {path} may not be used by this account.",
            remedy="Start the service as root, or be a member of the group that owns the socket.",
        )
    if "FileNotFoundError" in text or "No such file" in text:
        why = "its socket is not there"
    elif "ConnectionRefused" in text or "Connection refused" in text:
        why = "nobody listens on its socket"
    elif "timed out" in text.lower() or "timeout" in text.lower():
        why = "it does not answer in time"
    else:
        why = f"the connection broke off ({type(error).__name__})"
    return NotRunning(
        f"The Docker daemon at {path} cannot be used: {why}.",
        remedy='Start it: "systemctl start docker", or name its socket in engine.socket.',
    )


def _remedy(words: str) -> str:
    if "no space left on device" in words:
        return 'Make room: see "docker system df".'
    if "address pools" in words:
        return 'Remove networks that nobody uses: "docker network prune".'
    return ""
