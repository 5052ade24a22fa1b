"""Terminals: shells in which `python` and `pip` are those of the notebooks, and `jupyter` finds their kernels."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import NATIVE_KERNEL_NAME
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
        found: dict[str, Any] = self.parent.kernel_spec_manager.get_all_specs()
        if NATIVE_KERNEL_NAME not in found:
            return env
        spec = found[NATIVE_KERNEL_NAME]["spec"]
        if asking.ENVIRONMENT in spec["metadata"]:
            env["HUBWRIGHT_PYTHON"] = spec["argv"][0]
        if place := _show(found):
            env["JUPYTER_PATH"] = os.pathsep.join(filter(None, [place, env.get("JUPYTER_PATH", "")]))
        return env


def _show(kernels: dict[str, Any]) -> str:
    """Have kernelspecs where Jupyter's commands find them by name; return the folder, "" where none can be.

    Args:
        kernels: by name, as `KernelSpecManager.get_all_specs` gives them. Those of environments in the home have no
            `kernel.json` in their folder.
    """
    place = Path(jupyter_runtime_dir(), "shown")
    try:
        (place / "kernels").mkdir(parents=True, exist_ok=True)
        for name, kernel in kernels.items():
            shown, folder = place / "kernels" / name, kernel["resource_dir"]
            if not Path(folder, "kernel.json").exists():
                shown.mkdir(exist_ok=True)
                (shown / "kernel.json").write_text(json.dumps(kernel["spec"]))
            elif not (shown.is_symlink() and str(shown.readlink()) == folder):
                shown.unlink(missing_ok=True)
                shown.symlink_to(folder)
    except OSError:  # whatever the user has put there
        return ""
    return str(place)
