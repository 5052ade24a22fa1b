"""A whole service of four tiny programs under the real supervisor: `python tiny_service.py FOLDER PORT [--keep]`."""

import os
import socket
import sys
from pathlib import Path

from hubwright.care.listeners import INTERNAL, PUBLIC
from hubwright.care.part import Part
from hubwright.care.supervise import Service, up
from hubwright.errors import HubwrightError
from hubwright.fields import Site
from hubwright.machine.place import place

ECHO = f"""
import os, socket
listener = socket.socket(fileno={PUBLIC})
while True:
    connection, _ = listener.accept()
    connection.sendall(b"%d" % os.getpid())
    connection.close()
"""
FORK_SERVER = """
import json, os, signal, socket, subprocess, sys, time
path, record, busy = sys.argv[1:]
if os.path.exists(record):
    notebook = int(open(record).read())
else:
    notebook = subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True).pid
    open(record, "w").write(str(notebook))
if os.path.exists(path):
    os.unlink(path)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
def runs():
    try:
        os.waitpid(notebook, os.WNOHANG)
    except ChildProcessError:
        pass
    return os.path.exists(f"/proc/{notebook}/cmdline") and b"sleep" in open(f"/proc/{notebook}/cmdline", "rb").read()
while True:
    connection, _ = listener.accept()
    request = json.loads(connection.makefile().readline())
    if request["op"] == "stop_all" and runs():
        time.sleep(float(busy))
        os.kill(notebook, signal.SIGTERM)
    answer = {"ok": True, "servers": [{"pid": notebook}] if runs() else []}
    try:
        connection.sendall(json.dumps(answer).encode() + b"\\n")
    except OSError:
        pass
    connection.close()
"""
SLEEP = "import sys, time; open(sys.argv[1], 'w').close(); time.sleep(1000)"


class Terminal:
    def say(self, text):
        print(text, flush=True)

    warn = say

    def wait(self, text):
        pass


def tiny_site(folder: Path, port: int) -> Site:
    site = place(f"127.0.0.1:{port}", None, None, folder / "nobody's")
    options = {"state": folder / "state", "run": folder / "run" / "x", "privileged": False}
    return Site(**{**{name: getattr(site, name) for name in site.__dataclass_fields__}, **options})


def parts(site: Site) -> list[Part]:
    def part(name, code, *arguments, **options):
        argv = (sys.executable, "-I", "-S", "-c", code, *map(str, arguments))
        return Part(name, argv, env={"PATH": "/usr/bin:/bin"}, log=site.logs / f"{name}.log", **options)

    (site.servers / "x").mkdir(exist_ok=True)
    version = os.environ.get("TINY_VERSION", "1")
    return [
        part(
            "fork-server",
            FORK_SERVER,
            site.fork_socket,
            site.servers / "x" / "server.json",
            os.environ.get("TINY_BUSY", "0"),
            ready=site.fork_socket.exists,
        ),
        part("caddy", os.environ.get("TINY_CADDY", "") + ECHO, descriptors=(PUBLIC, INTERNAL), version=version),
        part("hub", os.environ.get("TINY_HUB", SLEEP), site.run / "ready", ready=(site.run / "ready").exists),
    ]


def answers(site: Site) -> bool:
    with socket.create_connection(site.listen, timeout=2) as client:
        return client.recv(10) != b""


def main() -> None:
    site = tiny_site(Path(sys.argv[1]), int(sys.argv[2]))
    try:
        service = Service(parts, answers, lambda site: print("opened", flush=True))
        up(site, service, Terminal(), keep="--keep" in sys.argv)
    except HubwrightError as error:
        print(error, flush=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
