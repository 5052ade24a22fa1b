"""pip's packages on top of conda's: chosen and unpacked by uv, as the account without rights.

uv asks the environment's own Python what it is, which runs what conda's packages have for its start; and a package
that comes as source runs its author's program. So root only copies what was made.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from hubwright.envs import Tell, taking, uvs

MARK = "# pip: "
"""Begins a line of the lock, which stays one of conda's for whoever reads that alone."""
_FOLDER = "--find-links "
_VERSION = re.compile(r"[0-9][A-Za-z0-9.!+]*")
_OPTION = re.compile(r"(-i|-f|--index-url|--extra-index-url|--find-links|--no-index)\b")
_CHOSEN = re.compile(r" \+ (\S+)==(\S+?)(?: \(from (\S+)\))?$")


class Pip:
    """uv, for one environment."""

    def __init__(self, bench: Path, prefix: Path, listed: Sequence[str], where: str, tell: Tell) -> None:
        """Work in `bench`, which is the account's own, for the environment in `prefix`.

        Args:
            bench: a folder of `taking.bench`.
            prefix: where conda's packages are linked.
            listed: what the environment file has below `pip`, options too.
            where: what of hub.yaml it is for.
            tell: is told the steps.
        """
        self.bench, self.python, self.listed = bench, prefix / "bin" / "python", listed
        self.where, self.tell = where, tell
        self.env = uvs.environment_in(bench) | {"PATH": f"{prefix}/bin:{os.defpath}"}

    def choose(self, there: Mapping[str, str]) -> list[str]:
        """Return what has to be added, a line for each package; what is there stays as it is.

        Raises:
            MachineError: the two do not fit together, or a package is not to be had.
        """
        kept = [f"{name}=={version}" for name, version in there.items() if _VERSION.fullmatch(version or "")]
        with uvs.written(self.listed) as listed, uvs.written(kept) as constraints:
            words = ["--dry-run", "--break-system-packages", "--requirements", listed, "--constraints", constraints]
            _, said = self._run("pip", "install", *words)
        found = [match.groups() for line in said if (match := _CHOSEN.match(line))]
        return [f"{name} @ {address}" if address else f"{name}=={version}" for name, version, address in found]

    def lock(self, lines: Sequence[str]) -> str:
        """Return what a lock holds of them: each with the hashes of its archives."""
        if not lines:
            return ""
        with uvs.written([*self._options(), *lines]) as exact:
            words = ["--no-deps", "--generate-hashes", "--no-header", "--no-annotate", exact]
            printed, _ = self._run("pip", "compile", *words)
        folders = [Path(place) for line in self.listed if (place := line.removeprefix(_FOLDER)) != line]
        printed = uvs.with_hashes(printed, filter(Path.is_dir, folders), self.where)
        one_each = re.sub(r"\s*\\\n\s*", " ", printed).splitlines()
        return "".join(f"{MARK}{line}\n" for line in one_each if line and not line.startswith("#"))

    def install(self, lines: Sequence[str], prefix: Path, *, exact: bool) -> None:
        """Put packages into an environment, as one's own; files that are there already stay.

        Args:
            lines: what `choose` found, or a lock holds.
            prefix: the environment.
            exact: whether each must have one of the hashes that its line names.
        """
        if not lines:
            return
        made = self.bench / "made"
        with uvs.written([*self._options(), *lines]) as listed:
            words = ["--no-deps", "--prefix", str(made), "--requirements", listed]
            self._run("pip", "install", *words, *(["--require-hashes"] if exact else []))
        taking.take(made, prefix)
        (prefix / ".lock").unlink(missing_ok=True)  # uv's

    def _options(self) -> list[str]:
        return [line for line in self.listed if _OPTION.match(line)]

    def _run(self, *words: str) -> tuple[str, list[str]]:
        return uvs.run_apart([*words, "--python", str(self.python)], self.env, self.where, self.tell)


def locked(lock: str) -> list[str]:
    """Return the lines of a lock that are pip's."""
    return [line.removeprefix(MARK) for line in lock.splitlines() if line.startswith(MARK)]
