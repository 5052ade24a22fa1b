"""The idle culler asks its hub through a Unix socket, and ends with it, also when that is killed."""

import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.conftest import wait_until

from hubwright.fields import unix_url
from hubwright.hub.culler import Listening

HUB = """
import subprocess, sys, time
culler = subprocess.Popen(
    [sys.executable, "-m", "hubwright.hub.culler", "--config=", "--timeout=60", "--cull-every=60"],
    env={"JUPYTERHUB_API_TOKEN": "x", "JUPYTERHUB_API_URL": "http://127.0.0.1:1/hub/api"},
    stderr=subprocess.PIPE, text=True,
)
for line in culler.stderr:
    if "refused" in line:  # it has asked the hub once, so it runs
        print(culler.pid, flush=True)
        break
time.sleep(60)
"""


def test_a_killed_hub_leaves_no_culler():
    with subprocess.Popen([sys.executable, "-c", HUB], stdout=subprocess.PIPE, text=True) as hub:
        culler = Path("/proc", hub.stdout.readline().strip(), "stat")
        assert culler.exists()
        hub.send_signal(signal.SIGKILL)
    wait_until(lambda: not culler.exists() or culler.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.mark.parametrize(("limit", "wait"), [(60, 60), (7200, 630)])
def test_servers_are_given_the_time_to_tell_that_they_are_used(limit, wait):
    """After the hub was away, and after the machine has slept: what the hub knows of them is old."""
    now = {"awake": 0.0, "wall": 1e9}
    old, new = {"started": "2000-01-01T00:00:00.000000Z"}, {"started": "2001-09-09T01:46:41.000000Z"}
    listening = Listening(lambda: now["awake"], lambda: now["wall"])

    def after(seconds, slept=0.0):
        now["awake"] += seconds
        now["wall"] += seconds + slept
        return listening.is_idle(inactive=timedelta(seconds=limit), inactive_limit=limit, server=old)

    assert listening.is_idle(inactive=timedelta(seconds=limit), inactive_limit=limit, server=new), "it is younger"
    assert [after(1), after(wait - 2), after(1)] == [False, False, True]
    assert not listening.is_idle(inactive=timedelta(seconds=limit - 1), inactive_limit=limit, server=old)
    assert [after(60), after(5, slept=3600), after(wait - 1), after(1)] == [True, False, False, True]


class Api(BaseHTTPRequestHandler):
    """As much of the hub as the culler needs: two pages of users, whose new servers were used last long ago."""

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path == "/x/hub/api/":
            return self.answer({"version": "6.1.0"})
        second = "offset=1" in url.query
        times = {"last_activity": "2020-01-01T00:00:00Z", "started": "2120-01-01T00:00:00Z"}
        server = {"name": "", "ready": True, "pending": None, "url": "/", **times}
        user = {"name": "bob" if second else "ann", "admin": False, "servers": {"": server}, **times}
        following = {"url": f"http://{self.headers['Host']}/x/hub/api/users?offset=1"}
        return self.answer({"items": [user], "_pagination": {"next": None if second else following}})

    def do_DELETE(self):
        self.server.stopped.append((self.path, self.headers["Authorization"]))
        self.answer({})

    def answer(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        """Say nothing."""


def test_it_stops_idle_servers_of_every_page_through_the_socket(tmp_path):
    path = tmp_path / "Api.sock"
    environment = {"JUPYTERHUB_API_TOKEN": "t", "JUPYTERHUB_API_URL": unix_url(path, "/x/hub/api", 80)}
    argv = [sys.executable, "-m", "hubwright.hub.culler", "--config=", "--timeout=60", "--cull-every=60"]
    with socketserver.ThreadingUnixStreamServer(str(path), Api) as hub:
        hub.stopped = []
        thread = threading.Thread(target=hub.serve_forever, args=(0.05,))
        thread.start()
        with subprocess.Popen(argv, env={**os.environ, **environment}, stderr=subprocess.DEVNULL) as culler:
            try:
                wait_until(lambda: len({*hub.stopped}) == 2)
            finally:
                culler.kill()
                hub.shutdown()
                thread.join()
    assert sorted({*hub.stopped}) == [(f"/x/hub/api/users/{name}/server", "token t") for name in ("ann", "bob")]
