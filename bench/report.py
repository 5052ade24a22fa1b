"""Write docs/benchmarks.md and docs/benchmarks.svg from the CSVs in bench/, and say in the terminal what misses."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import table

HERE = Path(__file__).resolve().parent
_LOAD = "load at the start"
"""What a CSV says of the machine in its notes; above the number of cores others had work for it, too."""
_BUSY = "The machine was not quiet."


@dataclass(frozen=True)
class Line:
    """One figure of both sides and what it must reach; `best` is how many times better Hubwright must be."""

    what: str
    unit: str
    plain: float | None
    ours: float | None
    best: float | None = None
    under: float | None = None
    more_is_better: bool = False
    remark: str = ""
    words: str = ""
    """The target in words, where they are not "n times better"."""
    loud: bool = False
    """Whether README says the remark, too: the figure alone would be taken for another."""

    @property
    def ratio(self) -> float | None:
        """How many times better Hubwright is than the plain stack."""
        if not self.plain or not self.ours:
            return None
        return self.ours / self.plain if self.more_is_better else self.plain / self.ours

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None when something was not measured."""
        if self.under is not None:
            return None if self.ours is None else self.ours < self.under
        return None if self.ratio is None or self.best is None else self.ratio >= self.best

    @property
    def target(self) -> str:
        """The target in words."""
        if self.words:
            return self.words
        if self.under is not None:
            return f"under {self.under:g} {self.unit}"
        return "" if self.best is None else f"{self.best:.3g} times better"


def main(words: list[str] | None = None) -> int:
    """Write page and plot as the command line says, or `words`; 2 when there is no CSV."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="folder", type=Path, default=HERE)
    parser.add_argument("--to", type=Path, default=HERE.parent / "docs")
    chosen = parser.parse_args(words)
    found = {path.stem: table.read(path) for path in sorted(chosen.folder.glob("*.csv"))}
    found = {name: found[name] for name in _LINES if name in found}
    if not found:
        print(f"No CSV in {chosen.folder}. Run bench/run.py first.", file=sys.stderr)
        return 2
    measured = {name: _LINES[name](rows) for name, (_, rows) in found.items()}
    lines = [line for some in measured.values() for line in some]
    notes = {name: note for name, (note, _) in found.items()}
    chosen.to.mkdir(parents=True, exist_ok=True)
    (chosen.to / "benchmarks.md").write_text(page(lines, notes))
    plot(lines, chosen.to / "benchmarks.svg")
    if chosen.to == HERE.parent / "docs":
        fill_readme(HERE.parent / "README.md", figures(measured, notes))
    for line in lines:
        print(_row(line))
    return 0


def fill_readme(readme: Path, text: str) -> None:
    """Put the figures between README's marks."""
    before, mark, rest = readme.read_text().partition("<!-- figures -->")
    _, end, after = rest.partition("<!-- /figures -->")
    readme.write_text(f"{before}{mark}\n{text}\n{end}{after}")


def figures(measured: dict[str, list[Line]], notes: dict[str, dict[str, str]]) -> str:
    """Return README's table; below it stands what a reader of a figure must know, once each, by number."""
    rows, told = [], []
    for name, lines in measured.items():
        for line in lines:
            words = [line.remark[0].upper() + line.remark[1:].rstrip(".") + "."] if line.loud else []
            words += [_BUSY] if _is_busy(notes[name]) else []
            told += [one for one in words if one not in told]
            marks = ", ".join(str(told.index(one) + 1) for one in words)
            shown = replace(line, what=f"{line.what} <sup>{marks}</sup>") if marks else line
            rows.append(f"{_row(shown).rsplit('|', 3)[0]}|")
    first = next(iter(notes.values()))
    machine = f"{first.get('cores', '?')} cores ({first.get('processor', 'unknown')}), {first.get('memory', '?')}"
    head = "| | plain stack | Hubwright | better by |\n|---|--:|--:|--:|"
    below = "".join(f"\\\n<sup>{number}</sup> {words}" for number, words in enumerate(told, 1))
    return f"{head}\n" + "\n".join(rows) + f"\n\nOn {machine}, {first.get('date', '')}.{below}"


def page(lines: list[Line], notes: dict[str, dict[str, str]]) -> str:
    """Return docs/benchmarks.md."""
    missed = [line for line in lines if line.reached is False]
    unknown = [line for line in lines if line.reached is None and line.target]
    parts = [
        "# Benchmarks",
        "Written by `bench/report.py` from the CSV files in `bench/`; do not edit. "
        "The plain stack is JupyterHub as it comes: LocalProcessSpawner as the same Unix users, "
        "configurable-http-proxy from npm, SQLite, the same Python environment, the same extensions loaded, "
        "no bound on concurrent spawns. "
        "Every user is new to the service, and nothing is started for him before he asks.",
        "| | plain stack | Hubwright | better by | target | reached |\n|---|--:|--:|--:|---|---|\n"
        + "\n".join(_row(line) for line in lines),
        "![How many times better Hubwright is, with the targets](benchmarks.svg)",
    ]
    if missed:
        parts.append("## What misses its target\n\n" + "\n".join(f"* {_shortfall(line)}" for line in missed))
    if unknown:
        parts.append(
            "## What has not been measured on both sides\n\n" + "\n".join(f"* {line.what}" for line in unknown)
        )
    remarks = [f"* {line.what}: {line.remark}" for line in lines if line.remark]
    if busy := [f"`{name}` (load {note[_LOAD]})" for name, note in notes.items() if _is_busy(note)]:
        remarks.append(f"* Measured on a machine that was not quiet: {', '.join(busy)}.")
    if remarks:
        parts.append("## Remarks\n\n" + "\n".join(remarks))
    if "browser" in notes:
        parts.append(Path(__file__).with_name("browser.md").read_text(encoding="utf-8").strip())
    parts.append("## How each was measured\n\n" + "\n".join(f"* `{name}`: {_HOW[name]}" for name in notes))
    parts.append("## Machine\n\n" + "\n".join(_machine(name, note) for name, note in notes.items()))
    parts.append(
        "## Again\n\nAs root, with Chromium and npm, on a quiet machine:\n\n"
        "    python bench/run.py all\n    PYTHONPATH=. python bench/julia.py\n"
        "    PYTHONPATH=. python bench/rollback.py\n"
        "    python bench/run.py torch  # where PyTorch is installed beside Hubwright\n    python bench/report.py"
    )
    return "\n\n".join(parts) + "\n"


def plot(lines: list[Line], target: Path) -> None:
    """Draw how many times better Hubwright is, a bar a figure, with a mark at each target."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "hubwright"
    from matplotlib import pyplot

    drawn = [line for line in reversed(lines) if line.ratio is not None]
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.45 * len(drawn)), layout="constrained")
    colours = ["#c0392b" if line.reached is False else "#2a7f62" for line in drawn]
    bars = axes.barh([line.what for line in drawn], [line.ratio or 0 for line in drawn], color=colours, height=0.6)
    axes.bar_label(
        bars, [f"{line.ratio:.2g}x" if (line.ratio or 0) < 10 else f"{line.ratio:.0f}x" for line in drawn], padding=4
    )
    for place, line in enumerate(drawn):
        if line.best is not None:
            axes.plot([line.best, line.best], [place - 0.4, place + 0.4], color="black", linewidth=2)
    axes.axvline(1, color="grey", linewidth=0.8)
    if drawn:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(pyplot.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.margins(x=0.15)
    axes.set_xlabel("times better than the plain stack (log scale); black: the target")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, metadata={"Date": None})
    pyplot.close(figure)


def _row(line: Line) -> str:
    better = "" if line.ratio is None else f"{line.ratio:.2f}x" if line.ratio < 10 else f"{line.ratio:.1f}x"
    reached = {True: "yes", False: "**no**", None: "not measured" if line.target else ""}[line.reached]
    cells = [line.what, _figure(line.plain, line.unit), _figure(line.ours, line.unit), better, line.target, reached]
    return f"| {' | '.join(cells)} |"


def _figure(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"


def _shortfall(line: Line) -> str:
    if line.words and line.ratio is not None:
        share = line.ratio if line.more_is_better else 1 / line.ratio
        return f"{line.what}: {share:.2f} of the plain stack's; the target is: {line.words}."
    if line.under is not None or line.ratio is None:
        return f"{line.what}: {_figure(line.ours, line.unit)}, not {line.target}."
    return f"{line.what}: {line.ratio:.2f} times better, not {line.best:.3g}."


def _is_busy(note: dict[str, str]) -> bool:
    return float(note.get(_LOAD, 0)) > float(note.get("cores", 1))


def _machine(name: str, note: dict[str, str]) -> str:
    return f"* `{name}`: " + "; ".join(f"{key}: {value}" for key, value in note.items())


def _middle(values: list[float]) -> float | None:
    return median(values) if values else None


def _both(rows: list[dict[str, str]], name: str, **where: str) -> tuple[float | None, float | None]:
    return _middle(table.column(rows, "plain", name, **where)), _middle(table.column(rows, "hubwright", name, **where))


def _one(rows: list[dict[str, str]]) -> list[Line]:
    return [
        Line("One user: start to first result (median)", "s", *_both(rows, "result"), best=10),
        Line("One user: start to server ready (median)", "s", *_both(rows, "ready")),
    ]


def _many(rows: list[dict[str, str]]) -> list[Line]:
    ends = {side: table.column(rows, side, "result") for side in ("plain", "hubwright")}
    asked = {side: sum(row["side"] == side for row in rows) for side in ends}
    failed = {side: asked[side] - len(ends[side]) for side in ends}
    last = [max(ends[side]) if ends[side] else None for side in ends]
    count = max(asked.values())
    remark = (
        f"failed: plain {failed['plain']} of {asked['plain']}, Hubwright {failed['hubwright']} of {asked['hubwright']}."
    )
    return [
        Line(
            f"{count} users at once: last first result", "s", *last, best=10, remark=remark, loud=any(failed.values())
        ),
        Line(f"{count} users at once: median first result", "s", *_both(rows, "result")),
    ]


def _memory(rows: list[dict[str, str]]) -> list[Line]:
    count = rows[0]["count"]
    again = {row["side"]: row["again"] for row in rows if row.get("again", "0") != "0"}
    lost = ", ".join(f"{side} {number}" for side, number in again.items())
    plain, ours = _both(rows, "per_user")
    remark = f"started again after their server or kernel was lost: {lost}." if lost else ""
    merged = next((float(row["per_user"]) for row in rows if row["side"] == "merged"), None)
    told = "`engine.merge_memory: true`, which is off by default; measured after Linux had looked at all four times."
    return [
        Line(f"Memory for each of {count} idle users", "MiB", plain, ours, best=3, remark=remark, loud=bool(lost)),
        Line(
            "The same, with identical pages kept once",
            "MiB",
            plain,
            merged,
            remark=told if merged else "",
            loud=bool(merged),
        ),
        Line("Memory of hub, proxy and supervisor", "MiB", *_both(rows, "service")),
    ]


def _imports(rows: list[dict[str, str]]) -> list[Line]:
    remark = "pandas and matplotlib, in a server that runs; the kernels of both sides are of one environment"
    return [
        Line("The first cell, `import pandas, matplotlib`", "s", *_both(rows, "cell"), best=10, remark=remark),
        Line("The same, with the start of its kernel", "s", *_both(rows, "kernel")),
    ]


def _torch(rows: list[dict[str, str]]) -> list[Line]:
    remark = "PyTorch for processors, in a server that runs; the kernels of both sides are of one environment"
    return [
        Line("The first cell, `import torch`", "s", *_both(rows, "cell"), best=10, remark=remark),
        Line("`import torch`, with the start of its kernel", "s", *_both(rows, "kernel")),
    ]


def _imported(rows: list[dict[str, str]]) -> list[Line]:
    remark = f"{rows[0]['count']} users, each with a kernel that has imported pandas and matplotlib"
    return [Line("Memory for each of them with pandas", "MiB", *_both(rows, "per_user"), best=3, remark=remark)]


def _start(rows: list[dict[str, str]]) -> list[Line]:
    return [Line("Service start to login page (second start)", "s", *_both(rows, "seconds"), under=4)]


def _browser(rows: list[dict[str, str]]) -> list[Line]:
    return [
        Line(f"Browser, {which} visit: Start to output", "s", *_both(rows, "output", visit=which), best=4)
        for which in ("first", "second")
    ]


def _proxy(rows: list[dict[str, str]]) -> list[Line]:
    lines = []
    for row in rows:
        what, _, unit = row["measure"].rstrip("]").partition(" [")
        plain, ours = float(row["configurable-http-proxy"]), float(row["caddy"])
        if what.startswith("request") and "CPU" in what:
            goal = {"best": 1 / 0.65, "words": "at most 0.65 of it"}
        elif what.startswith("add a route"):
            goal = {"under": 1.0}
        elif what.startswith("websocket") and "rate" in what:
            goal = {"best": 1.0, "words": "not below"}
        else:
            goal = {}
        lines.append(Line(f"Proxy: {what}", unit, plain, ours, more_is_better="rate" in what, **goal))
    return lines


def _julia(rows: list[dict[str, str]]) -> list[Line]:
    lines = []
    for row in rows:
        what, without, image = row["measure"].removesuffix(" [s]"), float(row["packages"]), float(row["image"])
        if what != "build":
            remark = "both sides are Hubwright's: without `sysimage`, and with it"
            lines.append(
                Line(f"Julia, {what}", "s", without, image, best=1.0, remark=remark, words="faster", loud=True)
            )
    return lines


def _rollback(rows: list[dict[str, str]]) -> list[Line]:
    remark = "the whole command, its own start included; of the kind that takes longest"
    slowest = max(float(row["command [s]"]) for row in rows)
    return [Line("`hubwright env rollback`", "s", None, slowest, under=1, remark=remark)]


_LINES = {
    "one": _one,
    "many": _many,
    "memory": _memory,
    "imports": _imports,
    "imported": _imported,
    "torch": _torch,
    "start": _start,
    "browser": _browser,
    "proxy": _proxy,
    "julia": _julia,
    "rollback": _rollback,
}
_HOW = {
    "one": "over the real API: POST the start, wait for its 201 (or the progress stream, after 10 s), POST a notebook "
    "session, open the kernel's websocket, run `6*7`. Both services run; one user at a time, sides alternating.",
    "many": "the same, all at once, one service at a time. Both sides have spawn time-outs of 600 s, because with "
    "JupyterHub's default of 30 s the plain stack gives up on its users (18 of 24 at once failed when tried; "
    "`--default-timeouts` shows it).",
    "memory": "sum of the proportional set sizes of all processes that run as the users or exist for their servers "
    "(fork server and agents too), divided by the users; one idle kernel each, one service at a time.",
    "imports": "for a fresh user, whose server runs: POST a notebook session, open the kernel's websocket, run "
    "`import pandas, matplotlib` and a sum. Hubwright's kernel is of a shared environment with `preload`, the plain "
    "stack's of the same folder. The cell alone: from sending it over the open websocket to its result.",
    "torch": "as `imports`, with `import torch` and a product of two small matrices.",
    "imported": "as the memory above, with the kernels and the cell of that; zygotes and their keeper count.",
    "start": "from the command to the login page answering 200, asked every 20 ms, from the second start on.",
    "browser": "Chromium; from the click on Start on the hub's home page to the output of `6*7` in JupyterLab, the key "
    "pressed as soon as the status bar says that the kernel is idle. First visit: fresh user, fresh profile. "
    "Second: the server was stopped, the browser closed, the profile kept. On both sides a person takes 3 s for "
    "name and password and 1 s to find Start; meanwhile Hubwright's pages have the browser fetch and compile "
    "JupyterLab's scripts, which are the same for everybody.",
    "proxy": "Caddy with Hubwright's routing table and configurable-http-proxy, 1,000 routes; CPU is the proxy's own.",
    "julia": "two environments of the same packages, one with `sysimage` and `warm_up`, started in turns with an empty "
    "home; the medians. The packages are those of the tests: one that needs another, with 300 methods to compile.",
    "rollback": "environments of four kinds (uv, conda, R, Julia), each in two versions, in a service in which "
    "somebody's server runs; taken to and fro; the medians. A kernel that is started then is of the right version.",
}


if __name__ == "__main__":
    sys.exit(main())
