"""The benchmark page is honest: a missed target is named, what was not measured is said to be so."""

import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[3] / "bench"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    import report
    import table

    yield report, table
    for name in ("report", "table"):
        sys.modules.pop(name, None)


def write(bench, folder, rows, name="one"):
    bench[1].write(folder / f"{name}.csv", {"cores": "2"}, rows)


def row(side, result):
    return {"side": side, "user": "u", "ready": 0.1, "session": 0.2, "result": result}


def build(bench, folder):
    pytest.importorskip("matplotlib", reason="the plot needs matplotlib: uv pip install --group bench")
    assert bench[0].main(["--from", str(folder), "--to", str(folder)]) == 0
    return (folder / "benchmarks.md").read_text()


def test_a_csv_is_read_as_it_was_written(bench, tmp_path):
    """Notes, numbers and the machine survive the file."""
    write(bench, tmp_path, [row("plain", 4.0), row("hubwright", 0.5)])
    notes, rows = bench[1].read(tmp_path / "one.csv")
    assert notes == {"cores": "2"}
    assert bench[1].column(rows, "hubwright", "result") == [0.5]


def test_a_missed_target_is_named(bench, tmp_path):
    """Eight times sooner is not ten times sooner."""
    write(bench, tmp_path, [row("plain", 4.0), row("hubwright", 0.5)])
    page = build(bench, tmp_path)
    assert "## What misses its target" in page
    assert "8.00 times better, not 10" in page
    assert (tmp_path / "benchmarks.svg").stat().st_size > 1000


def test_a_reached_target_is_not_listed_as_missed(bench, tmp_path):
    """Sixteen times sooner is."""
    write(bench, tmp_path, [row("plain", 8.0), row("hubwright", 0.5)])
    page = build(bench, tmp_path)
    assert "misses" not in page
    assert "| yes |" in page


def test_one_side_alone_is_no_comparison(bench, tmp_path):
    """A figure without its counterpart is told as not measured."""
    write(bench, tmp_path, [row("plain", 8.0)])
    page = build(bench, tmp_path)
    assert "not measured" in page
    assert "yes" not in page


def test_an_image_of_julia_must_be_faster_than_none(bench, tmp_path):
    """How long its build took is no figure to compare."""
    rows = [("build [s]", 9.0, 90.0), ("a program [s]", 2.0, 0.5), ("a kernel [s]", 2.0, 2.5)]
    write(bench, tmp_path, [dict(zip(("measure", "packages", "image"), row, strict=True)) for row in rows], "julia")
    page = build(bench, tmp_path)
    assert "| Julia, a program | 2 s | 0.5 s | 4.00x | faster | yes |" in page
    assert "| Julia, a kernel | 2 s | 2.5 s | 0.80x | faster | **no** |" in page
    assert "build" not in page.partition("## Remarks")[0]


def test_failures_are_told(bench, tmp_path):
    """Users without a result are counted, and the last result is that of the others."""
    good = {"side": "plain", "user": "a", "ready": 1.0, "session": 2.0, "result": 3.0, "error": ""}
    bad = {"side": "plain", "user": "b", "ready": "", "session": "", "result": "", "error": "gone"}
    write(bench, tmp_path, [good, bad], "many")
    assert "failed: plain 1 of 2" in build(bench, tmp_path)


def test_what_was_measured_on_a_busy_machine_is_named(bench, tmp_path):
    """Nobody can take it for one of the others."""
    rows = [row("plain", 8.0), row("hubwright", 0.5)]
    for name, load in (("one", "7.40"), ("many", "1.20")):
        bench[1].write(tmp_path / f"{name}.csv", {"cores": "2", "load at the start": load}, rows)
    (told,) = (line for line in build(bench, tmp_path).splitlines() if "not quiet" in line)
    assert told.endswith(": `one` (load 7.40).")


def test_readme_says_what_a_figure_alone_does_not(bench, tmp_path):
    """Each of them once, by a number beside the figure: a busy machine, sides that are not the usual ones, failures."""
    report, table = bench
    rows = [
        dict(zip(("measure", "packages", "image"), row, strict=True))
        for row in [("a [s]", 2.0, 0.5), ("b [s]", 2.0, 1.0)]
    ]
    table.write(tmp_path / "julia.csv", {"cores": "2", "load at the start": "3.0"}, rows)
    write(bench, tmp_path, [row("plain", 8.0), row("hubwright", 0.5)])
    found = {name: table.read(tmp_path / f"{name}.csv") for name in ("one", "julia")}
    measured = {name: report._LINES[name](rows) for name, (_, rows) in found.items()}
    readme = tmp_path / "README.md"
    readme.write_text("Before\n<!-- figures -->\nold\n<!-- /figures -->\nAfter\n")
    report.fill_readme(readme, report.figures(measured, {name: notes for name, (notes, _) in found.items()}))
    text = readme.read_text()
    assert text.startswith("Before\n<!-- figures -->\n| | plain stack |") and text.endswith(
        "<!-- /figures -->\nAfter\n"
    )
    assert "| One user: start to first result (median) | 8 s | 0.5 s | 16.0x |" in text
    assert "| Julia, a <sup>1, 2</sup> | 2 s | 0.5 s | 4.00x |" in text
    assert "| Julia, b <sup>1, 2</sup> | 2 s | 1 s | 2.00x |" in text
    assert text.count("Both sides are Hubwright's: without `sysimage`, and with it.") == 1
    assert text.count("The machine was not quiet.") == 1
