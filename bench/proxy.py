"""Caddy with the routing table on disk against configurable-http-proxy, both as they are deployed, in one run.

One upstream process serves both: 1,000 Unix sockets for Caddy, 1,000 ports for the other. CPU is the proxy's own,
user and system, from /proc. Websocket messages are echoed as bytes, because neither proxy looks into them.
Run it as any user: python bench/proxy.py [--quick] [--out FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hubwright.fields import Site
from hubwright.proxy import ENVIRONMENT, Descriptors, configuration
from hubwright.proxy.table import Table
from plain import proxy_command
from table import machine, write

ROUTES, MANY, CLIENTS = 1000, 5000, 32
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{"started": true}'
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"
)


class Upstream(asyncio.Protocol):
    """Answers every request with the same small JSON; after an upgrade, sends every byte back."""

    echo = False

    def connection_made(self, transport: Any) -> None:
        self.transport, self.buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        if self.echo:
            self.transport.write(data)
            return
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
            self.echo = b"websocket" in head.lower()
            close = b"connection: close" in head.lower()
            self.transport.write(SWITCH if self.echo else ANSWER)
            if close and not self.echo:
                self.transport.close()


async def upstream(folder: Path) -> None:
    """Listen on both kinds of address, tell the ports on stdout, serve until killed."""
    loop = asyncio.get_running_loop()
    ports, servers = [], []
    for number in range(ROUTES):
        (folder / f"k{number}").mkdir()
        servers.append(await loop.create_unix_server(Upstream, folder / f"k{number}" / "http.sock"))
        servers.append(await loop.create_server(Upstream, "127.0.0.1", 0))
        ports.append(servers[-1].sockets[0].getsockname()[1])
    print(json.dumps(ports), flush=True)
    await asyncio.Event().wait()


class Caddy:
    """Ours: routes are files, targets are Unix sockets."""

    name = "caddy"

    def __init__(self, work: Path, ports: list[int]) -> None:
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.port = sockets[0].getsockname()[1]
        prefix = Path(sys.prefix)
        self.site = Site(
            None, work / "state", work, prefix, "", False, ("127.0.0.1", self.port), f"http://127.0.0.1:{self.port}/"
        )
        self.table = Table(self.site.routes, self.site.servers, "/")
        fds = [item.fileno() for item in sockets]
        (work / "caddy.json").write_text(json.dumps(configuration(self.site, Descriptors(*fds))))
        argv = [str(prefix / "bin/caddy"), "run", "--config", str(work / "caddy.json")]
        environment = {"PATH": os.environ["PATH"], "HOME": str(work), **ENVIRONMENT}
        self.process = subprocess.Popen(argv, pass_fds=fds, env=environment, stderr=subprocess.DEVNULL)

    def reconnect(self) -> None:
        """There is no connection: a route is a file."""

    def add(self, number: int) -> None:
        path = quote(f"{self.site.servers}/k{number % ROUTES}/http.sock", safe="").lower()
        self.table.add(f"/user/user{number}/", f"http+unix://{path}:80", {"user": f"user{number}", "server_name": ""})


class Plain:
    """configurable-http-proxy, started as JupyterHub starts it; routes by its API over a connection that stays open."""

    name = "configurable-http-proxy"

    def __init__(self, work: Path, ports: list[int]) -> None:
        self.ports = ports
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
            self.port, api = one.getsockname()[1], two.getsockname()[1]
        argv = [str(proxy_command()), "--ip", "127.0.0.1", "--port", str(self.port), "--api-ip", "127.0.0.1"]
        argv += ["--api-port", str(api), "--error-target", "http://127.0.0.1:9/hub/error", "--log-level", "warn"]
        environment = {**os.environ, "CONFIGPROXY_AUTH_TOKEN": "bench"}
        self.process = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL)
        self.api = HTTPConnection("127.0.0.1", api)

    def reconnect(self) -> None:
        """Open the API connection anew: it closes after five idle seconds."""
        self.api.close()
        self.api.connect()

    def add(self, number: int) -> None:
        body = {"target": f"http://127.0.0.1:{self.ports[number % ROUTES]}", "user": f"user{number}", "server_name": ""}
        headers = {"Authorization": "token bench", "Content-Type": "application/json"}
        self.api.request("POST", f"/api/routes/user/user{number}/", json.dumps(body), headers)
        answer = self.api.getresponse()
        answer.read()
        assert answer.status == 201, answer.status


def cpu(pid: int) -> float:
    """Seconds of processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def request(port: int, count: int, user_of: Callable[[int], int]) -> None:
    """Send `count` requests one after another over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for turn in range(count):
        writer.write(f"GET /user/user{user_of(turn)}/api/status HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        await (reader.readexactly(17) if b"hunked" not in head else reader.readuntil(b"0\r\n\r\n"))
    writer.close()


async def echo(port: int, user: int, count: int, size: int) -> None:
    """Send `count` messages over one websocket, each after the one before has come back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "Host: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    head += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
    writer.write(f"GET /user/user{user}/api/kernels/k/channels HTTP/1.1\r\n{head}\r\n".encode())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    message = os.urandom(size)
    for _ in range(count):
        writer.write(message)
        await reader.readexactly(size)
    writer.close()


def timed(side: Any, work: list[Any]) -> tuple[float, float]:
    """Run coroutines side by side; return wall-clock seconds and the proxy's CPU seconds."""

    async def run() -> None:
        await asyncio.gather(*work)

    used, start = cpu(side.process.pid), time.perf_counter()
    asyncio.run(run())
    wall = time.perf_counter() - start
    return wall, cpu(side.process.pid) - used


def measure(side: Any, quick: bool) -> dict[str, float]:
    """One round of everything but adding."""
    count = 100 if quick else 500
    one = timed(side, [request(side.port, count, lambda _, c=client: c * 31) for client in range(CLIENTS)])
    mixed = timed(
        side, [request(side.port, count, lambda turn, c=c: (turn * 7 + c * 31) % ROUTES) for c in range(CLIENTS)]
    )
    small = timed(side, [echo(side.port, client, count, 1024) for client in range(CLIENTS)])
    large = timed(side, [echo(side.port, client, count // 10, 262144) for client in range(CLIENTS)])
    total = count * CLIENTS
    return {
        "request, a user each connection: CPU [us]": one[1] / total * 1e6,
        "request, another user each time: CPU [us]": mixed[1] / total * 1e6,
        "request, a user each connection: rate [1/s]": total / one[0],
        "websocket echo of 1 KiB: rate [1/s]": total / small[0],
        "websocket echo of 1 KiB: CPU [us]": small[1] / total * 1e6,
        "websocket echo of 256 KiB: rate [MiB/s]": total / 10 / 4 / large[0],
    }


def add_time(side: Any, first: int, count: int) -> float:
    """Median milliseconds to add one route."""
    times = []
    for number in range(first, first + count):
        start = time.perf_counter()
        side.add(number)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"Nothing listens on port {port}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("proxy.csv"))
    parser.add_argument("--upstream", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.upstream:
        asyncio.run(upstream(chosen.upstream))
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="hubwright-bench-", dir=memory) as work:
        servers = Path(work) / "s"  # `Site.servers`
        servers.mkdir()
        argv = [sys.executable, __file__, "--upstream", str(servers)]
        processes = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)]
        try:
            ports = json.loads(processes[0].stdout.readline())
            sides = []
            for kind in (Caddy, Plain):
                sides.append(kind(Path(work), ports))
                processes.append(sides[-1].process)
                wait_for(sides[-1].port)
            rows = compare(sides, chosen.quick)
        finally:
            for process in processes:
                process.kill()
                process.wait()
            processes[0].stdout.close()
    package = proxy_command().parents[1] / "configurable-http-proxy/package.json"
    run = ["node", "--version"], [str(Path(sys.prefix) / "bin/caddy"), "version"]
    node, caddy = (subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()[0] for argv in run)
    versions = {"configurable-http-proxy": json.loads(package.read_text())["version"], "node": node, "caddy": caddy}
    notes = machine(versions) | {"caddy's environment": " ".join(f"{k}={v}" for k, v in ENVIRONMENT.items())}
    write(chosen.out, notes, rows)
    print(chosen.out.read_text())


def compare(sides: list[Any], quick: bool) -> list[dict[str, Any]]:
    """Measure both in turns; return a row for each measure."""
    rounds: dict[str, list[dict[str, float]]] = {side.name: [] for side in sides}
    for side in sides:
        side.reconnect()
        for number in range(ROUTES):
            side.add(number)
        measure(side, True)
    for _ in range(1 if quick else 5):
        for side in sides:
            rounds[side.name].append(measure(side, quick))
    for side in sides:
        side.reconnect()
        for number in range(ROUTES, MANY):
            side.add(number)
        rounds[side.name].append(
            {"add a route, 5,000 present: median [ms]": add_time(side, MANY, 100 if quick else 500)}
        )
    rows = []
    for what in [*rounds["caddy"][0], *rounds["caddy"][-1]]:
        values = {
            name: statistics.median(each[what] for each in found if what in each) for name, found in rounds.items()
        }
        rows.append({"measure": what, **values, "ratio": values["caddy"] / values["configurable-http-proxy"]})
    return rows


if __name__ == "__main__":
    main()
