"""The profiles section of a deployment in containers works unchanged on the local engine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.conftest import Account
from tests.running import Service

from hubwright.engines.local import check_profiles
from hubwright.engines.local.config import Config
from hubwright.fields import server_key
from hubwright.machine import delegate
from hubwright.profiles.config import Profiles

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]

EXAMPLE = Path(__file__).parents[3] / "examples" / "pharma-docker.yaml"
G = 2**30
MEMORY = ("memory.max", "memory.limit_in_bytes")


@pytest.fixture(scope="module")
def profiles() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(EXAMPLE.read_text())["profiles"]
    return found


@pytest.fixture(scope="module")
def hub(service: Callable[..., Service], profiles: dict[str, Any], person: Account) -> Service:
    sections = {"auth": {"kind": "pam", "allow": "all"}, "engine": {"kind": "local"}, "profiles": profiles}
    text = "\n".join(f"{name}: {json.dumps(section)}" for name, section in sections.items())
    found = service('hub: {listen: "127.0.0.1:{port}"}\n' + text).up()
    found.add_user(person.name)
    return found


def test_sizes_and_reserves_hold(hub: Service, person: Account) -> None:
    body = {"size": "Tiny", "cpu": 0.5, "memory": "1G", "reserve": {"cpu": 0.25, "memory": "512M"}}
    kernel = hub.start(person.name, body=body).kernel()
    names = ("CPU_LIMIT", "MEM_LIMIT", "CPU_GUARANTEE", "MEM_GUARANTEE")
    told = kernel.value(f"import json, os; print(json.dumps([float(os.environ[n]) for n in {names}]))")
    assert told == [0.5, G, 0.25, G / 2]
    # a server with a reserve lies beside those without
    group = delegate.find(f"hubwright-{hub.run.name}").group(f"user.{person.uid}", server_key(person.name, ""))
    limits = {int((one / name).read_text()) for one in group.folders for name in MEMORY if (one / name).exists()}
    assert limits == {G}
    ended = kernel.value(
        "import subprocess, sys; print(subprocess.run([sys.executable, '-c', 'bytearray(3 * 2**29)']).returncode)"
    )
    assert ended == -9, "what goes past the memory is ended"
    before, then = group.usage().cpu, time.monotonic()
    kernel.run("import time; end = time.monotonic() + 4\nwhile time.monotonic() < end: pass")
    assert (group.usage().cpu - before) / (time.monotonic() - then) <= 0.55, "half a processor, and a tenth of it"
    found = hub.api("GET", f"/hubwright/offer?user={person.name}&server=other").json()
    assert found["reserved"] == {"cpu": 0.25, "memory": G // 2}
    hub.stop(person.name)


def test_no_image_is_offered_or_taken(hub: Service, person: Account, profiles: dict[str, Any]) -> None:
    found = hub.api("GET", f"/hubwright/offer?user={person.name}").json()
    assert [one["name"] for one in found["sizes"]] == profiles["default"]["sizes"]
    assert (found["images"], found["reserve"]) == ([], {"cpu": 2, "memory": 4 * G})
    for image in ("Conda", "another"):
        refused = hub.api("POST", f"/users/{person.name}/server", {"size": "Tiny", "image": image})
        assert refused.status_code == 400, refused.text
        assert "An image cannot be asked for" in refused.json()["message"]
    assert hub.listed() == []


def test_check_warns_of_what_is_for_containers(hub: Service) -> None:
    told = json.loads(hub.cli("check", "--json", check=False).stdout)["problems"]
    found = [one for one in told if ".images" in one["where"] or ".volumes" in one["where"] or ".home" in one["where"]]
    assert [one["where"].partition(" ")[2] for one in found] == ["profiles.images", "profiles.default.volumes"]
    assert {one["severity"] for one in found} == {"warning"}


def test_a_home_elsewhere_is_warned_of_too(hub: Service, profiles: dict[str, Any]) -> None:
    """/home/{username} is where the accounts have theirs anyhow."""
    section = {**profiles, "groups": {"team": {"home": "/srv/homes/{username}"}}}
    found = check_profiles(Config(), Profiles.model_validate(section), hub.site)
    wheres = [one.where.removeprefix("hub.yaml profiles.") for one in found if one.severity == "warning"]
    assert wheres == ["images", "default.volumes", "groups.team.home"]
