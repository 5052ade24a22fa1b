"""A conda environment in somebody's home: a Python of its own, linked by the user from a channel in a folder."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from tests import conda_channel
from tests.conftest import Account
from tests.slowness import SLOWNESS

_LINK = """\
import asyncio, os, sys
from pathlib import Path
import rattler
async def main(channel, prefix, cache):
    gateway = rattler.Gateway(cache_dir=Path(cache))
    found = await rattler.solve(
        [channel], ["python", "ipykernel", "alpha"], gateway=gateway, virtual_packages=rattler.VirtualPackage.detect()
    )
    await rattler.install(found, target_prefix=prefix, cache_dir=Path(cache, "packages"), show_progress=False)
asyncio.run(main(*sys.argv[1:]))
sys.stdout.flush()
os._exit(0)
"""


def channel(folder: Path) -> Path:
    """Make a channel of the machine's Python, ipykernel, and `alpha`; what ipykernel needs is lent by these tests."""
    (ipykernel,) = [one for one in conda_channel.installed("ipykernel") if one.name == "ipykernel"]
    beside = next(Path(sys.prefix, "lib").glob("python3*/site-packages"))
    lent = f"lib/python{conda_channel.MINOR}/site-packages/lent.pth"
    ipykernel = replace(ipykernel, depends=["python"], files={**ipykernel.files, lent: f"{beside}\n"})
    conda_channel.write(folder, conda_channel.python(), ipykernel, conda_channel.module("alpha"))
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def link(made: Path, user: Account, place: str) -> Path:
    """Make the environment `place` of a user's home, as the user; return its prefix."""
    prefix = user.home / place
    command = [sys.executable, "-I", "-c", _LINK, made.as_uri(), str(prefix), str(user.home / ".cache/hwt")]
    done = subprocess.run(
        command,
        user=user.uid,
        group=user.gid,
        extra_groups=[],
        cwd=user.home,
        env={"HOME": str(user.home)},
        capture_output=True,
        text=True,
        timeout=120 * SLOWNESS,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(next((prefix / "conda-meta").glob("alpha-*.json")).read_text())["name"] == "alpha"
    return prefix


TELLS = "import json, sys, alpha; print(json.dumps([sys.executable, sys.prefix, alpha.__file__, alpha.__version__]))"


def told(prefix: Path) -> list[str]:
    """Return what `TELLS` tells in the environment, wherever it runs."""
    module = f"{prefix}/lib/python{conda_channel.MINOR}/site-packages/alpha.py"
    return [f"{prefix}/bin/python", str(prefix), module, "1.0"]
