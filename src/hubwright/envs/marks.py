"""Marks in a shared environment for programs that install packages: that nobody changes it, and what to do instead.

That nobody can is a matter of its files' owner; without these they would say "Permission denied", or install to where
no kernel looks.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from hubwright.envs import taking

_WORDS = (
    "The environment {name} is shared, and nobody changes it in place.",
    "For yourself: %pip install in a notebook that runs in it,",
    "or an environment of your own: python3 -m venv ~/mine && ~/mine/bin/pip install ipykernel",
    "For everybody: ask who runs this service to add it to hub.yaml (hubwright env add {name} PACKAGE).",
)
_PROGRAM = re.compile(r"pip[0-9.]*")
_PIP = """#!/bin/sh
# pip of an environment that people share: who would change it is told what there is, all else is pip's.
here=${{0%/*}} does='' place='' before=''
for word in "$@"; do
  case $word in
    -*) ;;
    *) does=$word; break ;;
  esac
done
case $does in
  install) place=${{PIP_TARGET:-$PIP_PREFIX}} ;; # a folder of one's own is not this environment
  uninstall) ;;
  *) exec "$here/python" -m pip "$@" ;;
esac
for word in "$@"; do
  case $before in
    -t | --target | --prefix) place=$word ;;
  esac
  case $word in
    --target=* | --prefix=*) place=${{word#*=}} ;;
    -h | --help | --dry-run) place=/ ;;
  esac
  before=$word
done
case $(realpath -m -- "${{place:-$here}}")/ in
  "$(realpath -m -- "$here/..")"/*) printf '%s\\n' {lines} >&2; exit 1 ;;
esac
exec "$here/python" -m pip "$@"
"""


def words(name: str) -> list[str]:
    """Return what is told, in lines."""
    return [line.format(name=name) for line in _WORDS]


def for_pip(prefix: Path, name: str) -> None:
    """Have the programs `pip` of a virtual environment tell it; the mark that `for_python` leaves is not for those."""
    for path in (prefix / "bin").iterdir():
        if _PROGRAM.fullmatch(path.name):
            _write(path, _PIP.format(lines=" ".join(map(shlex.quote, words(name)))), 0o755, prefix)


def for_python(prefix: Path, minor: str, name: str) -> None:
    """Have pip and uv tell it of a Python, 3.11 or the like, that is no virtual environment (PEP 668)."""
    text = "\n ".join(words(name))
    path = prefix / f"lib/python{minor}/EXTERNALLY-MANAGED"
    _write(path, f"[externally-managed]\nError={text}\n", 0o644, prefix)


def for_conda(prefix: Path, name: str) -> None:
    """Have conda and its like tell it (CEP 22)."""
    _write(prefix / "conda-meta" / "frozen", json.dumps({"message": "\n".join(words(name))}) + "\n", 0o644, prefix)


def _write(path: Path, text: str, mode: int, prefix: Path) -> None:
    taking.keep_inside(path.parent, prefix)
    path.unlink(missing_ok=True)  # what is there may be a link to what other environments have, too
    path.write_text(text)
    path.chmod(mode)
