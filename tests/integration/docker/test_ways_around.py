"""pharma-docker row 5: form, link, REST API, named servers, hooks of `extra`, shares and a restarted hub lead around no
profile, with either engine."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from tests.conftest import Account, wait_until
from tests.integration.auth.hub import Browser
from tests.integration.docker.daemon import FOLDERS, SKELETON, Dockerd
from tests.running import PREFIX, Notebook, Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

M = 2**20
MODULE = f"hwt_hooks_{os.getpid()}"
HOOKS = """
from hubwright.auth.pam.authenticator import HelperPAMAuthenticator
from hubwright.engines.{engine}.spawner import {spawner}

WIDE = {{
    "mem_limit": 64 << 30, "cpu_limit": 64.0, "mem_guarantee": 1 << 30, "cpu_guarantee": 8.0, "memory": 64 << 30,
    "cpu": 64.0, "processes": 100000, "image": "root:latest", "volumes": {{"/": "/host"}},
    "read_only_volumes": {{"/root": "/host-root"}}, "extra_host_config": {{"privileged": True, "mem_limit": "64g"}},
    "extra_create_kwargs": {{"user": "0"}}, "environment": {{"MEM_LIMIT": "64", "CPU_LIMIT": "64"}},
}}


def widen(spawner):
    for name, value in WIDE.items():
        if spawner.has_trait(name):
            setattr(spawner, name, value)


def hook(spawner):
    widen(spawner)
    if spawner.name == "asks":
        spawner.user_options = {{"size": "Huge"}}
    if spawner.name == "shape":
        spawner.user_options = {{"mem_limit": 0}}
    if spawner.name == "less":
        spawner.user_options = {{"size": "Small", "memory": "300M"}}


class Hooked({spawner}):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.pre_spawn_hook = hook
        self.auth_state_hook = lambda spawner, state: widen(spawner)


class Gate(HelperPAMAuthenticator):
    async def pre_spawn_start(self, user, spawner):
        widen(spawner)
"""
LIMITS = """
import json, os
def limit():
    for line in open("/proc/self/cgroup"):
        _, kind, path = line.strip().split(":", 2)
        for base in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup") if kind in ("memory", "") else ():
            for name in (f"{base}{path}/memory.limit_in_bytes", f"{base}{path}/memory.max", f"{base}/memory.limit_in_bytes"):
                if os.path.exists(name):
                    return int(open(name).read())
print(json.dumps([limit(), os.environ["MEM_LIMIT"], os.environ["CPU_LIMIT"], os.getuid(), os.path.exists("/host")]))
"""


@pytest.fixture(scope="module", params=["local", "docker"])
def hub(request: pytest.FixtureRequest, service: Callable[..., Service]) -> Iterator[Service]:
    """A service whose spawner and authenticator have hooks that set what they can."""
    spawner = {"local": "ForkSpawner", "docker": "ContainerSpawner"}[request.param]
    engine: dict[str, Any] = {"kind": request.param}
    if request.param == "docker":
        dockerd: Dockerd = request.getfixturevalue("dockerd")
        engine |= {"socket": dockerd.url, "image": SKELETON, "pull": "never", "volumes": FOLDERS}
    file = next((PREFIX / "lib").glob("python3*/site-packages")) / f"{MODULE}.py"
    file.write_text(HOOKS.format(engine=request.param, spawner=spawner))
    own = ["self", "shares!user", "read:users:name"]
    settings = {
        "hub": {"listen": "127.0.0.1:@PORT@"},
        "auth": {"kind": "pam", "allow": "all"},
        "engine": engine,
        "profiles": {
            "sizes": {
                "Small": {"cpu": 0.5, "memory": "500M"},
                "Tiny": {"cpu": 0.25, "memory": "400M"},
                "Huge": {"cpu": 2, "memory": "4G"},
            },
            "default": {"sizes": ["Small", "Tiny"], "servers": 5},
        },
        "extra": {
            "JupyterHub": {
                "spawner_class": f"{MODULE}.Hooked",
                "authenticator_class": f"{MODULE}.Gate",
                "load_roles": [{"name": "user", "scopes": own}],
            }
        },
    }
    made = None
    try:
        made = service(json.dumps(settings, indent=1).replace("@PORT@", "{port}")).up(wait=150)
        yield made
    finally:
        if made:
            made.clean()  # while its hub still has the hooks
        file.unlink()


@pytest.fixture(scope="module")
def ada(hub: Service, module_account: Callable[..., Account]) -> Account:
    made = module_account()
    hub.add_user(made.name)
    return made


def ask(hub: Service, user: Account, body: Any, server: str = "", **more: Any) -> httpx.Response:
    path = f"/users/{user.name}/servers/{server}" if server else f"/users/{user.name}/server"
    return hub.api("POST", path, body, **more)


def held(hub: Service, user: Account, server: str = "") -> list[Any]:
    """Return the memory the kernel allows, memory and processors as told, whose it is, whether it sees the machine."""
    wait_until(lambda: hub.server(user.name, server).get("ready"), 90)
    found: list[Any] = Notebook(hub, user.name, server).kernel().value(LIMITS)
    return found


def nothing_runs(hub: Service, user: Account) -> bool:
    return hub.api("GET", f"/users/{user.name}").json()["servers"] == {}


BODIES: list[tuple[str, int]] = [
    ('{"size": "Huge"}', 403),
    ('{"cpu": NaN, "memory": Infinity}', 400),
    ('{"memory": 1e300}', 400),
    ('{"cpu": 0}', 400),
    ('{"memory": -1}', 400),
    ('{"cpu": [0.5]}', 400),
    ('{"memory": "0.5"}', 400),
    ('{"cpu": 0.6}', 403),
    ('{"home": "/root"}', 403),
    ('{"image": "root:latest"}', 400),
    ('{"mem_limit": 1}', 400),
    ('["size"]', 400),
    ('"Small"', 400),
    ('{"size": "Small"', 400),
]


@pytest.mark.parametrize(("body", "status"), BODIES)
def test_the_rest_api_with_any_body_starts_nothing_that_may_not_be(
    hub: Service, ada: Account, body: str, status: int
) -> None:
    for path in (f"/users/{ada.name}/server", f"/users/{ada.name}/servers/named"):
        answer = hub.api("POST", path, content=body, headers={**hub.admin(), "Content-Type": "application/json"})
        statuses = (400, 403) if "image" in body else (status,)  # without containers there is none to be had
        assert answer.status_code in statuses and len(answer.json()["message"]) > 10, answer.text
    assert nothing_runs(hub, ada)


def test_the_form_and_a_link_are_held_to_the_same(hub: Service, ada: Account) -> None:
    """Also for a named server; what may be had starts by the form, with the limits asked for."""
    browser = Browser(hub.url)
    with browser.client:
        assert browser.login(ada.name, ada.password).status_code == 302
        forms = ("/hub/spawn", f"/hub/spawn/{ada.name}/named")
        for form in forms:
            for asked in (
                {"size": "Huge"},
                {"cpu": "-1"},
                {"memory": "4G"},
                {"home": "/root"},
                {"image": "root:latest"},
            ):
                answer = browser.submit("/hub/home", form, **asked)
                assert answer.status_code in (400, 403), (form, asked, answer.text)
            own = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}
            link = browser.client.get(f"{form}?opt-size=Huge", headers=own)
            assert "no size" in link.text and "Huge" in link.text, (link.status_code, link.headers, link.text)
        assert nothing_runs(hub, ada)
        for form, server in zip(forms, ("", "named"), strict=True):
            assert browser.submit("/hub/home", form, size="Small", memory="350M").status_code == 302
            assert held(hub, ada, server)[:2] == [350 * M, str(350 * M)]
            hub.stop(ada.name, server)


def test_hooks_change_nothing_of_what_was_granted(hub: Service, ada: Account) -> None:
    assert ask(hub, ada, {"size": "Small", "memory": "400M"}).status_code in (201, 202)
    assert held(hub, ada) == [400 * M, str(400 * M), "0.5", ada.uid, False]
    hub.stop(ada.name)


@pytest.mark.parametrize(
    ("server", "status", "words"),
    [("asks", 403, 'no size \\"Huge\\"'), ("shape", 400, "mem_limit is nothing that can be asked for")],
)
def test_what_a_hook_asks_for_is_refused_like_a_request(
    hub: Service, ada: Account, server: str, status: int, words: str
) -> None:
    refused = ask(hub, ada, {}, server)
    assert refused.status_code == status and words in refused.text, hub.logs()
    assert nothing_runs(hub, ada)


def test_a_hook_may_ask_for_less(hub: Service, ada: Account) -> None:
    assert ask(hub, ada, {"size": "Small"}, "less").status_code in (201, 202)
    assert held(hub, ada, "less")[0] == 300 * M
    hub.stop(ada.name, "less")


def test_whoever_starts_it_by_a_share_is_held_to_the_owners_profile(
    hub: Service, ada: Account, module_account: Callable[..., Account]
) -> None:
    bob = module_account()
    hub.add_user(bob.name)
    hers, his = ({"headers": {"Authorization": f"token {hub.token(one.name)}"}} for one in (ada, bob))
    share = {"user": bob.name, "scopes": [f"start:servers!server={ada.name}/"]}
    assert hub.api("POST", f"/shares/{ada.name}/", share, **hers).status_code in (200, 201)
    try:
        for body, status in (({"size": "Huge"}, 403), ({"memory": "4G"}, 403), ({"cpu": 0}, 400), ({"home": "/"}, 403)):
            assert ask(hub, ada, body, **his).status_code == status
        assert nothing_runs(hub, ada)
        assert ask(hub, ada, {"memory": "320M"}, **his).status_code in (201, 202)
        assert held(hub, ada)[:4] == [320 * M, str(320 * M), "0.5", ada.uid]
    finally:
        hub.api("DELETE", f"/shares/{ada.name}/", **hers)


def test_a_start_after_the_hub_was_started_again_is_held_to_the_same(hub: Service, ada: Account) -> None:
    """The server of the test before runs on, with its limits; the next one is by the last choice, or refused."""
    before = hub.part("hub")
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: hub.part("hub") not in (0, before) and hub.answers(), 90)
    hub.settle(ada.name, "")
    assert held(hub, ada)[0] == 320 * M
    hub.stop(ada.name)
    assert ask(hub, ada, {"size": "Huge"}).status_code == 403
    assert ask(hub, ada, None).status_code in (201, 202)
    assert held(hub, ada)[0] == 320 * M, "what was granted last, not what was refused"
    hub.stop(ada.name)
