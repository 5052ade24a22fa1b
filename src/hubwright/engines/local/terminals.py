"""Terminals: shells in which `python` and `pip` are those of the notebooks, and `jupyter` finds their kernels."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpec, NoSuchKernel
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
        found = {name: (folder, specs.get_kernel_spec(name)) for name, folder in specs.find_kernel_specs().items()}
        if place := _show(found):
            env["JUPYTER_PATH"] = os.pathsep.join(filter(None, [place, env.get("JUPYTER_PATH", "")]))
        return env


def _show(kernels: dict[str, tuple[str, KernelSpec]]) -> str:
    """Have kernelspecs where Jupyter's commands find them by name; return the folder, "" where none can be.

    Args:
        kernels: folder and specification by name. Those of environments in the home have no `kernel.json` there.
    """
    place = Path(jupyter_runtime_dir(), "shown")
    try:
        (place / "kernels").mkdir(parents=True, exist_ok=True)
        for name, (folder, spec) in kernels.items():
            shown = place / "kernels" / name
            if not Path(folder, "kernel.json").exists():
                shown.mkdir(exist_ok=True)
                (shown / "kernel.json").write_text(spec.to_json())
            elif not (shown.is_symlink() and str(shown.readlink()) == folder):
                shown.unlink(missing_ok=True)
                shown.symlink_to(folder)
    except OSError:  # whatever the user has put there
        return ""
    return str(place)
