"""How problems look on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hubwright.errors import ConfigError, HubwrightError, Problem

_STYLE = {"error": "bold red", "warning": "yellow"}


def tell_error(error: HubwrightError) -> None:
    """Print an error to stderr, a line for each problem, and what to do below it."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for problem in error.problems if isinstance(error, ConfigError) else (error.problem,):
        text = Text.assemble((f"{problem.severity}: ", _STYLE[problem.severity]))
        if problem.where:
            text.append(f"{problem.where}: ", "bold")
        text.append(problem.what)
        if problem.remedy:
            text.append(f"\n  {problem.remedy}", "cyan")
        console.print(text)


def table(problems: Sequence[Problem]) -> Table:
    """Return problems as a table."""
    found = Table(box=None, pad_edge=False, show_header=False)
    found.add_column(no_wrap=True)
    found.add_column(overflow="fold")
    for problem in problems:
        words = Text.assemble((problem.where, "bold"), ": " if problem.where else "", problem.what)
        if problem.remedy:
            words.append(f"\n{problem.remedy}", "cyan")
        found.add_row(Text(problem.severity, _STYLE[problem.severity]), words)
    return found
