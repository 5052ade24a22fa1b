"""What the metrics cost with many servers: processor share and memory of their process, and what the hub's loop feels.

`python bench/metrics.py [--servers 1000] [--seconds 75]` writes bench/metrics.csv: simulated control groups of version
1 and 2 (folders with files as the kernel writes them, changed all the time) and, as root, real ones. The history is a
real one, every program but the fork server is the one that runs in a service.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import table
from hubwright.fields import Site, server_key
from hubwright.machine import async_wire, cgroups, site_file, wire

HERE = Path(__file__).parent
EVERY = 5.0
_STAT = """\
anon {anon}
file 41287680
kernel 2138112
kernel_stack 98304
pagetables 1130496
percpu 1440
sock 4096
vmalloc 0
shmem 0
zswap 0
zswapped 0
file_mapped 20275200
file_dirty 12288
file_writeback 0
swapcached 0
anon_thp 0
file_thp 0
shmem_thp 0
inactive_anon 84000768
active_anon 8192
inactive_file {inactive}
active_file 13647872
unevictable 0
slab_reclaimable 610784
slab_unreclaimable 355568
slab 966352
workingset_refault_anon 0
workingset_refault_file 38
workingset_activate_anon 0
workingset_activate_file 0
workingset_restore_anon 0
workingset_restore_file 0
workingset_nodereclaim 0
pgscan 0
pgsteal 0
pgfault 76014
pgmajfault 113
"""
_OLD_STAT = """\
cache 41287680
rss {anon}
rss_huge 0
shmem 0
mapped_file 20275200
dirty 12288
writeback 0
swap 0
pgpgin 67000
pgpgout 34000
pgfault 76014
pgmajfault 113
inactive_anon 84000768
active_anon 8192
inactive_file 0
active_file 13647872
unevictable 0
hierarchical_memory_limit 2147483648
hierarchical_memsw_limit 2147483648
total_cache 41287680
total_rss {anon}
total_inactive_file {inactive}
total_active_file 13647872
total_unevictable 0
"""


def new_files(spent: float, held: int) -> dict[str, dict[str, str]]:
    """Return the files of one server's group of version 2, by controller: all in one folder."""
    micro = int(spent * 1e6)
    return {
        "memory": {
            "memory.current": f"{held}\n",
            "memory.stat": _STAT.format(anon=held // 2, inactive=held // 10),
            "memory.max": "2147483648\n",
            "cpu.stat": f"usage_usec {micro}\nuser_usec {micro}\nsystem_usec 0\nnr_periods 10\nnr_throttled 0\n",
            "cpu.max": "100000 100000\n",
            "pids.current": "14\n",
            "pids.max": "512\n",
        }
    }


def old_files(spent: float, held: int) -> dict[str, dict[str, str]]:
    """Return the files of one server's groups of version 1, by controller."""
    return {
        "memory": {
            "memory.usage_in_bytes": f"{held}\n",
            "memory.stat": _OLD_STAT.format(anon=held // 2, inactive=held // 10),
            "memory.limit_in_bytes": "2147483648\n",
        },
        "cpuacct": {"cpuacct.usage": f"{int(spent * 1e9)}\n"},
        "cpu": {"cpu.cfs_quota_us": "100000\n", "cpu.cfs_period_us": "100000\n"},
        "pids": {"pids.current": "14\n", "pids.max": "512\n"},
    }


@dataclass
class Groups:
    """Where the groups of a run are; `change` makes every counter another one."""

    version: int
    mounts: dict[str, Path]
    base: str
    change: Callable[[], None] = lambda: None


@contextmanager
def simulated(version: int, folder: Path, keys: dict[str, tuple[str, str]]) -> Iterator[Groups]:
    """Make folders with files as the kernel writes them."""
    kinds = ("memory", "cpu", "pids") if version == 2 else ("memory", "cpu", "cpuacct", "pids")
    mounts = {kind: folder / ("unified" if version == 2 else kind) for kind in kinds}
    files, spent = (new_files if version == 2 else old_files), dict.fromkeys(keys, 0.0)

    def change() -> None:
        for number, key in enumerate(keys):
            spent[key] += random.random() * EVERY * 0.1
            for kind, texts in files(spent[key], random.randrange(90, 110) * 2**20).items():
                place = mounts[kind] / "bench" / f"user.{1000 + number}" / key
                place.mkdir(parents=True, exist_ok=True)
                for name, text in texts.items():
                    (place / name).write_text(text)

    change()
    yield Groups(version, mounts, "bench", change)


@contextmanager
def real(keys: dict[str, tuple[str, str]]) -> Iterator[Groups]:
    """Make real control groups, which nothing runs in."""
    hierarchy = cgroups.find(f"hubwright-bench-{os.getpid()}")
    try:
        for number, key in enumerate(keys):
            hierarchy.group(f"user.{1000 + number}", key).make()
        yield Groups(hierarchy.version, hierarchy.mounts, hierarchy.base)
    finally:
        hierarchy.group().sweep()


def fork_server(path: Path, groups: Groups, keys: dict[str, tuple[str, str]]) -> socket.socket:
    """Answer as the fork server does when it is asked whose groups there are."""
    listener = wire.listen(path, 0o600)

    def serve() -> None:
        for connection in wire.accepted(listener):
            asked = wire.receive(connection, 5).get("keys") or ()
            servers = {key: [*keys[key], 1, 1] for key in asked if key in keys}
            mounts = {kind: str(mount) for kind, mount in groups.mounts.items()}
            answer = {"ok": True, "version": groups.version, "mounts": mounts, "base": groups.base}
            connection.sendall(wire.encode({**answer, "servers": servers}))

    threading.Thread(target=serve, daemon=True).start()
    return listener


def measure(
    kind: str, groups: Groups, keys: dict[str, tuple[str, str]], folder: Path, seconds: float
) -> dict[str, Any]:
    """Run the metrics over the groups for so long, and return what they took."""
    site = Site(None, folder / "state", folder / "run", Path(sys.prefix), "root", False, ("127.0.0.1", 1), "http://x/")
    for place in (site.state, site.run):
        place.mkdir()
    site_file.save(site, site.run / "site.json")
    settings = {"source": "hubwright.engines.local.usage", "every": EVERY, "disk_every": 86400, "keep": {}}
    (site.run / "metrics.json").write_text(json.dumps(settings))
    listener = fork_server(site.fork_socket, groups, keys)
    environment = {"PATH": "/usr/bin:/bin", "HUBWRIGHT_SITE": str(site.run / "site.json"), "HOME": str(folder)}
    process = subprocess.Popen([sys.executable, "-I", "-m", "hubwright.metrics"], env=environment)
    try:
        looked = psutil.Process(process.pid)
        wait(lambda: site.metrics_socket.exists() and shown(site) == len(keys), 30)
        time.sleep(EVERY)
        begin, spent, most = time.monotonic(), cpu(looked), 0
        while time.monotonic() - begin < seconds:
            groups.change()
            time.sleep(EVERY / 2)
            most = max(most, looked.memory_info().rss)
        share = (cpu(looked) - spent) / (time.monotonic() - begin)
        lags, takes = asyncio.run(loop_lag(site))
        return {
            "groups": kind,
            "servers": len(keys),
            "every_s": EVERY,
            "seconds": seconds,
            "cpu_percent_of_a_core": 100 * share,
            "rss_mb": most / 2**20,
            "disk_mb": sum(path.stat().st_size for path in site.state.iterdir()) / 2**20,
            "answer_all_ms": 1000 * takes["usage"],
            "answer_prometheus_ms": 1000 * takes["prometheus"],
            "loop_held_up_ms": 1000 * max(lags),
        }
    finally:
        process.terminate()
        process.wait(10)
        listener.close()


def cpu(process: psutil.Process) -> float:
    """Seconds of processor time that a process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


def shown(site: Site) -> int:
    """How many servers the metrics tell of."""
    try:
        return len(json.loads(asyncio.run(ask(site, {"op": "usage", "users": None})))["servers"])
    except Exception as error:
        if type(error).__name__ != "NotRunning":
            raise
        return 0


async def ask(site: Site, request: dict[str, Any]) -> bytes:
    """Ask as the hub does."""
    async with async_wire.connect(site.metrics_socket) as connection:
        connection.send(request)
        head = await connection.receive(10)
        return await connection.receive_bytes(int(head["bytes"]), 10)


async def loop_lag(site: Site) -> tuple[list[float], dict[str, float]]:
    """Ask for everything, and see how late a loop is meanwhile that wants to run every 2 ms."""
    lags: list[float] = []

    async def look() -> None:
        while True:
            begin = time.perf_counter()
            await asyncio.sleep(0.002)
            lags.append(time.perf_counter() - begin - 0.002)

    looking = asyncio.create_task(look())
    takes = {}
    for name, request in (
        ("usage", {"op": "usage", "users": None, "all": True, "hours": 3}),
        ("prometheus", {"op": "prometheus"}),
    ):
        await ask(site, request)  # once for its imports
        begin = time.perf_counter()
        await ask(site, request)
        takes[name] = time.perf_counter() - begin
    looking.cancel()
    return lags, takes


def wait(true: Callable[[], bool], seconds: float) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise RuntimeError("The metrics do not tell of every server.")
        time.sleep(0.2)


def main() -> None:
    """Measure every kind of groups that this machine allows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=75)
    parser.add_argument("--out", type=Path, default=HERE / "metrics.csv")
    words = parser.parse_args()
    keys = {server_key(f"user{n}", ""): (f"user{n}", "") for n in range(words.servers)}
    rows = []
    kinds = ["simulated, version 1", "simulated, version 2", *(["real"] if os.geteuid() == 0 else [])]
    notes = table.machine({})
    for kind in kinds:
        folder = Path(tempfile.mkdtemp(prefix="hwb-", dir="/dev/shm"))
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            made = real(keys) if kind == "real" else simulated(int(kind[-1]), folder, keys)
            groups = stack.enter_context(made)
            name = f"real, version {groups.version}" if kind == "real" else kind
            rows.append(measure(name, groups, keys, folder, words.seconds))
        print(rows[-1], flush=True)
    table.write(words.out, notes, rows)


if __name__ == "__main__":
    main()
