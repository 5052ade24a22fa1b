"""What is mended after a fork must be what an import in the user's own process would give."""

from __future__ import annotations

import json
import subprocess
import sys

CODE = """
import importlib, json, os, sys
os.environ["HOME"] = "/root-of-the-fork-server"
import send2trash.plat_other as trash
from hubwright.engines.local import preload
os.environ["HOME"] = "/home/ada"
def plain():
    return {name: repr(value) for name, value in vars(trash).items() if isinstance(value, str | bytes | int)}
before = plain()
preload.thaw_home()
mended = plain()
importlib.reload(trash)
print(json.dumps([before, mended, plain()]))
"""


def test_the_trash_is_the_users_own() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=True)
    before, mended, reloaded = json.loads(done.stdout)
    assert mended == reloaded != before
