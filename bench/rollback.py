"""What `hubwright env rollback` takes, for environments of every kind that is built, in a service that somebody uses.

As root, on a Debian for x86_64 with R: PYTHONPATH=. python bench/rollback.py [--out FILE]. The environments are
those of the tests; uv's has numpy and pandas, imported ahead. Each is built twice, and then taken to and fro.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests import conda_channel, julia_here, r_repository
from tests.running import Notebook, Service, port

import table
from accounts import accounts
from hubwright.engines.local.zygotes import seen
from measure import say

HERE = Path(__file__).resolve().parent
YAML = """\
hub: {{listen: "127.0.0.1:{port}"}}
auth: {{kind: pam, allow: all}}
environments:
  uv: {{kind: uv, display: First, packages: [numpy, pandas], preload: [numpy, pandas]}}
  conda: {{kind: conda, display: First, channels: [./channel], packages: [alpha], preload: [alpha]}}
  r: {{kind: r, display: First, repository: ./cran, packages: [low]}}
  julia:
    kind: julia
    display: First
    julia: {julia}
    packages: [Words]
    registries: [./registry/Registry]
    pkg_server: ""
"""
CELLS = {
    "uv": "import os, pandas; print(os.environ['HUBWRIGHT_SHARED'])",
    "conda": "import os, alpha; print(os.environ['HUBWRIGHT_SHARED'])",
    "r": "cat(dirname(find.package('low')))",
    "julia": "using Words; println(pathof(Words))",
}
"""Load a package, and print where it was found."""
COMMAND, CPU = "command", "of that the processor's"
FORKED = ("uv", "conda")
_DEADLINE = 60.0


def main() -> int:
    """Build, measure, write the CSV; 1 when the command of a kind took longer than a second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=10, help="rollbacks a kind, after two that are discarded")
    parser.add_argument("--out", type=Path, default=HERE / "rollback.csv")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hwb-", dir="/var/lib") as place, accounts(1) as people:
        service = _service(Path(place))
        try:
            service.up(wait=400)
            hub = service.folder / "hub.yaml"
            hub.write_text(hub.read_text().replace("First", "Second"))
            service.cli("env", "build")
            notebook = service.start(next(iter(people)))
            notes = table.machine({"julia": julia_here.VERSION})
            rows = [_measure(notebook, name, chosen.number) for name in CELLS]
        finally:
            service.clean()
    table.write(chosen.out, notes, rows)
    return 0 if all(row[f"{COMMAND} [s]"] < 1 for row in rows) else 1


def _service(folder: Path) -> Service:
    folder.chmod(0o755)
    conda_channel.base(folder / "channel")
    conda_channel.write(folder / "channel", conda_channel.module("alpha"))
    r_repository.write(folder / "cran", ("low", "1.0", r_repository.archive("low", "1.0")))
    julia_here.registry(folder / "registry", "IJulia", "Words")
    number = port()
    return Service(folder, YAML.format(port=number, julia=julia_here.julia() / "usr"), number)


def _measure(notebook: Notebook, name: str, number: int) -> dict[str, Any]:
    """Return the row of a kind: seconds from the command's start, and the processor's for it; medians."""
    times = [_once(notebook, name, 1 + n % 2) for n in range(number + 2)][2:]
    row: dict[str, Any] = {"kind": name, "rollbacks": number}
    for what in ("switched", COMMAND, CPU, "first result of a new kernel", "fork ready"):
        found = [one[what] for one in times if what in one]
        row[f"{what} [s]"] = statistics.median(found) if found else ""
    say(f"{row}")
    return row


def _once(notebook: Notebook, name: str, to: int) -> dict[str, float]:
    service = notebook.service
    link = service.environments / name / "current"
    with ThreadPoolExecutor() as pool:
        begin = time.monotonic()
        switched = pool.submit(_until, lambda: link.readlink().name == str(to))
        ready = pool.submit(_until, lambda: name not in FORKED or _is_ready(service, name, to), 0.02)
        before = _processor()
        service.cli("env", "rollback", name, "--to", str(to))
        took = {COMMAND: time.monotonic() - begin, CPU: _processor() - before}
        took["switched"] = switched.result() - begin
        kernel = notebook.kernel(name)
        told = kernel.run(CELLS[name])
        took["first result of a new kernel"] = time.monotonic() - begin
        if f"/versions/{to}/" not in told:
            raise RuntimeError(f"{name} is not version {to}: {told}")
        if name in FORKED:
            took["fork ready"] = ready.result() - begin
    notebook.ask("DELETE", f"api/kernels/{kernel.id}")
    return took


def _is_ready(service: Service, name: str, version: int) -> bool:
    zygotes = seen.ask(service.run / "zygotes.sock", 10)
    return any(one["ready"] and (one["environment"], one["version"]) == (name, version) for one in zygotes)


def _processor() -> float:
    """Return the processor's seconds for all commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _until(done: Callable[[], bool], between: float = 0.001) -> float:
    deadline = time.monotonic() + _DEADLINE
    while not done():
        if time.monotonic() > deadline:
            raise RuntimeError("nothing has changed")
        time.sleep(between)
    return time.monotonic()


if __name__ == "__main__":
    sys.exit(main())
