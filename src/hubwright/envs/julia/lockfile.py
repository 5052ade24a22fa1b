"""A lock of Julia packages: Project.toml and Manifest.toml in one text, the same wherever the environment lies."""

from __future__ import annotations

from pathlib import Path

from hubwright.errors import MachineError

_FILES = ("Project.toml", "Manifest.toml")
_HEAD = "# hubwright: {}\n"
_HERE = "@version@"
"""Stands for the folder of the version, in which the folders that `packages` names are copied."""


def pack(environment: Path, folder: Path) -> str:
    """Return the text of the two files of an environment that was made in the version `folder`."""
    texts = [_HEAD.format(name) + (environment / name).read_text() for name in _FILES]
    return "\n".join(texts).replace(f'"{folder}/', f'"{_HERE}/')


def unpack(text: str, environment: Path, folder: Path) -> None:
    """Write the two files for the version `folder`.

    Raises:
        MachineError: the text is not of two such files.
    """
    head, _, manifest = text.partition(_HEAD.format(_FILES[1]))
    start, _, project = head.partition(_HEAD.format(_FILES[0]))
    if start.strip() or not project or not manifest:
        raise MachineError("The lock is not one of Julia packages.", remedy='Make it anew with "hubwright env lock".')
    environment.mkdir(mode=0o755, parents=True)
    for name, content in zip(_FILES, (project, manifest), strict=True):
        (environment / name).write_text(content.replace(f'"{_HERE}/', f'"{folder}/'))
