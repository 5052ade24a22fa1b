"""What the fork server imports once, so that no user's server or kernel has to."""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import os
import random
import site
import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack

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
    # what a server imports only while it starts
    "jinja2.ext",
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
    "IPython.core.pylabtools",
    "IPython.extensions.storemagic",
    "debugpy.server.api",
    "encodings.ascii",
    "encodings.latin_1",
    "ipykernel.debugger",
    "IPython.core.oinspect",
    "psutil",
    "jedi",
)
_WHILE_IMPORTING = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # debugpy need not warn the fork server's log about frozen modules
}
KERNEL_ENVIRONMENT: dict[str, str] = {}
"""What importing `KERNEL` added to the environment; an executed kernel has it too."""


def threads() -> int:
    """Return how many threads this process has, those of C libraries included."""
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 (a count, on a path that is not a folder of files)


def load(names: Sequence[str]) -> dict[str, str]:
    """Import modules, with BLAS libraries held to one thread; a process with more cannot fork safely.

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
                    where=f"environments.default.preload: {name}",
                    remedy="Install it, or take it off the list.",
                ) from error
            if threads() != 1:
                raise MachineError(
                    "starts a thread when it is imported, so it cannot be imported before a fork.",
                    where=f"environments.default.preload: {name}",
                    remedy="Take it off the list.",
                )
    return {name: value for name, value in os.environ.items() if name not in before}


def settle() -> None:
    """Move everything imported out of the garbage collector's sight, so that collections do not unshare its pages."""
    gc.collect()
    gc.freeze()


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
            labapp.LabApp.class_traits()[name].default_value = value
            labapp.LabApp._static_immutable_initial_values[name] = value
    if trash := sys.modules.get("send2trash.plat_other"):
        importlib.reload(trash)
    if sysconfig := sys.modules.get("sysconfig"):
        sysconfig._CONFIG_VARS = None  # type: ignore[attr-defined]
    site.USER_BASE = site.USER_SITE = None


def restore_blas(count: int) -> None:
    """Give BLAS libraries `count` threads again, where one is loaded."""
    if "numpy" in sys.modules:
        import threadpoolctl

        threadpoolctl.threadpool_limits(count)
