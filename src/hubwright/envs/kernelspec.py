"""The files of a kernel: `kernel.json`, the script that it starts, and pictures."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

SCRIPT = "launch"


def exports(variables: Mapping[str, str]) -> str:
    """Return the lines of a shell script that set variables."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))


def write(folder: Path, script: str, spec: dict[str, Any], pictures: Iterable[Path]) -> None:
    """Write the kernel that starts `script` into `folder`, which must not exist; everybody may read and run it.

    Args:
        folder: the `kernel` folder of a version.
        script: what a shell runs.
        spec: what goes into `kernel.json`.
        pictures: folders with `logo-*`, the first that has some counts.
    """
    folder.mkdir(mode=0o755)
    (folder / SCRIPT).write_text(script)
    (folder / "kernel.json").write_text(json.dumps(spec, indent=1))
    for picture in next(filter(None, ([*place.glob("logo-*")] for place in pictures)), []):
        (folder / picture.name).write_bytes(picture.read_bytes())
    for path in folder.iterdir():
        path.chmod(0o755 if path.name == SCRIPT else 0o644)
