"""A group of real accounts with a server of its own, and a client that writes in a notebook with others."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

from hubwright.engines.local import collaboration
from tests.conftest import Account, remove_account, wait_until
from tests.integration.people.test_apply import as_user
from tests.running import PREFIX, Notebook, Service
from tests.slowness import SLOWNESS

YAML = """\
hub: {name: Physics Lab, listen: "127.0.0.1:{port}", landing: home}
people:
  roster: people.yaml
  ids: %(ids)s
  shared:
    - {folder: %(folder)s, group: %(group)s, collaboration: true}
"""
AT_ONCE = 8
"""Seconds within which who has left the group must be out: a server asks every two, a hub its provider every second."""
USUAL = """\
auth: {kind: pam, allow: all}
engine: {kind: local, memory: 1G}
"""

NOTEBOOK = {
    "cells": [{"cell_type": "code", "id": "a", "metadata": {}, "execution_count": None, "outputs": [], "source": "1"}],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


class Group:
    """A group, its folder, and a service in which it has a server of its own."""

    def __init__(self, service: Callable[[str], Service], people: list[Account], sections: str = USUAL) -> None:
        first = 2_000_000 + secrets.randbelow(900_000) * 1000
        self.name = f"hwg-{secrets.token_hex(4)}"
        self.team = f"team-{self.name}"
        self.folder = Path(f"/srv/hwt-{secrets.token_hex(4)}")
        self.people, self.domain = people, ""
        words = {"ids": f"{first}-{first + 999}", "folder": self.folder, "group": self.name}
        self.service = service((YAML + sections) % words)
        self.consist_of(*people)

    def consist_of(self, *people: Account) -> None:
        """Write the roster, by addresses of the group's domain: these are in the group, the others are not."""
        lines = [{"address": one.name + self.domain, "groups": [self.name] * (one in people)} for one in self.people]
        (self.service.folder / "people.yaml").write_text(json.dumps(lines))

    def apply(self) -> dict[str, Any]:
        """Bring everything into step; all of it must succeed."""
        done = json.loads(self.service.cli("apply", "--json", "--yes").stdout)
        assert not done["problems"], done
        assert not [step for step in done["steps"] if step["error"]], done
        return done

    def begin(self, by: Account, choice: dict[str, Any] | None = None) -> Notebook:
        """Have somebody start its server, unless it runs."""
        hub, headers = self.service, {"Authorization": f"token {self.service.token(by.name)}"}
        answer = hub.api("POST", f"/users/{self.team}/server", choice or {}, headers=headers)
        running = answer.status_code == 400 and "is already running" in answer.text
        assert running or answer.status_code in (201, 202), f"{answer.text}\n{hub.logs()}"
        return self.ready()

    def with_notebook(self) -> Notebook:
        """Return its server, with a notebook that Ada has put into the folder; she and Bob are in the group."""
        self.consist_of(*self.people[:2])
        self.apply()
        ada = self.people[0]
        found = self.begin(ada)
        as_user(ada.name, f"cat > {self.folder}/n.ipynb <<'EOF'\n{json.dumps(NOTEBOOK)}\nEOF")
        return found

    def write_together(self, notebook: Notebook) -> None:
        """Have Ada and Bob write in that notebook; it is saved, and Bob may change the file."""
        ada, bob = [Writer(notebook, "n.ipynb", self.service.token(one.name)) for one in self.people[:2]]
        for one in (ada, bob):
            wait_until(lambda one=one: one.sources == ["1"])
        ada.write(" + 2")
        wait_until(lambda: bob.sources == ["1 + 2"])
        bob.write(" + 3")
        wait_until(lambda: ada.sources == ["1 + 2 + 3"])
        file = self.folder / "n.ipynb"
        wait_until(lambda: "1 + 2 + 3" in file.read_text())
        as_user(self.people[1].name, f"echo >> {file}; rm {file}")

    def see_bob_leave(self, notebook: Notebook) -> None:
        """Take Bob out by the roster, while he has the notebook open."""
        ada, bob = self.people[:2]
        writer = Writer(notebook, "n.ipynb", self.service.token(bob.name))
        wait_until(lambda: writer.sources == ["1"])
        self.consist_of(ada)
        self.apply()
        self.check_out(bob, notebook, writer)

    def check_out(self, left: Account, notebook: Notebook, his: Writer) -> None:
        """See that who has just left the group loses his open page at once and gets in no more, and Ada stays."""
        token = self.service.token(left.name)
        wait_until(lambda: his.is_out, AT_ONCE)
        wait_until(lambda: notebook.ask("GET", "api/contents", token=token).status_code == 403, AT_ONCE)
        headers = {"Authorization": f"token {token}"}
        assert self.service.api("DELETE", f"/users/{self.team}/server", headers=headers).status_code in (403, 404)
        ada = self.service.token(self.people[0].name)
        assert notebook.ask("GET", "api/contents", token=ada).status_code == 200

    def ready(self) -> Notebook:
        """Wait until its server is ready, that somebody starts."""
        hub = self.service
        deadline = time.monotonic() + 60 * SLOWNESS
        while not (model := hub.server(self.team, "")).get("ready"):
            assert model.get("pending") and time.monotonic() < deadline, f"{model}\n{hub.logs()}"
            time.sleep(0.1)
        return Notebook(hub, self.team, "")


@contextmanager
def group_of(service: Callable[[str], Service], people: list[Account], sections: str = USUAL) -> Iterator[Group]:
    """Make a group, with these other sections of hub.yaml; its account, home, folder and itself go at the end."""
    made = Group(service, people, sections)
    try:
        yield made
    finally:
        made.service.clean()
        remove_account(made.team)
        shutil.rmtree(f"/home/{made.team}", ignore_errors=True)
        subprocess.run(["groupdel", made.name], check=False, capture_output=True)
        subprocess.run(["rm", "-rf", "--", str(made.folder)], check=True)


class Writer:
    """Somebody who has a notebook of the group open, as JupyterLab would have it."""

    def __init__(self, notebook: Notebook, path: str, token: str) -> None:
        place = str(collaboration.place(PREFIX))
        if place not in sys.path:
            sys.path.append(place)
        import pycrdt

        self.pycrdt, self.doc = pycrdt, pycrdt.Doc()
        body = {"format": "json", "type": "notebook"}
        session = notebook.ask("PUT", f"api/collaboration/session/{path}", body, token=token)
        assert session.status_code in (200, 201), session.text
        told = session.json()
        room = f"json:notebook:{told['fileId']}"
        self.socket = notebook.socket(f"api/collaboration/room/{room}?sessionId={told['sessionId']}", token=token)
        self.socket.settimeout(0.2)
        self.socket.send_binary(pycrdt.create_sync_message(self.doc))

    @property
    def sources(self) -> list[str]:
        """The text of each cell, as this one sees it now."""
        self.listen()
        cells = self.doc.get("cells", type=self.pycrdt.Array)
        return [str(cell["source"]) for cell in cells]

    def listen(self) -> None:
        """Take what the others have written."""
        while True:
            try:
                message = self.socket.recv()
            except websocket.WebSocketTimeoutException:
                return
            if isinstance(message, bytes) and message[:1] == b"\0":
                reply = self.pycrdt.handle_sync_message(message[1:], self.doc)
                if reply:
                    self.socket.send_binary(reply)

    @property
    def is_out(self) -> bool:
        """Whether the server has closed it."""
        try:
            self.listen()
        except (websocket.WebSocketConnectionClosedException, ConnectionError):
            return True
        return False

    def write(self, text: str) -> None:
        """Add to the first cell."""
        before = self.doc.get_state()
        source = self.doc.get("cells", type=self.pycrdt.Array)[0]["source"]
        source += text
        self.socket.send_binary(self.pycrdt.create_update_message(self.doc.get_update(before)))
