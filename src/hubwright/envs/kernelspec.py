"""The files of a kernel: `kernel.json`, the script that it starts, and pictures."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

SCRIPT = "launch"
_OUTSIDE = "hubwright_outside"
"""In a kernelspec's metadata: folders that the kernel needs besides the environment's own, where they are named so."""


def exports(variables: Mapping[str, str]) -> str:
    """Return the lines of a shell script that set variables."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))


def outside(kernel: Path) -> list[str]:
    """Return the folders that a kernel needs besides its environment's own; none when it does not say."""
    try:
        metadata = json.loads((kernel / "kernel.json").read_text()).get("metadata", {})
    except (OSError, ValueError):
        return []  # whoever starts it hears why
    return list(metadata.get(_OUTSIDE, ()))


def there(program: str | Path) -> str:
    """Return shell that ends with a sentence where `program` is not there, as in a container of another image.

    A starting script does that, and then loads the kernel, when it is called with `--try`.
    """
    sentence = shlex.quote(f"there is no {program}")
    return f"[ -x {shlex.quote(str(program))} ] || {{ echo {sentence} >&2; exit 1; }}"


def write(
    folder: Path, script: str, spec: dict[str, Any], pictures: Iterable[Path], outside: Iterable[Path] = ()
) -> None:
    """Write the kernel that starts `script` into `folder`, which must not exist; everybody may read and run it.

    Args:
        folder: the `kernel` folder of a version.
        script: what a shell runs.
        spec: what goes into `kernel.json`.
        pictures: folders with `logo-*`, the first that has some counts.
        outside: folders that the kernel needs besides the environment's own.
    """
    spec = {**spec, "metadata": {**spec.get("metadata", {}), _OUTSIDE: sorted({*map(str, outside)})}}
    folder.mkdir(mode=0o755)
    (folder / SCRIPT).write_text(script)
    (folder / "kernel.json").write_text(json.dumps(spec, indent=1))
    for picture in next(filter(None, ([*place.glob("logo-*")] for place in pictures)), []):
        (folder / picture.name).write_bytes(picture.read_bytes())
    for path in folder.iterdir():
        path.chmod(0o755 if path.name == SCRIPT else 0o644)
