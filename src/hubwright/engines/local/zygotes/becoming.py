"""A zygote's child, from its fork until it is a user's kernel."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import resource
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from hubwright.engines.local import kernel_app, own_space, preload
from hubwright.engines.local.zygotes import terms
from hubwright.machine import capabilities, keyring, namespaces

if TYPE_CHECKING:
    from hubwright.engines.local.zygotes.zygote import Wanted

_PR_SET_DUMPABLE, _PR_SET_NAME = 4, 15
_FROZEN = (
    *("PYTHON", "LD_", "LC_", "MALLOC_", "GLIBC_", "MPL", "OPENBLAS_", "OMP_", "GOMP_", "KMP_", "MKL_", "NUMEXPR_"),
    *("NPY_", "TORCH", "PYTORCH_"),
)
"""How variables begin that are read when a program starts, or a module is imported: a fork would come too late."""
_LANGUAGE = "C.UTF-8"


def run(parent: socket.socket, server: socket.socket, views: list[int], wanted: Wanted, blas: Any) -> None:
    """Become the user's, read what the server wants, and be that kernel until it is shut down.

    Args:
        parent: the pair to the keeper, which says whose this process is.
        server: the connection of the server that asked.
        views: descriptors of the server's namespaces: network, mounts.
        wanted: what the zygote imported, and for whom.
        blas: the module `threadpoolctl`.
    """
    with parent:
        parent.send(b"here")  # the kernel says who that is
        place = json.loads(parent.recv(terms.PACKET) or b"null")
    if place is None:
        return
    _become(place, views)
    packet, descriptors, _, _ = socket.recv_fds(server, terms.PACKET, 2)
    words = json.loads(packet or b"null")
    space = own_space.look(wanted.launch, words["env"], words["folder"]) if words and len(descriptors) == 2 else None
    if space is None or not _suits(words["env"], words["folder"], space):
        server.send(terms.EXECUTE)
        return
    server.send(b"%d" % os.getpid())
    if server.recv(16) != terms.GO:
        return
    server.close()
    for target, source in enumerate(descriptors, 1):
        os.dup2(source, target)
        os.close(source)
    preload.restore_blas(place["processors"], blas)
    _be_kernel(words, space, wanted)


def _become(place: dict[str, Any], views: list[int]) -> None:
    """Be the user's process, with the machine as the user's server sees it, and none of the zygote's powers."""
    capabilities.have(terms.POWERS, effective=True)
    network, mounts = views
    namespaces.enter(network, namespaces.NETWORK)
    namespaces.enter(mounts, namespaces.MOUNTS)
    os.close(network)
    os.close(mounts)
    for limit, soft, hard in place["limits"]:
        if resource.getrlimit(limit) != (soft, hard):
            resource.setrlimit(limit, (soft, hard))
    os.setsid()
    os.umask(0o022)
    os.setgroups(place["groups"])
    os.setresgid(place["gid"], place["gid"], place["gid"])
    os.setresuid(place["uid"], place["uid"], place["uid"])
    capabilities.have((), effective=False)
    keyring.join_new()


def _suits(env: dict[str, str], folder: str, space: own_space.Space) -> bool:
    """Whether a fork gives what executing would: for the server's variables, the environment's own, and the home."""
    if any(name.startswith(_FROZEN) for name in env) or env.get("LANG", _LANGUAGE) != _LANGUAGE:
        return False
    own = space.environment
    if not own.keys().isdisjoint(preload.THREADS) or own.get("LANG", _LANGUAGE) != _LANGUAGE:
        return False
    return space.suits(folder)


def _be_kernel(words: dict[str, Any], space: own_space.Space, wanted: Wanted) -> None:
    library = ctypes.CDLL(None)
    library.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # as any process of the user's; not before it has no more to hide
    library.prctl(_PR_SET_NAME, b"kernel", 0, 0, 0)
    os.environ.update({**preload.KERNEL_ENVIRONMENT, **space.environment})
    os.environ.pop("JPY_PARENT_PID", None)  # its parent is another
    os.chdir(words["folder"])
    time.tzset()
    preload.renew()
    own_space.move_in(space, wanted.shared)
    found = importlib.util.find_spec("ipykernel_launcher")
    sys.argv = [str(found.origin if found else ""), "-f", words["file"]]
    kernel_app.application().launch_instance()
