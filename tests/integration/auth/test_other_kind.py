"""A way to log in from another package, found by its entry point: its section, its authenticator, its Python hooks."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.integration.auth.hub import RunningHub, told

PACKAGE = '''
from typing import Any, Literal

from jupyterhub.auth import Authenticator
from pydantic import BaseModel, ConfigDict, Field
from traitlets import Unicode

from hubwright.errors import Problem

NAME = "badge"


class Config(BaseModel):
    """People show their badge."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["badge"] = Field(default="badge", description="A badge.")
    word: str = Field(description="What stands on every badge.")


class BadgeAuthenticator(Authenticator):
    """With hooks in Python: before anybody is in, and before a server starts."""

    word = Unicode("", config=True)

    async def authenticate(self, handler, data):
        return data["username"] if data["password"] == self.word else None

    async def run_post_auth_hook(self, handler, authentication):
        if authentication["name"] == "mallory":
            handler.custom_login_error = "The hook keeps mallory out."
            return None
        self.log.warning("hook: %s comes", authentication["name"])
        return authentication

    def get_handlers(self, app):
        from hubwright.auth.login import TellingLoginHandler

        return [("/login", TellingLoginHandler)]


def check(config: Config, site: Any) -> list[Problem]:
    return [Problem("hub.yaml auth.word", "is short.", "Choose a longer one.")] if len(config.word) < 4 else []


def configure(config: Config, site: Any, c: dict[str, dict[str, Any]]) -> None:
    c.setdefault("JupyterHub", {})["authenticator_class"] = "badge_kind.BadgeAuthenticator"
    c.setdefault("Authenticator", {})["allow_all"] = True
    c["BadgeAuthenticator"] = {"word": config.word}
'''
COMPILED = """
import json, sys
from pathlib import Path
from hubwright.config.load import load
from hubwright.auth import FAMILY
from hubwright.hub.compile import own, policy
from tests.integration.auth.outside import site_of
hub = load(Path(sys.argv[1])).hub
site = site_of(Path(sys.argv[2]), 1)
c = own(hub, site)
wanted = {name: c[name] for name in ("Authenticator", "BadgeAuthenticator")}
wanted["JupyterHub"] = {"authenticator_class": c["JupyterHub"]["authenticator_class"]}
problems = [str(problem) for problem in FAMILY.of(hub.auth).check(hub.auth, site)]
print(json.dumps([wanted, policy(hub, site), problems]))
"""


def test_a_kind_of_another_package_is_one_of_the_house(tmp_path, free_port):
    installed = tmp_path / "installed"
    (installed / "badge_kind").mkdir(parents=True)
    (installed / "badge_kind" / "__init__.py").write_text(PACKAGE)
    (installed / "badge-1.dist-info").mkdir()
    (installed / "badge-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: badge\nVersion: 1\n")
    (installed / "badge-1.dist-info" / "entry_points.txt").write_text("[hubwright.auth]\nbadge = badge_kind\n")
    env = {"PYTHONPATH": f"{installed}:.", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}

    def ask(text, *argv):
        file = tmp_path / "hub.yaml"
        file.write_text(text)
        return subprocess.run(
            [sys.executable, *argv, str(file), str(tmp_path)], env=env, capture_output=True, text=True, timeout=90
        )

    wrong = ask("auth: {kind: badge, word: x, wrod: y}\n", "-c", COMPILED)
    assert 'auth.wrod: is not a setting; known here: kind, word. Perhaps you meant "word"?' in wrong.stderr
    settings, policy, problems = json.loads(ask("auth: {kind: badge, word: abc}\n", "-c", COMPILED).stdout)
    assert problems == ["hub.yaml auth.word: is short. Choose a longer one."]
    assert (policy["all"], policy["create"]) == (False, False), "root serves nobody whom hub.yaml does not name"

    settings, _, problems = json.loads(ask("auth: {kind: badge, word: sesame}\n", "-c", COMPILED).stdout)
    assert problems == []
    hub = RunningHub(tmp_path, free_port, settings)
    config = tmp_path / "config.py"
    config.write_text(f"import sys\nsys.path.insert(0, {str(installed)!r})\n{config.read_text()}")
    hub.start()
    try:
        ada = hub.browser()
        assert (ada.login("ada", "sesame").status_code, ada.who()) == (302, "ada")
        assert "hook: ada comes" in hub.log.read_text()
        page = hub.browser().login("mallory", "sesame")
        assert (page.status_code, told(page)) == (403, "The hook keeps mallory out.")
        assert hub.browser().login("ada", "wrong").status_code == 403
    finally:
        hub.stop()
