"""What activating a conda environment would set, found out once: its kernels start without a shell's `activate`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from hubwright.envs import trying

_NOT = {"PATH", "PWD", "OLDPWD", "SHLVL", "_", "CONDA_PREFIX", "HOME", "LANG", "PS1"}
_RUN = 'for script in "$CONDA_PREFIX"/etc/conda/activate.d/*.sh; do . "$script" >/dev/null; done; env -0'
_PATIENCE = 60.0


def variables(prefix: Path) -> dict[str, str]:
    """Return the variables that packages of an environment want to be set: `PROJ_DATA`, `GDAL_DATA` and the like.

    Their scripts are run by the account without rights. One that fails sets nothing: most environments have none.
    """
    found: dict[str, str] = {}
    for path in sorted((prefix / "etc" / "conda" / "env_vars.d").glob("*.json")):
        found |= {name: value for name, value in json.loads(path.read_text()).items() if isinstance(value, str)}
    if not any((prefix / "etc" / "conda" / "activate.d").glob("*.sh")):
        return found
    env = {"PATH": f"{prefix}/bin:{os.defpath}", "CONDA_PREFIX": str(prefix), "LANG": "C.UTF-8", "HOME": "/"}
    command = ["/bin/bash", "--noprofile", "--norc", "-c", _RUN]
    try:
        done = subprocess.run(
            command, env=env, cwd="/", capture_output=True, timeout=_PATIENCE, check=False, **trying.identity()
        )
    except (OSError, subprocess.TimeoutExpired):
        return found
    for entry in done.stdout.decode(errors="replace").split("\0"):
        name, is_one, value = entry.partition("=")
        if is_one and name.isidentifier() and name not in _NOT and "\n" not in value:
            found[name] = value
    return found
