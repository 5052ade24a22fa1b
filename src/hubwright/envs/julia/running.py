"""Runs a program of Julia's as the account without rights: what is asked for goes in, what it tells comes out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hubwright.envs import Tell, leash, trying
from hubwright.errors import MachineError, printable

_MARK = "hubwright\t"
_LONGEST = 3 * 3600.0
_STEP = re.compile(
    r"(\[ Info: )?(Precompiling|Installed|Installing|Cloning|Updating|Resolving|Downloading|Downloaded|Building|✓) ?.*"
)
_PASSED_ON = re.compile(r"(https?|no|ftp|all)_proxy|SSL_CERT_(FILE|DIR)|JULIA_SSL_.*", re.IGNORECASE)


@dataclass(frozen=True)
class Julia:
    """A Julia on one depot."""

    program: Path
    env: Mapping[str, str]
    where: str
    tell: Tell

    def run(self, script: str, asked: Sequence[Sequence[str]], *flags: str) -> dict[str, list[list[str]]]:
        """Run one of the scripts beside this file to its end; return the lines that it told, by their first word.

        Raises:
            MachineError: it says what is wrong, ends by itself, or takes hours.
        """
        path = Path(__file__).with_name(script)
        words = [str(self.program), "--startup-file=no", "--history-file=no", "--color=no", *flags, str(path)]
        command = [sys.executable, "-I", "-m", leash.__name__, str(_LONGEST), *words]
        env = {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
        env |= {**self.env, "HUBWRIGHT_ASKED": "\n".join("\t".join(line) for line in asked)}
        told: dict[str, list[list[str]]] = defaultdict(list)
        said: list[str] = []
        how = trying.identity() | {"stdin": subprocess.PIPE}
        with subprocess.Popen(
            command,
            env=env,
            cwd=self.env["HOME"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            **how,
        ) as process:
            assert process.stdout
            for line in process.stdout:
                self._take(line.rstrip("\n"), told, said)
            code = process.wait()
        if code or "error" in told:
            raise MachineError(self._why(code, told, said), where=self.where)
        return told

    def _take(self, line: str, told: dict[str, list[list[str]]], said: list[str]) -> None:
        if line.startswith(_MARK):
            word, *rest = line.removeprefix(_MARK).split("\t")
            if word == "step":
                self.tell(printable(rest[0]))
            else:
                told[word].append([word, *rest])
            return
        said.append(line)
        del said[:-40]
        if _STEP.match(line.strip()):
            self.tell(printable(line.strip()[:100]))

    def _why(self, code: int, told: Mapping[str, list[list[str]]], said: list[str]) -> str:
        if "error" in told:
            reason = next((line for line in said if line.startswith("ERROR: ")), "")  # of a process that it started
            text = f"{told['error'][0][1]} {reason}".strip()[:1500]
            return f"Julia says: {printable(text).rstrip('.')}."
        if code == leash.TIME_IS_UP:
            return f"Julia took longer than {_LONGEST / 3600:.0f} hours."
        last = printable(" ".join(line.strip() for line in said if line.strip())[-500:])
        return f"Julia ended with code {code}: {last or 'without a word'}."
