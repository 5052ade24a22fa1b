"""What the fork server imports once, so that no user's server or kernel has to."""

from __future__ import annotations

import gc
import hmac
import importlib
import multiprocessing
import os
import platform
import random
import re
import site
import socket
import sqlite3
import sys
import warnings
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import ExitStack, closing
from numbers import Number
from pathlib import Path
from typing import Any

from hubwright.engines.local import holes
from hubwright.errors import MachineError

SERVER = (
    "jupyterhub.singleuser.extension",
    "jupyterlab.labapp",
    "jupyter_lsp",
    "jupyter_resource_usage",
    "jupyter_lsp.virtual_documents_shadow",
    "jupyter_server_terminals",
    "notebook_shim.nbserver",
    "hubwright.engines.local.connection",
    "hubwright.engines.local.server",
    "hubwright.engines.local.extension",
    "hubwright.engines.local.provisioner",
    "hubwright.envs.kernels",
    # what a server imports only while it starts, or at its first kernel
    "ipykernel.kernelspec",
    "jinja2.ext",
    "jupyter_core.migrate",
    "jupyter_server.kernelspecs.handlers",
    "jupyter_server.nbconvert.handlers",
    "jupyter_server.services.api.handlers",
    "jupyter_server.services.config.handlers",
    "jupyter_server.services.contents.handlers",
    "jupyter_server.services.events.handlers",
    "jupyter_server.services.kernels.handlers",
    "jupyter_server.services.kernelspecs.handlers",
    "jupyter_server.services.nbconvert.handlers",
    "jupyter_server.services.security.handlers",
    "jupyter_server.services.sessions.handlers",
    "jupyter_server.services.shutdown",
    "jupyter_server.view.handlers",
    "tornado.platform.asyncio",
    # what JupyterLab asks for when it opens a notebook
    "nbconvert.exporters",
    "nbformat.validator",
    # what every kernel asks about BLAS
    "threadpoolctl",
)
KERNEL = (
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "multiprocessing.util",
    "hubwright.engines.local.kernel",
    # what a kernel imports only while it starts, or at the first cell
    "IPython.core.completer",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.logger",
    "IPython.core.pylabtools",
    "IPython.extensions.storemagic",
    "debugpy.server.api",
    "encodings.ascii",
    "encodings.latin_1",
    "faulthandler",
    "ipykernel.debugger",
    "IPython.core.oinspect",
    "psutil",
    "jedi",
)
_PATTERNS: tuple[str | bytes, ...] = (
    # jupyter_server, tornado, jupyter_client, jupyter_lsp
    r"^\w(\-?\w)*$",
    r"/(robots\.txt)$",
    r"/(favicon\.ico)$",
    r"(.*)$",
    r".*$",
    r"^file://([^/]+|/[A-Z]:)",
    r"(?s:.*\.json5)\Z",
    b"\r?\n\r?\n",
    r"\r?\n$",
    rb'\*|(?:W/)?"[^"]*"',
    r"\{([A-Za-z0-9_]+)\}",
    # traitlets, IPython, ipykernel
    r"[\W_]+",
    r"(?s:.*\.py)\Z",
    r"(?s:.*\.ipy)\Z",
    r"([^\\] )",
    r"^[\w|\s.]+\(([^)]*)\).*",
    r"[\s|\[]*(\w+)(?:\s*=\s*.*)",
    r"(?i)^[rubf]*$",
)
"""By what each server or kernel looks for something; Python keeps what it has compiled."""
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""What says how many threads BLAS libraries start."""
_NUMEXPR = 16
"""How many threads numexpr takes at most by itself."""
_WHILE_IMPORTING = {
    **dict.fromkeys(THREADS, "1"),
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # debugpy need not warn the fork server's log about frozen modules
}
KERNEL_ENVIRONMENT: dict[str, str] = {}
"""What importing `KERNEL` added to the environment; an executed kernel has it too."""


def threads() -> int:
    """Return how many threads this process has, those of C libraries included."""
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 (a count, on a path that is not a folder of files)


def load(names: Sequence[str], where: str = "environments.default.preload") -> dict[str, str]:
    """Import modules, with BLAS libraries held to one thread; a process with more cannot fork safely.

    Args:
        names: whole names, `matplotlib.pyplot`.
        where: what of hub.yaml named them.

    Returns:
        what the imports added to the environment.

    Raises:
        MachineError: a module cannot be imported, or its import started a thread that stays.
    """
    before = set(os.environ)
    with ExitStack() as stack:
        for variable, value in _WHILE_IMPORTING.items():
            os.environ[variable] = value
            stack.callback(os.environ.pop, variable)
        for name in names:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    importlib.import_module(name)
            except ImportError as error:
                raise MachineError(
                    f"cannot be imported: {error}.",
                    where=f"{where}: {name}",
                    remedy="Install it, or take it off the list.",
                ) from error
            if threads() != 1:
                raise MachineError(
                    "starts a thread when it is imported, so it cannot be imported before a fork.",
                    where=f"{where}: {name}",
                    remedy="Take it off the list.",
                )
    return {name: value for name, value in os.environ.items() if name not in before}


def settle() -> None:
    """Write now what each server and kernel would write into shared pages; hide what is imported from the collector."""
    _fill_caches()
    _forget_settings()
    gc.collect()
    holes.fill()
    gc.freeze()


def _fill_caches() -> None:
    """Do once what marks many classes at the first time: 3 MB of pages that each server and kernel would copy."""
    for ancestor in sys.modules["zmq"].Socket.mro():  # asked whenever an option is set
        getattr(ancestor, "__annotations__", None)  # made when asked first, which marks all subclasses
    for kind in (str, int, tuple, list, dict, type(None), type(Path())):
        for base in (Mapping, Sequence, Awaitable, Number):  # asked by logging and others; asks all its subclasses
            issubclass(kind, base)
    with closing(sqlite3.connect(":memory:")) as database:  # a server's sessions, a kernel's history
        database.execute("SELECT 1")
    hmac.digest(b"key", b"", "sha256")  # a session's signature; OpenSSL looks for what it has at the first use
    hmac.new(b"key", b"", "sha256").copy().hexdigest()
    platform.machine()  # asked for a keyring
    socket.getaddrinfo("127.0.0.1", 0, flags=socket.AI_NUMERICHOST)  # asked at each request's X-Forwarded-For
    re.purge()  # it is full: each new pattern would free an old one
    for pattern in _PATTERNS:
        re.compile(pattern)
    sys.modules["IPython.core.completer"].CompletionSplitter()  # one more, by its delimiters


def renew() -> None:
    """After a fork: give this process secrets and random numbers of its own.

    `random` reseeds itself (os.register_at_fork); numpy's old generator and multiprocessing's key do not.
    """
    random.seed()
    multiprocessing.current_process().authkey = os.urandom(32)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()


def thaw_home() -> None:
    """After a fork: mend what was computed from the fork server's own home when it was imported."""
    if labapp := sys.modules.get("jupyterlab.labapp"):
        for name, value in (
            ("user_settings_dir", labapp.get_user_settings_dir()),
            ("workspaces_dir", labapp.get_workspaces_dir()),
        ):
            getattr(labapp.LabApp, name).default_value = value
            labapp.LabApp._static_immutable_initial_values[name] = value
    trash: Any = sys.modules.get("send2trash.plat_other")
    if trash:
        data = os.path.expanduser(os.environb.get(b"XDG_DATA_HOME", b"~/.local/share"))  # noqa: PTH111 (bytes, as there)
        trash.XDG_DATA_HOME, trash.HOMETRASH_B = data, os.path.join(data, b"Trash")  # noqa: PTH118
        trash.HOMETRASH, trash.uid = os.fsdecode(trash.HOMETRASH_B), os.getuid()
        trash.TOPDIR_FALLBACK = b".Trash-%d" % trash.uid
    _forget_settings()


def _forget_settings() -> None:
    """Let Python compute anew what depends on the home; done before the fork, too, where freeing it costs no copies."""
    if sysconfig := sys.modules.get("sysconfig"):
        sysconfig._CONFIG_VARS = None  # type: ignore[attr-defined]
    site.USER_BASE = site.USER_SITE = None


def restore_blas(count: int, threadpoolctl: Any = None) -> None:
    """Give BLAS libraries and OpenMP `count` threads again, where one is loaded, with the module of that name.

    PyTorch keeps a number of its own: one for each core, as it has when it is executed.
    """
    if not sys.modules.keys().isdisjoint({"numpy", "torch"}):
        (threadpoolctl or importlib.import_module("threadpoolctl")).threadpool_limits(count)
    numexpr: Any = sys.modules.get("numexpr")
    if numexpr:
        numexpr.nthreads = min(count, _NUMEXPR)
        numexpr.set_num_threads(numexpr.nthreads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(min(count, _cores()))


def _cores() -> int:
    """Return how many cores this process may use; two processors may be of one."""
    topology = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    processors = os.sched_getaffinity(0)
    try:
        return len({Path(topology.format(number)).read_text() for number in processors})
    except OSError:
        return len(processors)
