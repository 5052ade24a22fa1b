"""Why a container's server does not come up, found by trying from inside it."""

from __future__ import annotations

from hubwright.engines.docker import daemon
from hubwright.errors import HubwrightError, MachineError
from hubwright.fields import Site

_TRY = """
import socket, sys
path, url = sys.argv[1:]
one = socket.socket(socket.AF_UNIX)
one.settimeout(5)
try:
    one.connect(path)
    one.sendall(f"GET {url} HTTP/1.0\\r\\nHost: hub\\r\\n\\r\\n".encode())
    said = one.recv(64).split()
except OSError as error:
    sys.exit(f"{error.strerror or error}")
sys.exit(0 if said[1:2] == [b"200"] else f"it answers {said[:3]}")
"""


def hub_reached(socket: str, container: str, site: Site) -> str:
    """Return an empty text when a program in the container reaches the hub, else a sentence; blocks.

    A container in which that cannot be tried (no Python, not running) gives an empty text too.
    """
    address = str(site.api_socket)
    command = ["python3", "-c", _TRY, address, f"{site.base_url}hub/api/"]
    try:
        made = daemon.ask(socket, "exec_create", container, command)["Id"]
        said: bytes = daemon.ask(socket, "exec_start", made, patience=30) or b""
        code = daemon.ask(socket, "exec_inspect", made)["ExitCode"]
    except MachineError:
        return ""
    if code != 1:
        return ""
    why = said.decode(errors="replace").strip().splitlines()[-1:]
    return f"The container cannot reach the hub at {address}: {''.join(why) or 'no reason was given'}."


def in_words(error: HubwrightError) -> str:
    """Return an error as a user reads it: what happened, and what to do."""
    words = f"{error.problem.what} {error.problem.remedy}".strip()
    if "bind source path does not exist" in words:
        path = words.rpartition("does not exist:")[2].strip().rstrip(".")
        return f"The folder {path} is not on this machine. An administrator can make it."
    if "could not select device driver" in words:
        return (
            "Docker on this machine hands out no GPUs. Choose a size without one; an administrator can install the "
            "NVIDIA Container Toolkit."
        )
    return words
