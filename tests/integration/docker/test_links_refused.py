"""pharma-docker row 4: what Docker mounts, as root, is what hub.yaml names, whatever links a user makes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Account
from tests.integration.docker.containers import inspected
from tests.integration.docker.daemon import FOLDERS, Dockerd
from tests.running import Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]

PLACE = Path("/srv") / f"hwt-sources-{os.getpid()}"


@pytest.fixture(scope="module")
def running(docker_service: Callable[..., Service]) -> Iterator[Service]:
    """Homes behind a link of root's; `own` holds a folder of each user's, `secret` is nobody's but root's to enter."""
    for name in ("homes", "own", "secret/inner"):
        (PLACE / name).mkdir(parents=True)
    (PLACE / "secret").chmod(0o700)
    (PLACE / "secret/inner/key").write_text("secret")
    (PLACE / "all").symlink_to("homes")
    volumes = [{"source": f"{PLACE}/own/{{username}}/shared", "target": "/shared"}]
    profiles = {
        "sizes": {"Small": {"cpu": 1, "memory": "600M"}},
        "default": {"sizes": ["Small"], "home": f"{PLACE}/all/{{username}}"},
        "groups": {"sharing": {"volumes": volumes}},
    }
    try:
        yield docker_service({"profiles": profiles}, volumes=FOLDERS).up()
    finally:
        shutil.rmtree(PLACE)


@pytest.fixture
def ada(running: Service, account: Callable[..., Account]) -> Account:
    made = account()
    for name in ("homes", "own"):
        (PLACE / name / made.name).mkdir()
        os.chown(PLACE / name / made.name, made.uid, made.gid)
    running.add_user(made.name)
    return made


def ask(service: Service, user: str) -> tuple[int, str]:
    answer = service.api("POST", f"/users/{user}/server", {})
    return answer.status_code, (answer.json() if answer.content else {}).get("message", "")


def test_a_home_behind_a_link_of_roots_has_its_own_name_inside(
    dockerd: Dockerd, running: Service, ada: Account
) -> None:
    kernel = running.start(ada.name).kernel()
    kernel.run("open('made', 'w').write('x')")
    assert kernel.run("import os; print(os.getcwd())").strip() == f"{PLACE}/all/{ada.name}"
    assert (PLACE / "homes" / ada.name / "made").stat().st_uid == ada.uid
    sources = {one["Destination"]: one["Source"] for one in inspected(dockerd, running, ada.name)["Mounts"]}
    assert sources[f"{PLACE}/all/{ada.name}"] == f"{PLACE}/homes/{ada.name}"
    running.stop(ada.name)


def test_a_link_that_the_user_makes_below_a_folder_of_his_is_not_mounted(
    dockerd: Dockerd, running: Service, ada: Account
) -> None:
    running.api("POST", "/groups/sharing", {})
    assert running.api("POST", "/groups/sharing/users", {"users": [ada.name]}).status_code == 200
    shared = PLACE / "own" / ada.name / "shared"
    for command in (["mkdir", str(shared)], ["rmdir", str(shared)], ["ln", "-s", f"{PLACE}/secret/inner", str(shared)]):
        subprocess.run(command, user=ada.uid, group=ada.gid, check=True, timeout=20)
        status, said = ask(running, ada.name)
        assert (
            status == 403 and f"{shared} could be led elsewhere: {shared.parent} belongs to user id {ada.uid}" in said
        )
        with pytest.raises(Exception, match="No such container"):
            inspected(dockerd, running, ada.name)
    # the same folder, which root alone can replace
    shared.unlink()
    os.chown(shared.parent, 0, 0)
    shared.mkdir()
    os.chown(shared, ada.uid, ada.gid)
    kernel = running.start(ada.name).kernel()
    assert kernel.run("import os; print(os.listdir('/shared'))").strip() == "[]"
    running.stop(ada.name)


def test_a_home_in_a_folder_that_others_may_write_is_refused(running: Service, ada: Account) -> None:
    (PLACE / "homes").chmod(0o1777)
    try:
        status, said = ask(running, ada.name)
        assert status == 403 and f"{PLACE}/homes can be written by others than root" in said
        problems = json.loads(running.cli("check", "--json", check=False).stdout)["problems"]
        where: list[Any] = [one["where"] for one in problems if "can be written by others than root" in one["what"]]
        assert len(where) == 1 and "profiles.default.home" in where[0], problems
    finally:
        (PLACE / "homes").chmod(0o755)


def test_a_folder_that_the_hub_may_not_look_at_is_said(running: Service, ada: Account) -> None:
    PLACE.chmod(0o700)
    try:
        status, said = ask(running, ada.name)
        assert status == 403 and "cannot be looked at by the hub's account" in said, said
    finally:
        PLACE.chmod(0o755)
