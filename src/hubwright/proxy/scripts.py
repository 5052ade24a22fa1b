"""Which of JupyterLab's scripts every page of it loads first, as its build says; pure but for reading them.

JupyterLab finds them one after the other: its first script names the next, which name others, four times over. A
browser that is told all of them at once has them when they are asked for.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from hubwright.proxy.static import EXTENSIONS, LAB, OWN_EXTENSIONS

_ENTRY = re.compile(r"Promise\.all\(\[((?:\w+\.e\(\d+\),?)+)\]\)\.then\(\w+\.bind\(\w+,\d+\)\)\)\.main\b")
_CHUNK = re.compile(r"\.e\((\d+)\)")
_CONSUMES = re.compile(r"\bchunkMapping:\{([^}]*)\}")
_FALLBACK = re.compile(r"\b(\d+):\{shareScope:.*?\bfallback:(.*?),treeShakingMode\b")
_NAMED = re.compile(r'(\d+)===\w+\?"(\w+)"')
_FILE = re.compile(r"(\w+)\.([0-9a-f]{16})\.js")
_PART = re.compile(r"\d+\.(?:[0-9a-f]{16}|[0-9a-f]{20})\.js")
_LARGE = 800_000
"""Bytes of all parts of an extension."""


def of_every_page(prefix: Path) -> tuple[str, ...]:
    """Return the addresses, below that of `static.publish`, of what every page loads first, extensions included."""
    core = first(prefix / LAB)
    return (*core, *extensions(prefix / EXTENSIONS), *extensions(OWN_EXTENSIONS)) if core else ()


def extensions(folder: Path) -> tuple[str, ...]:
    """Return the addresses of the extensions' scripts: what a page loads first, and the parts that this names.

    The parts of a large extension are left out: most of them are not needed at the start.
    """
    found: list[str] = []
    for package in sorted([*folder.glob("[!@]*/package.json"), *folder.glob("@*/*/package.json")]):
        build = json.loads(package.read_bytes()).get("jupyterlab", {}).get("_build", {})
        entry = package.parent / build.get("load", "-")
        if not entry.is_file():
            continue  # JupyterLab says in a server's log what is wrong with it
        parts = [path for path in sorted(entry.parent.iterdir()) if _PART.fullmatch(path.name)]
        if sum(path.stat().st_size for path in parts) > _LARGE:
            parts = []
        at = f"extensions/{entry.parent.relative_to(folder)}"
        found += [f"{at}/{entry.name}", *(f"{at}/{path.name}?v={path.name.split('.')[1]}" for path in parts)]
    return tuple(found)


def first(static: Path) -> tuple[str, ...]:
    """Return their addresses below the folder's own, `NAME.HASH.js?v=HASH`, in the order in which they are found.

    The first script of a webpack or rspack build says which chunks make up JupyterLab (`.e(NUMBER)`), which shared
    modules a chunk consumes, and which chunks those are in. A build that says it in another way gives an empty tuple:
    the page then loads as it would without us.
    """
    files = {found[1]: f"{found[0]}?v={found[2]}" for path in static.iterdir() if (found := _FILE.fullmatch(path.name))}
    if "main" not in files:
        return ()
    text = (static / files["main"].partition("?")[0]).read_text(encoding="utf-8")
    entry, mapping = _ENTRY.search(text), _CONSUMES.search(text)
    if not entry or not mapping:
        return ()
    consumes = {chunk: re.findall(r"\d+", modules) for chunk, modules in re.findall(r"(\d+):\[([^\]]*)\]", mapping[1])}
    held = {module: _CHUNK.findall(where) for module, where in _FALLBACK.findall(text)}
    names = dict(_NAMED.findall(text))
    waiting, seen = _CHUNK.findall(entry[1]), dict.fromkeys(["main"])
    while waiting:
        chunk = waiting.pop(0)
        if names.get(chunk, chunk) not in seen:
            seen[names.get(chunk, chunk)] = None
            waiting += [other for module in consumes.get(chunk, ()) for other in held.get(module, ())]
    return tuple(files[name] for name in seen if name in files)
