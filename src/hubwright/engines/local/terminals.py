"""Terminals: shells in which `python` and `pip` are those of the notebooks, and `jupyter` finds their kernels."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, NoSuchKernel
from jupyter_core.paths import jupyter_runtime_dir
from jupyter_server_terminals.terminalmanager import TerminalManager

from hubwright.engines.local.zygotes import asking

COMMAND = ["/bin/sh", str(Path(__file__).with_name("terminal.sh")), f"{sys.prefix}/bin"]
"""What every terminal runs."""


class Terminals(TerminalManager):
    """Tells each shell which kernels there are now."""

    def make_term_env(self, *sizes: Any, **options: Any) -> dict[str, str]:
        """Return the environment of a new terminal."""
        env: dict[str, str] = super().make_term_env(*sizes, **options)
        specs = self.parent.kernel_spec_manager
        try:
            spec = specs.get_kernel_spec(NATIVE_KERNEL_NAME)
        except NoSuchKernel:
            return env
        if asking.ENVIRONMENT in spec.metadata:
            env["HUBWRIGHT_PYTHON"] = spec.argv[0]
        if place := _link(specs.find_kernel_specs()):
            env["JUPYTER_PATH"] = os.pathsep.join(filter(None, [place, env.get("JUPYTER_PATH", "")]))
        return env


def _link(kernels: dict[str, str]) -> str:
    """Have links to kernelspecs where Jupyter's commands find them by name; return the folder, "" where none can be."""
    place = Path(jupyter_runtime_dir(), "shown")
    try:
        (place / "kernels").mkdir(parents=True, exist_ok=True)
        for name, folder in kernels.items():
            link = place / "kernels" / name
            if Path(folder, "kernel.json").exists() and not (link.is_symlink() and str(link.readlink()) == folder):
                link.unlink(missing_ok=True)
                link.symlink_to(folder)
    except OSError:  # whatever the user has put there
        return ""
    return str(place)
