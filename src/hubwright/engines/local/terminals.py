"""Terminals: shells in which `python`, `pip` and `jupyter` are those of the notebooks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, NoSuchKernel
from jupyter_server_terminals.terminalmanager import TerminalManager

from hubwright.engines.local.zygotes import asking

COMMAND = ["/bin/sh", str(Path(__file__).with_name("terminal.sh")), f"{sys.prefix}/bin"]
"""What every terminal runs."""


class Terminals(TerminalManager):
    """Tells each shell which kernel is `python3` now."""

    def make_term_env(self, *sizes: Any, **options: Any) -> dict[str, str]:
        """Return the environment of a new terminal."""
        env: dict[str, str] = super().make_term_env(*sizes, **options)
        try:
            spec = self.parent.kernel_spec_manager.get_kernel_spec(NATIVE_KERNEL_NAME)
        except NoSuchKernel:
            return env
        if asking.ENVIRONMENT in spec.metadata:
            env["HUBWRIGHT_PYTHON"] = spec.argv[0]
        return env
