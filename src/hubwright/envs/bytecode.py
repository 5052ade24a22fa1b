"""Bytecode of a shared environment: nobody may write into it later, so it is made with the environment."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hubwright.envs import taking, trying
from hubwright.errors import MachineError
from hubwright.fields import Site

_PATIENCE = 900.0


def compile_below(python: Path, folder: Path, place: Path, site: Site) -> int:
    """Compile the modules below `folder` with the environment's own Python; return how many were.

    That Python is run by the account without rights. What does not compile is left out: packages bring such files.

    Args:
        python: the environment's Python, `bin/python` in it.
        folder: what is compiled, such as `site-packages`.
        place: a folder of one's own, for what is being made.
        site: this service.
    """
    with taking.bench(place, site) as bench:
        command = [str(python), "-s", "-S", "-m", "compileall", "-qq", "-j", "0", str(folder)]
        try:
            subprocess.run(
                command,
                cwd="/",
                env={"LANG": "C.UTF-8", "PYTHONPYCACHEPREFIX": str(bench)},
                timeout=_PATIENCE,
                check=False,
                capture_output=True,
                **trying.identity(),
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MachineError(f"{python} cannot compile what is in {folder}: {error}.") from error
        made = bench / folder.relative_to("/")
        if not made.is_dir():
            return 0
        root = python.parent.parent
        return taking.take(made, folder, lambda path: path.parent / "__pycache__" / path.name, root=root)
