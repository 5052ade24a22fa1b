"""The ten rows of the deployment pharma-docker, on examples/pharma-docker.yaml itself.

Only what belongs to that machine is replaced: the address, the images, folders, and the names of a user and a group.
`test_row_7_...` shows row 7; `ELSEWHERE` names the tests of other files that show more of a row.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.conftest import Account, wait_until
from tests.integration.auth.hub import Browser
from tests.integration.docker.containers import group, inspected
from tests.integration.docker.daemon import FOLDERS, SKELETON, Dockerd
from tests.integration.test_https import Encrypted
from tests.running import Service, port

from hubwright.engines.docker import cap
from hubwright.fields import instance_of
from hubwright.machine import capacity, cgroups

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]

TESTS = Path(__file__).parents[2]
EXAMPLES = TESTS.parent / "examples"
PREVIOUS = "hwt/skeleton:previous"
G = 2**30
ELSEWHERE = {
    1: ["integration/docker/test_limits_hold.py", "integration/local/test_profiles.py::test_the_limits_of_a_size_hold"],
    2: [
        "unit/profiles/test_resolve.py::test_a_user_overrides_his_groups_and_they_the_default_key_by_key",
        "browser/test_start_page.py::test_by_the_keyboard_alone",
        "browser/test_start_images.py",
    ],
    3: [
        "integration/docker/test_reserves.py",
        "integration/local/test_profiles.py::test_two_that_start_at_the_same_moment_do_not_get_the_same_room",
        "browser/test_start_full.py",
    ],
    4: [
        "integration/docker/test_containers.py::test_an_environment_and_its_kernel_in_the_home_work",
        "integration/docker/test_conda_home.py",
        "integration/docker/test_containers.py::test_a_home_that_is_missing_or_somebody_elses_is_named",
        "integration/docker/test_links_refused.py",
    ],
    5: [
        "integration/docker/test_survival_docker.py::test_changed_settings_make_a_container_anew",
        "integration/docker/test_ways_around.py",
        "unit/profiles/test_resolve.py::test_a_grant_never_exceeds_what_is_allowed",
    ],
    6: [
        "integration/docker/test_reserves.py::test_the_metrics_are_what_the_kernel_counts",
        "integration/test_metrics.py::test_nobody_sees_another_ones",
        "browser/test_home_page.py::test_what_a_server_takes_is_shown_with_a_plot",
    ],
    7: [
        "integration/docker/test_images_told.py",
        "integration/docker/test_pulling.py",
    ],
    8: ["integration/docker/test_limits_hold.py::test_all_containers_together_have_a_cap"],
    9: [
        "integration/test_https.py",
        "integration/test_behind_proxy.py::test_a_person_works_through_it",
        "integration/test_behind_proxy.py::test_a_tunnel_is_a_unit_that_systemd_takes",
    ],
    10: [
        "unit/hub/pages/test_branding.py",
        "integration/test_templates.py",
        "integration/auth/test_user_command.py",
        "machine/test_installed_service.py::test_an_upgrade_keeps_notebooks",
    ],
}


@pytest.mark.parametrize(("row", "name"), [(row, name) for row, names in ELSEWHERE.items() for name in names])
def test_what_shows_a_row_elsewhere_is_there(row: int, name: str) -> None:
    file, _, test = name.partition("::")
    text = (TESTS / file).read_text()
    assert f"def {test}(" in text if test else "def test_" in text, row


@dataclass
class Pharma:
    """The service, and its people."""

    service: Service
    anybody: Account
    member: Account
    """In the group that the example calls modelling."""
    carol: Account
    conda: Path
    """The machine's /opt/conda."""


@pytest.fixture(scope="module")
def pharma(
    service: Callable[..., Service], dockerd: Dockerd, module_account: Callable[..., Account]
) -> Iterator[Pharma]:
    with dockerd.client() as client:
        client.tag(SKELETON, *PREVIOUS.split(":"))
    trusting = pytest.MonkeyPatch()
    team = f"hwt-{secrets.token_hex(3)}"
    subprocess.run(["groupadd", team], check=True)
    place = Path(tempfile.mkdtemp(prefix="hwt-pharma-", dir="/srv"))
    place.chmod(0o755)
    for name in ("conda", "data"):
        (place / name).mkdir()
        (place / name).chmod(0o777)
        (place / name / "here").write_text(name)
        (place / name / "here").chmod(0o666)
    running: Service | None = None
    try:
        anybody, member, carol = module_account(), module_account(groups=[team]), module_account()
        text = (EXAMPLES / "pharma-docker.yaml").read_text()
        for old, new in {
            '"0.0.0.0:8000"': '"127.0.0.1:{port}"',
            "hubwright/singleuser:latest": SKELETON,
            "hubwright/singleuser:previous": PREVIOUS,
            "kind: docker\n": f"kind: docker\n  socket: {dockerd.url}\n  volumes: {FOLDERS}\n",
            "source: /opt/conda": f"source: {place}/conda",
            "source: /srv/data": f"source: {place}/data",
            "    modelling:": f"    {team}:",
            "    carol:": f"    {carol.name}:",
        }.items():
            assert old in text
            text = text.replace(old, new)
        plain = service(text)
        running = Encrypted(plain.folder, plain.yaml, plain.port, trust=plain.folder / "state" / "authority.crt")
        for name in ("SSL_CERT_FILE", "WEBSOCKET_CLIENT_CA_BUNDLE"):
            trusting.setenv(name, str(running.trust))
        shutil.copy(EXAMPLES / "pharma.svg", running.folder)
        running.up()
        for one in (anybody, member, carol):
            running.add_user(one.name)
        yield Pharma(running, anybody, member, carol, place / "conda")
    finally:
        if running:
            running.clean()
        trusting.undo()
        shutil.rmtree(place)
        for one in (anybody, member, carol):
            subprocess.run(["gpasswd", "--delete", one.name, team], check=False, capture_output=True)
        subprocess.run(["groupdel", team], check=True)


@pytest.fixture(autouse=True)
def _nothing_runs(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "pharma" not in request.fixturenames:
        return
    pharma = request.getfixturevalue("pharma")
    for one in (pharma.anybody, pharma.member, pharma.carol):
        for server in pharma.service.api("GET", f"/users/{one.name}").json()["servers"]:
            pharma.service.stop(one.name, server)


def ask(pharma: Pharma, user: Account, body: Any, server: str = "") -> httpx.Response:
    path = f"/users/{user.name}/servers/{server}" if server else f"/users/{user.name}/server"
    return pharma.service.api("POST", path, body)


def offer(pharma: Pharma, user: Account) -> dict[str, Any]:
    found: dict[str, Any] = pharma.service.api("GET", f"/hubwright/offer?user={user.name}").json()
    return found


def test_row_1_sizes_are_upper_limits(pharma: Pharma, dockerd: Dockerd) -> None:
    sizes = {
        one["name"]: (one["cpu"], one["memory"])
        for who in (pharma.anybody, pharma.carol)
        for one in offer(pharma, who)["sizes"]
    }
    assert sizes == {
        "Tiny": (1, 2 * G),
        "Small": (2, 4 * G),
        "Normal": (5, 10 * G),
        "Large": (10, 40 * G),
        "Extreme": (36, 80 * G),
    }
    pharma.service.start(pharma.anybody.name, body={"size": "Tiny"})
    host = inspected(dockerd, pharma.service, pharma.anybody.name)["HostConfig"]
    assert (host["Memory"], host["CpuQuota"], host["PidsLimit"]) == (2 * G, 100_000, 512)
    pharma.service.stop(pharma.anybody.name)
    pharma.service.start(pharma.anybody.name, body={"size": "Small", "cpu": 0.5, "memory": "3G"})
    host = inspected(dockerd, pharma.service, pharma.anybody.name)["HostConfig"]
    assert (host["Memory"], host["CpuQuota"], host["PidsLimit"]) == (3 * G, 50_000, 1024)


def test_row_2_users_override_groups_and_default_key_by_key(
    pharma: Pharma, dockerd: Dockerd, module_account: Callable[..., Account]
) -> None:
    anybody, member, carol = (offer(pharma, one) for one in (pharma.anybody, pharma.member, pharma.carol))
    names = [[one["name"] for one in found["sizes"]] for found in (anybody, member, carol)]
    assert names == [["Small", "Tiny", "Normal"], ["Normal", "Tiny", "Small", "Large"], ["Large", "Extreme", "Normal"]]
    images = [[one["name"] for one in found["images"]] for found in (anybody, member, carol)]
    assert images == [["Conda"], ["Conda", "Conda, last year's"], ["Conda"]]
    # where the sliders end
    assert [found["largest"] for found in (anybody, member, carol)] == [
        {"cpu": 5, "memory": 10 * G},
        {"cpu": 10, "memory": 40 * G},
        {"cpu": 36, "memory": 80 * G},
    ]
    assert carol["reserve"] == anybody["reserve"] == {"cpu": 2, "memory": 4 * G}, "carol's entry says nothing of it"
    fresh = module_account().name
    pharma.service.start(fresh)
    made = inspected(dockerd, pharma.service, fresh)
    pharma.service.stop(fresh)
    assert (made["Config"]["Image"], made["HostConfig"]["Memory"]) == (SKELETON, 4 * G), "the first are preselected"
    assert ask(pharma, pharma.carol, {"image": "Conda, last year's"}).status_code == 403
    pharma.service.start(pharma.member.name, body={"size": "Tiny", "image": "Conda, last year's"})
    assert inspected(dockerd, pharma.service, pharma.member.name)["Config"]["Image"] == PREVIOUS


def test_row_3_a_reserve_is_the_smallest_and_really_reserves(pharma: Pharma, dockerd: Dockerd) -> None:
    room = offer(pharma, pharma.anybody)["room"]
    assert room == {"cpu": capacity.processors() - 1, "memory": capacity.memory() - 4 * G}
    body = {"size": "Small", "cpu": 0.5, "memory": "1G", "reserve": {"cpu": 100, "memory": "100G"}}
    pharma.service.start(pharma.anybody.name, body=body)
    host = inspected(dockerd, pharma.service, pharma.anybody.name)["HostConfig"]
    assert (host["MemoryReservation"], host["CpuShares"]) == (G, 512), "no more than the server itself may take"
    free = offer(pharma, pharma.member)["free"]
    assert free == {"cpu": room["cpu"] - 0.5, "memory": room["memory"] - G}
    # a maximum of 8 processors is allowed; on a machine that has fewer left it is refused with what is free
    if free["cpu"] < 8:
        wanted = {"size": "Large", "reserve": {"cpu": min(8, room["cpu"])}}
        refused = ask(pharma, pharma.member, wanted)
        assert refused.status_code == 409 and "processors" in refused.json()["message"], refused.text
    assert ask(pharma, pharma.member, {"size": "Large", "reserve": {"cpu": -1}}).status_code == 400


def test_row_4_the_home_is_the_same_inside_and_outside(pharma: Pharma) -> None:
    user = pharma.member
    kernel = pharma.service.start(user.name, body={"size": "Small"}).kernel()
    code = "import os, json; print(json.dumps([os.getcwd(), os.getuid(), open('/opt/conda/here').read(), open('/srv/data/here').read()]))"
    assert kernel.value(code) == [f"/home/{user.name}", user.uid, "conda", "data"]
    assert "Read-only file system" in kernel.run("open('/opt/conda/here', 'a')")
    made = [sys.executable, "-m", "venv", "--without-pip", "env"]
    subprocess.run(made, user=user.uid, group=user.gid, cwd=user.home, check=True, timeout=60)
    ran = kernel.run(
        "import subprocess; print(subprocess.run(['env/bin/python', '-c', 'import sys; print(sys.prefix)'], capture_output=True, text=True).stdout)"
    )
    assert ran.strip() == f"{user.home}/env"
    pharma.service.stop(user.name)
    os.chown(user.home, 0, 0)
    try:
        refused = ask(pharma, user, {"size": "Small"})
        assert (
            refused.status_code == 403
            and f"The home folder {user.home} belongs to user id 0" in refused.json()["message"]
        )
    finally:
        os.chown(user.home, user.uid, user.gid)


@pytest.mark.parametrize(
    "body",
    [
        {"cpu": 0},
        {"memory": -1},
        {"cpu": 5.1},
        {"memory": "11G"},
        {"size": "Extreme"},
        {"image": "root:latest"},
        {"home": "/root"},
        {"mem_limit": "64G"},
    ],
)
def test_row_5_every_way_to_start_is_checked(pharma: Pharma, dockerd: Dockerd, body: dict[str, Any]) -> None:
    for server in ("", "lab"):
        assert ask(pharma, pharma.anybody, body, server).status_code in (400, 403)
        with pytest.raises(Exception, match="No such container"):
            inspected(dockerd, pharma.service, pharma.anybody.name, server)


def test_row_5_a_total_holds_for_all_servers_and_settings_are_taken_anew(pharma: Pharma, dockerd: Dockerd) -> None:
    name = pharma.anybody.name
    pharma.service.start(name, body={"size": "Normal"})
    first = inspected(dockerd, pharma.service, name)
    pharma.service.start(name, "lab", {"size": "Normal"})
    refused = ask(pharma, pharma.anybody, {"size": "Tiny"}, "third")
    assert refused.status_code == 403 and "together may have 10 processors and 20G" in refused.json()["message"]
    pharma.service.stop(name)
    pharma.service.start(name, body={"size": "Tiny"})
    second = inspected(dockerd, pharma.service, name)
    assert second["Id"] != first["Id"] and second["HostConfig"]["Memory"] == 2 * G


def test_row_6_everyone_sees_his_own_and_the_machine(pharma: Pharma) -> None:
    service = pharma.service
    service.start(pharma.anybody.name, body={"size": "Tiny"})
    service.start(pharma.member.name, body={"size": "Tiny"})
    own = {"headers": {"Authorization": f"token {service.token(pharma.anybody.name)}"}}

    def usage(query: str = "", **more: Any) -> Any:
        return service.api("GET", f"/hubwright/usage{query}", **more).json()

    wait_until(lambda: len(usage("?all=1")["servers"]) == 2, 30)
    mine = usage("?hours=1", **own)
    assert [one["user"] for one in mine["servers"]] == [pharma.anybody.name]
    assert mine["machine"]["servers"] == 2 and mine["machine"]["memory_total"] > 0
    assert {one["user"] for one in usage("?all=1")["servers"]} == {pharma.anybody.name, pharma.member.name}
    assert service.api("GET", f"/hubwright/usage?user={pharma.member.name}", **own).status_code == 403
    available = service.api("GET", "/hubwright/offer", **own).json()["available"]
    assert 0 < available["memory"] < capacity.memory()
    assert httpx.get(f"{service.url}/hub/api/hubwright/usage", timeout=30).status_code == 403, "not without a login"


def seen_in(browser: Browser, paths: list[str], heading: str) -> dict[str, str]:
    """Return what a browser that is logged in is sent for these pages, and for all that they name."""
    sent: dict[str, str] = {}
    for path in paths:
        page = browser.client.get(path)
        assert page.status_code == 200 and heading in page.text, (path, page.status_code, page.headers)
        assert 'name="password"' not in page.text, f"{path} is the login page"
        sent[path] = page.text
        named = set(re.findall(r'(?:src|href|data-main)="([^"#]+\.(?:js|css|mjs)(?:\?[^"]*)?)"', page.text))
        assert len(named) >= 2, (path, named)
        for address in named - sent.keys():
            file = browser.client.get(unescape(address))
            assert file.status_code == 200, address
            sent[address] = file.text
    return sent


def test_row_6_no_token_is_in_a_page_or_file(pharma: Pharma, module_account: Callable[..., Account]) -> None:
    service, boss = pharma.service, module_account()
    service.cli("user", "add", boss.name, "--admin")
    service.start(pharma.anybody.name, body={"size": "Tiny"})
    people = (pharma.anybody, pharma.member, boss)
    tokens = {f"{one.name}'s token": service.token(one.name) for one in people}
    tokens["the metrics' token"] = service.cli("metrics", "token", boss.name).stdout.split()[-1]
    for file in (service.state / "secrets").iterdir():
        if file.is_file() and len(text := file.read_text().strip()) >= 20:
            tokens |= {f"{file.name}, line {number}": line for number, line in enumerate(text.splitlines())}
    assert {"cli.token, line 0", "cookie_secret, line 0"} <= tokens.keys()
    sent: dict[str, str] = {}
    for one, paths in (
        (pharma.anybody, ["/hub/home", f"/hub/spawn/{pharma.anybody.name}/lab", "/hub/token"]),
        (pharma.member, ["/hub/spawn"]),
        (boss, ["/hub/home", "/hub/spawn", "/hub/overview", "/hub/admin"]),
    ):
        browser = Browser(service.url)
        with browser.client:
            assert browser.login(one.name, one.password).status_code == 302
            assert browser.who() == one.name
            sent |= seen_in(browser, paths, one.name)
    found = [(name, path) for name, token in tokens.items() for path, text in sent.items() if token in text]
    assert not found


def test_row_7_a_missing_image_is_named(pharma: Pharma, dockerd: Dockerd) -> None:
    told = pharma.service.cli("images", "list").stdout
    assert SKELETON in told and PREVIOUS in told
    with dockerd.client() as client:
        client.remove_image(PREVIOUS)
    try:
        refused = ask(pharma, pharma.member, {"size": "Tiny", "image": "Conda, last year's"})
        assert f"Docker cannot find image {PREVIOUS}" in refused.json()["message"], refused.text
    finally:
        with dockerd.client() as client:
            client.tag(SKELETON, *PREVIOUS.split(":"))
    pharma.service.start(pharma.member.name, body={"size": "Tiny", "image": "Conda, last year's"})


def test_row_8_all_containers_together_have_a_cap(pharma: Pharma, dockerd: Dockerd) -> None:
    pharma.service.start(pharma.carol.name, body={"size": "Extreme"})
    container = group(dockerd, pharma.service, pharma.carol.name)
    whole = cgroups.find(f"hubwright-{instance_of(pharma.service.state)}").group()
    assert all(Path(inner).parent == Path(outer) for inner, outer in zip(container.folders, whole.folders, strict=True))
    names = ("memory.max", "memory.limit_in_bytes")
    (limit,) = {
        int((folder / name).read_text()) for folder in whole.folders for name in names if (folder / name).exists()
    }
    assert limit == min(240 * G, capacity.memory() - 4 * G)
    assert cap.driver(dockerd.url) in ("cgroupfs", "systemd")


def test_row_9_https_with_a_certificate_of_its_own_or_behind_a_proxy(pharma: Pharma) -> None:
    """The example makes its own certificate; plain HTTP and a proxy take a line of hub.yaml each."""
    service = pharma.service
    assert service.url.startswith("https://") and httpx.get(f"{service.url}/hub/login", timeout=30).status_code == 200
    https = re.search(r"^https:\n(  .*\n)+", service.yaml, re.MULTILINE)
    assert https
    plain = service.folder / "plain.yaml"
    plain.write_text(service.yaml.replace(https[0], "").replace(f"127.0.0.1:{service.port}", f"127.0.0.1:{port()}"))
    found = subprocess.run(
        [*service.command("check")[:2], "--config", str(plain), "--state", str(service.folder / "other")],
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    behind = service.folder / "behind.yaml"
    address = "  url: https://pharma.example.org/\n  listen:"
    behind.write_text(service.yaml.replace(https[0], "https: {kind: behind_proxy}\n").replace("  listen:", address))
    for program in ("nginx", "caddy"):
        command = [*service.command("proxy-config")[:2], program, "--config", str(behind)]
        printed = subprocess.run(command, capture_output=True, text=True, timeout=90)
        assert "pharma.example.org" in printed.stdout and str(service.port) in printed.stdout, printed.stderr


def test_row_10_logo_title_message_and_validated_people(pharma: Pharma) -> None:
    page = httpx.get(f"{pharma.service.url}/hub/login", timeout=30).text
    assert "Pharma notebooks" in page and "The machine restarts on the first Sunday" in page
    logo = re.search(r'src="(/hub/logo[^"]*)"', page)
    assert logo, page
    found = httpx.get(f"{pharma.service.url}{logo[1]}", timeout=30)
    assert found.headers["content-type"].startswith("image/svg") and "#0f766e" in found.text
    for name in ("Not A Name", "ada;id", "root"):
        done = pharma.service.cli("user", "add", name, check=False)
        assert done.returncode and "Traceback" not in done.stderr and name in done.stderr + done.stdout
