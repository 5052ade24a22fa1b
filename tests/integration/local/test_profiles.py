"""Sizes, reserves, totals and the cap hold on every way to start a server, measured on the local engine."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from tests.asking import ask_start
from tests.conftest import Account, measured, wait_until
from tests.running import PLAIN, Notebook, Service
from tests.slowness import SLOWNESS

from hubwright.fields import server_key
from hubwright.machine import cgroups, delegate

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

M = 2**20
G = 2**30
YAML = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
profiles:
  sizes:
    Small: {cpu: 0.5, memory: 400M, processes: 120}
    Large: {cpu: 2, memory: 3G}
  default: {sizes: [Small, Large], reserve: {cpu: 1.4, memory: 1G}, servers: 3, total: {cpu: 2.5, memory: 4G}}
  cap: {memory: 2G}
extra:
  # what a trait says is not looked at, nor what JupyterHub would make of a request
  ForkSpawner: {memory: 68719476736, cpu: 64.0, processes: 100000, mem_limit: 64G}
  Spawner:
    apply_user_options: {memory: mem_limit}
    environment: {MEM_LIMIT: 64G, CPU_LIMIT: "64", MEM_GUARANTEE: 1G}
  JupyterHub: {load_roles: [{name: user, scopes: [self, "shares!user", "read:users:name"]}]}
"""
HOG = "b = []\nwhile len(b) < {blocks}: b.append(bytearray(b'x') * 2**24)"


@pytest.fixture(scope="module")
def hub(service: Callable[..., Service], ada: Account, bob: Account) -> Service:
    found = service(YAML).up()
    found.add_user(ada.name)
    found.add_user(bob.name)
    return found


@pytest.fixture(autouse=True)
def _nothing_runs(hub: Service) -> Any:
    yield
    for one in hub.listed():
        hub.stop(one["user"], one["server"])


def ask(hub: Service, user: str, body: Any, server: str = "") -> httpx.Response:
    path = f"/users/{user}/servers/{server}" if server else f"/users/{user}/server"
    return hub.api("POST", path, body)


def place(hub: Service, user: str, server: str = "") -> cgroups.Group:
    """Return the control group of a server: below `open`, or beside it with a reserve."""
    key, uid = server_key(user, server), pwd.getpwnam(user).pw_uid
    found = [whole(hub, *above, f"user.{uid}", key) for above in ((), ("open",))]
    return next(one for one in found if one.folders[0].exists())


def group(notebook: Notebook) -> cgroups.Group:
    return place(notebook.service, notebook.user, notebook.server)


def whole(hub: Service, *names: str) -> cgroups.Group:
    return delegate.find(f"hubwright-{hub.run.name}").group(*names)


BAD: list[tuple[Any, int]] = [
    ({"size": "Huge"}, 403),
    ({"size": ["Small"]}, 400),
    ({"cpu": 0, "memory": 0}, 400),
    ({"memory": -1}, 400),
    ({"cpu": 1e9}, 400),
    ({"cpu": 3}, 403),
    ({"memory": "4G"}, 403),
    ({"memory": 1.5}, 400),
    ({"cpu": "2"}, 400),
    ({"image": "root:latest"}, 400),
    ({"home": "/root"}, 403),
    ({"reserve": {"memory": "unlimited"}}, 400),
    ({"user_options": {"mem_limit": 0}}, 400),
]


@pytest.mark.parametrize(("body", "status"), BAD)
def test_a_request_that_makes_no_sense_starts_nothing(hub: Service, ada: Account, body: Any, status: int) -> None:
    for server in ("", "second"):
        answer = ask(hub, ada.name, body, server)
        assert answer.status_code == status, answer.text
        assert len(answer.json()["message"]) > 20
    nan = httpx.post(
        f"{hub.url}/hub/api/users/{ada.name}/server",
        content='{"cpu": NaN, "memory": Infinity}',
        headers={**hub.admin(), "Content-Type": "application/json"},
        timeout=60,
        **PLAIN,
    )
    assert nan.status_code == 400
    assert hub.listed() == []


def test_the_form_and_a_link_are_held_to_the_same(hub: Service, ada: Account) -> None:
    with httpx.Client(base_url=hub.url, timeout=60, **PLAIN) as client:
        client.get("/hub/login")
        secrets = {"username": ada.name, "password": ada.password, "_xsrf": client.cookies["_xsrf"]}
        assert client.post("/hub/login", data=secrets).status_code == 302

        def send(**fields: str) -> httpx.Response:
            client.get("/hub/home")
            return client.post("/hub/spawn", data={**fields, "_xsrf": client.cookies["_xsrf"]})

        for fields in ({"size": "Huge"}, {"cpu": "-1", "memory": "0"}, {"home": "/root"}):
            assert send(**fields).status_code in (400, 403)
        refused = client.get(
            "/hub/spawn?opt-size=Huge", headers={"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}
        )
        assert "Huge" in refused.text
        assert hub.listed() == []
        assert send(size="Small", memory="300M", reserve_cpu="0").status_code == 302
    wait_until(lambda: hub.server(ada.name).get("ready"), 60)
    assert (Notebook(hub, ada.name, "").kernel().run("import os; print(os.environ['MEM_LIMIT'])")).strip() == str(
        300 * M
    )


@pytest.mark.alone
def test_the_limits_of_a_size_hold(hub: Service, ada: Account) -> None:
    """Memory past it is ended and told, processors are capped within a tenth, processes too; `extra` changes nothing."""
    notebook = hub.start(ada.name, body={"size": "Small"})
    kernel = notebook.kernel()
    told = kernel.run(
        "import os; print(os.environ['MEM_LIMIT'], os.environ['CPU_LIMIT'], 'MEM_GUARANTEE' in os.environ)"
    )
    assert told.split() == [str(400 * M), "0.5", "False"]
    code = (
        f"import subprocess, sys; print(subprocess.run([sys.executable, '-c', {HOG.format(blocks=64)!r}]).returncode)"
    )
    ended: list[str] = []
    assert "memory limit of 400M" in notebook.notice(lambda: ended.append(kernel.run(code).strip()))
    assert ended == ["-9"]
    found = group(notebook)

    busy = "import time; t = time.time()\nwhile time.time() - t < 40: pass"
    kernel.run(f"import subprocess, sys; ps = [subprocess.Popen([sys.executable, '-c', {busy!r}]) for _ in range(2)]")

    def used() -> float:
        before, then = found.usage().cpu, time.monotonic()
        time.sleep(3)
        return (found.usage().cpu - before) / (time.monotonic() - then)

    shares = measured(used, 0.5 * 0.9)
    assert max(shares) == pytest.approx(0.5, rel=0.1), shares
    many = "ps = []\ntry:\n  for _ in range(200): ps.append(subprocess.Popen(['sleep', '60']))\nexcept OSError as e: print(type(e).__name__)\n"
    assert kernel.run(many + "for p in ps: p.kill()").strip() == "BlockingIOError"


def test_who_was_given_a_share_is_held_to_what_its_owner_may_have(hub: Service, ada: Account, bob: Account) -> None:
    """Bob starts Ada's server: by her profile, on her account, and on her total."""
    share = {"user": bob.name, "scopes": [f"start:servers!server={ada.name}/", f"access:servers!server={ada.name}/"]}
    hers, his = ({"headers": {"Authorization": f"token {hub.token(one.name)}"}} for one in (ada, bob))
    path = f"/users/{ada.name}/server"
    assert hub.api("POST", path, {"size": "Small"}, **his).status_code in (403, 404), "without a share"
    made = hub.api("POST", f"/shares/{ada.name}/", share, **hers)
    assert made.status_code in (200, 201), made.text
    try:
        for body, status in (({"size": "Huge"}, 403), ({"memory": "4G"}, 403), ({"cpu": 0}, 400), ({"home": "/"}, 403)):
            assert hub.api("POST", path, body, **his).status_code == status
        assert hub.listed() == []
        assert hub.api("POST", path, {"size": "Small", "memory": "300M"}, **his).status_code in (201, 202)
        wait_until(lambda: hub.server(ada.name).get("ready"), 60)
        notebook = Notebook(hub, ada.name, "")
        assert notebook.kernel().value("import os; print(os.getuid())") == ada.uid
        names = ("memory.max", "memory.limit_in_bytes")
        limits = {int((f / n).read_text()) for f in group(notebook).folders for n in names if (f / n).exists()}
        assert limits == {300 * M}
        offer = hub.api("GET", f"/hubwright/offer?user={ada.name}&server=second").json()
        assert (offer["servers"]["used"], offer["used"]["memory"]) == (1, 300 * M)
    finally:
        hub.api("DELETE", f"/shares/{ada.name}/", **hers)


@pytest.mark.alone
def test_a_reserve_is_kept_from_a_neighbour_that_wants_everything(hub: Service, ada: Account, bob: Account) -> None:
    """The hog may have 3G by its size, and there are 2G for all: it ends at what nobody has reserved."""
    mine = hub.start(ada.name, body={"size": "Large", "reserve": {"cpu": 1.4, "memory": "1G"}})
    kernel = mine.kernel()
    assert kernel.run("import os; print(os.environ['MEM_GUARANTEE'], os.environ['CPU_GUARANTEE'])").split() == [
        str(G),
        "1.4",
    ]
    hog = hub.start(bob.name, body={"size": "Large"})
    theirs = hog.kernel()
    endless = HOG.format(blocks=10**6)
    run = f"import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', {endless!r}]).returncode)"
    assert theirs.run(run).strip() == "-9"
    looping = theirs.send(f"while True: subprocess.run([sys.executable, '-c', {endless!r}])")
    assert looping
    got = kernel.run("kept = [bytearray(b'x') * 2**24 for _ in range(50)]\nprint(len(kept))")
    assert got.strip() == "50", "800M of the reserved 1G"
    time.sleep(2)
    assert kernel.run("print(len(kept))").strip() == "50"
    assert whole(hub, "open").usage().memory <= 1 * G


@pytest.mark.alone
def test_reserved_processors_are_kept_on_a_busy_machine(hub: Service, ada: Account, bob: Account) -> None:
    """Four busy processes against two that reserved 1.4 of 2 processors: these have at least nine tenths of 70 %."""
    if len(os.sched_getaffinity(0)) != 2:
        pytest.skip("needs a machine with two processors, for which the numbers here are")
    mine = hub.start(ada.name, body={"size": "Large", "reserve": {"cpu": 1.4}})
    hog = hub.start(bob.name, body={"size": "Large"})
    busy = "while True: pass"
    code = "import subprocess, sys; ps = [subprocess.Popen([sys.executable, '-c', %r]) for _ in range(%d)]"
    kernels = [one.kernel() for one in (mine, hog)]
    for kernel, many in zip(kernels, (2, 4), strict=True):
        kernel.run(code % (busy, many))
    groups = [group(mine), group(hog)]

    def share() -> float:
        before = [one.usage().cpu for one in groups]
        time.sleep(3)
        used = [one.usage().cpu - was for one, was in zip(groups, before, strict=True)]
        return used[0] / sum(used)

    shares = measured(share, 0.7 * 0.9)
    assert max(shares) >= 0.7 * 0.9, shares


@pytest.mark.alone
def test_all_servers_together_take_no_more_than_the_cap(hub: Service, ada: Account, bob: Account) -> None:
    """Two servers of 3G each, and a cap of 2G."""
    kernels = [hub.start(one.name, body={"size": "Large"}).kernel() for one in (ada, bob)]
    for kernel in kernels:
        kernel.run("import subprocess, sys")
    waiting = [
        kernel.send(f"r = subprocess.run([sys.executable, '-c', {HOG.format(blocks=150)!r}]).returncode")
        for kernel in kernels
    ]
    most, deadline = 0, time.monotonic() + 8 * SLOWNESS
    while most < 1.8 * G and time.monotonic() < deadline:
        most = max(most, whole(hub).usage().memory)
        time.sleep(0.01)
    assert waiting
    assert 1 * G < most <= 2 * G
    assert -9 in [kernel.value("print(r)") for kernel in kernels]
    assert whole(hub).usage().memory <= 2 * G


def test_a_user_has_a_number_of_servers_and_a_total(hub: Service, ada: Account) -> None:
    hub.start(ada.name, body={"size": "Large"})
    refused = ask(hub, ada.name, {"size": "Large"}, "second")
    assert refused.status_code == 403
    assert "0.5 of 2.5 processors and 1G of 4G of memory are left" in refused.json()["message"]
    second = hub.start(ada.name, "second", {"size": "Small"})
    assert ask(hub, ada.name, {"cpu": 0.1, "memory": "100M"}, "third").status_code == 403
    hub.stop(ada.name, "second")
    assert hub.start(ada.name, "third", {"cpu": 0.1, "memory": "400M"}).pid
    assert second


def test_root_holds_the_total_of_a_user_against_a_hub_that_asks_for_more(hub: Service, ada: Account) -> None:
    """Two servers by requests that the hub would never send: their limits, and their user's, are root's."""
    for name in ("one", "two"):
        limits = {"memory": 64 * G, "cpu": 64, "reserve_memory": 64 * G}
        ask_start(hub.run, ada.name, name, limits if name == "one" else {})
    names = ("memory.max", "memory.limit_in_bytes")
    folders = [folder for name in ("one", "two") for folder in place(hub, ada.name, name).folders]
    limits = {int((one / name).read_text()) for one in folders for name in names if (one / name).exists()}
    totals = {int((one.parent / name).read_text()) for one in folders for name in names if (one / name).exists()}
    assert (limits, totals) == ({3 * G}, {4 * G})
    for server in hub.listed():
        os.kill(server["pid"], signal.SIGTERM)
    wait_until(lambda: not hub.listed(), 30)


def test_two_that_start_at_the_same_moment_do_not_get_the_same_room(hub: Service, ada: Account, bob: Account) -> None:
    """2G can be reserved: of three starts with 1G each, two are granted; the third is told what is free."""
    wanted = {"cpu": 0.1, "memory": "1G", "reserve": {"memory": "1G"}}
    starts = [(ada.name, ""), (ada.name, "second"), (bob.name, "")]
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda one: ask(hub, one[0], wanted, one[1]), starts))
    assert sum(answer.status_code in (201, 202) for answer in answers) == 2, [answer.text for answer in answers]
    (refused,) = [answer for answer in answers if answer.status_code == 409]
    assert (
        "1G of memory cannot be reserved now: 2 of 2 processors and 0 of 2G of memory are free"
        in refused.json()["message"]
    )
    assert "when somebody who has reserved stops a server" in refused.json()["message"]
    wait_until(lambda: not any(hub.server(*one).get("pending") for one in starts), 60)
    assert len(hub.listed()) == 2


def test_what_was_granted_is_known_after_the_hub_was_killed(hub: Service, ada: Account, bob: Account) -> None:
    """Reserves and totals still count, a refused start leaves nothing, and a start without a choice is by the last."""
    wanted = {"cpu": 1.5, "memory": "2G", "reserve": {"memory": "1G"}}
    hub.start(ada.name, body=wanted)
    hub.start(bob.name, body={"cpu": 0.2, "memory": "1G", "reserve": {"memory": "800M"}})
    before = hub.part("hub")
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: hub.part("hub") not in (0, before) and hub.answers(), 60)
    hub.settle(ada.name, "")
    refused = ask(hub, ada.name, {"cpu": 0.1, "memory": "400M", "reserve": {"memory": "400M"}}, "second")
    assert refused.status_code == 409
    assert "224M of 2G of memory are free" in refused.json()["message"]
    assert ask(hub, ada.name, {"size": "Large"}, "second").status_code == 403
    offer = hub.api("GET", f"/hubwright/offer?user={ada.name}").json()
    assert offer["reserved"]["memory"] == 800 * M, "without the server that is asked about"
    hub.stop(ada.name)
    assert ask(hub, ada.name, {"size": "Huge"}).status_code == 403
    again = hub.start(ada.name)
    assert again.kernel().run("import os; print(os.environ['MEM_LIMIT'], os.environ['MEM_GUARANTEE'])").split() == [
        str(2 * G),
        str(G),
    ]


def test_the_offer_says_what_can_start_now(hub: Service, ada: Account, bob: Account) -> None:
    hub.start(ada.name, body={"size": "Large", "reserve": {"memory": "1G"}})
    own = {"headers": {"Authorization": f"token {hub.token(ada.name)}"}}
    found = hub.api("GET", "/hubwright/offer?server=second", **own).json()
    assert [(size["name"], size["fits"]) for size in found["sizes"]] == [("Small", True), ("Large", False)]
    assert "All servers of" in found["sizes"][1]["reason"]
    assert found["largest"] == {"cpu": 2.0, "memory": 3 * G}
    assert found["reserve"] == {"cpu": 1.4, "memory": G}
    assert found["free"]["memory"] == G
    assert found["servers"] == {"used": 1, "allowed": 3}
    assert found["last"] is None or found["last"]
    assert found["available"]["memory"] > 0
    assert hub.api("GET", f"/hubwright/offer?user={bob.name}", **own).status_code == 403
    assert hub.api("GET", "/hubwright/offer?user=nobody-there").status_code == 404
    assert httpx.get(f"{hub.url}/hub/api/hubwright/offer", timeout=30, **PLAIN).status_code == 403


def test_a_unix_group_gives_its_sizes(service: Callable[..., Service], module_account: Callable[..., Account]) -> None:
    """Before the first login, and as it is at each start; the hub itself knows no such group."""
    profiles = """\
profiles:
  sizes: {Small: {cpu: 0.5, memory: 400M}, Large: {cpu: 1, memory: 800M}}
  default: {sizes: [Small]}
  groups: {users: {sizes: [Large]}}
"""
    hub = service(YAML.partition("profiles:")[0] + profiles).up()
    inside, outside = module_account(groups=["users"]), module_account()
    for user, size, other in ((inside, "Large", "Small"), (outside, "Small", "Large")):
        hub.add_user(user.name)
        assert hub.api("GET", f"/users/{user.name}").json()["groups"] == []
        offer = hub.api("GET", f"/hubwright/offer?user={user.name}").json()
        assert [one["name"] for one in offer["sizes"]] == [size]
        assert ask(hub, user.name, {"size": other}).status_code == 403
        told = json.loads(hub.cli("profiles", "explain", user.name, "--json").stdout)
        assert told["entitlement"]["sizes"]["value"] == [size]
    limit = hub.start(inside.name).kernel().run("import os; print(os.environ['MEM_LIMIT'])")
    assert int(limit) == 800 * M
    hub.stop(inside.name)
    subprocess.run(["gpasswd", "--delete", inside.name, "users"], check=True, capture_output=True)
    assert ask(hub, inside.name, {"size": "Large"}).status_code == 403


def take(notebook: Notebook, blocks: int) -> tuple[Any, int]:
    """Have a server take so many blocks of 16M, and keep them; return its kernel and what the group then holds."""
    kernel = notebook.kernel()
    assert kernel.run(f"b = [bytearray(b'x') * 2**24 for _ in range({blocks})]\nprint(len(b))").strip() == str(blocks)
    return kernel, group(notebook).usage().memory


def test_memory_in_use_by_others_is_no_room_for_a_reserve(hub: Service, ada: Account, bob: Account) -> None:
    """Nobody has reserved anything, but one without a reserve holds 1.4G of the 2G: not now, which is 409."""
    kernel, used = take(hub.start(bob.name, body={"size": "Large"}), 85)
    refused = ask(hub, ada.name, {"size": "Large", "reserve": {"memory": "1G"}})
    assert refused.status_code == 409, refused.text
    message = refused.json()["message"]
    assert "1024M would be left for 1 without a reserve, which take" in message and "try again" in message
    assert hub.api("GET", f"/hubwright/offer?user={ada.name}").json()["reserved"]["memory"] == 0, (
        "nothing is kept of it"
    )
    assert used > 1300 * M and kernel.run("print(len(b))").strip() == "85"


def test_a_start_may_wait_for_memory_that_others_use(
    service: Callable[..., Service], ada: Account, bob: Account
) -> None:
    waiting = service(YAML.partition("extra:")[0] + "  when_full: wait\n  wait: 60s\n").up()
    kernel, _ = take(waiting.start(bob.name, body={"size": "Large"}), 85)
    waiting.add_user(ada.name)
    token = {"Authorization": f"token {waiting.token(ada.name)}"}
    with ThreadPoolExecutor(2) as pool:
        later = pool.submit(ask, waiting, ada.name, {"size": "Large", "reserve": {"memory": "1G"}})
        wait_until(lambda: waiting.server(ada.name).get("pending") == "spawn", 20)
        told = pool.submit(waiting.api, "GET", f"/users/{ada.name}/server/progress", headers=token)
        time.sleep(3)
        assert waiting.server(ada.name).get("pending") == "spawn"
        kernel.run("del b")
        assert later.result(60).status_code in (201, 202)
        wait_until(lambda: waiting.server(ada.name).get("ready"), 60)
        assert "would be left for 1 without a reserve" in told.result(60).text


def test_a_start_may_wait_for_room(service: Callable[..., Service], ada: Account, bob: Account) -> None:
    yaml = YAML.partition("extra:")[0] + "  when_full: wait\n  wait: 60s\n"
    waiting = service(yaml).up()
    wanted = {"cpu": 0.1, "memory": "1200M", "reserve": {"memory": "1G"}}
    waiting.start(ada.name, body=wanted)
    waiting.start(ada.name, "second", {"cpu": 0.1, "memory": "1200M", "reserve": {"memory": "900M"}})
    waiting.add_user(bob.name)
    with ThreadPoolExecutor(1) as pool:
        later = pool.submit(ask, waiting, bob.name, wanted)
        wait_until(lambda: waiting.server(bob.name).get("pending") == "spawn", 20)
        time.sleep(2)
        assert waiting.server(bob.name).get("pending") == "spawn"
        waiting.stop(ada.name)
        assert later.result(60).status_code in (201, 202)
    wait_until(lambda: waiting.server(bob.name).get("ready"), 60)
