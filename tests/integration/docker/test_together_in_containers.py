"""A group's own server in a container: who gets in, what they write together, and from which images there is none."""

from __future__ import annotations

import json
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import websocket
from tests.collaborating import Group, group_of
from tests.conftest import Account, wait_until
from tests.integration.docker.containers import inspected, lend_start
from tests.integration.docker.daemon import FOLDERS, SKELETON, Dockerd
from tests.integration.people.test_apply import as_user
from tests.running import PREFIX, Kernel, Notebook, Service

from hubwright.engines.docker.images import TOGETHER
from hubwright.engines.local import collaboration

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

OURS = "hwt/ours:1"
SECTIONS = """\
auth: {kind: pam, allow: all}
engine: %s
profiles:
  sizes: {Small: {cpu: 1, memory: 700M}}
  images: {Ours: {image: "%s"}, Plain: {image: "%s"}}
  default: {sizes: [Small], images: [Ours, Plain]}
"""


@pytest.fixture(scope="module")
def people(module_account: Callable[..., Account]) -> list[Account]:
    return [module_account() for _ in range(3)]


@pytest.fixture(scope="module")
def group(service: Callable[..., Service], people: list[Account], dockerd: Dockerd, folder: Path) -> Iterator[Group]:
    """Ada and Bob are in it, Eve is not; the service runs, with an image such as ours and a plain one."""
    collaboration.install(PREFIX)
    start = json.dumps(lend_start(folder)[:-1])
    dockerd.make_skeleton(OURS, more=[f"ENTRYPOINT {start}", f"LABEL {TOGETHER}=5"])
    volumes = [*FOLDERS, {"source": str(folder), "target": str(folder)}]
    engine = {"kind": "docker", "socket": dockerd.url, "image": OURS, "pull": "never", "volumes": volumes}
    with group_of(service, people, SECTIONS % (json.dumps(engine), OURS, SKELETON)) as made:
        made.consist_of(*people[:2])
        made.service.up()
        steps = made.apply()["steps"]
        assert ("account", made.team) in [(step["what"], step["name"]) for step in steps]
        assert "packages" not in [step["what"] for step in steps], "they are the image's"
        yield made


@pytest.fixture
def notebook(group: Group) -> Notebook:
    return group.with_notebook()


def test_two_write_in_one_notebook_and_it_is_saved_for_the_group(group: Group, notebook: Notebook) -> None:
    group.write_together(notebook)


def test_its_container_is_the_groups_and_enters_nobodys_home(
    dockerd: Dockerd, group: Group, notebook: Notebook, people: list[Account]
) -> None:
    hub, (ada, bob, _) = group.service, people
    token, account = hub.token(ada.name), pwd.getpwnam(group.team)
    kernel = Kernel(
        notebook, notebook.ask("POST", "api/kernels", {"name": "python3", "path": "n.ipynb"}, token).json()["id"], token
    )
    assert kernel.value(
        "import json, os; print(json.dumps([os.getuid(), os.getgid(), os.getgroups(), os.getcwd()]))"
    ) == [
        account.pw_uid,
        account.pw_gid,
        [account.pw_gid],
        str(group.folder),
    ]
    assert "FileNotFoundError" in kernel.run(f"os.listdir({str(ada.home)!r})")
    kernel.run("open('made', 'w').write('x')")
    as_user(bob.name, f"echo y >> {group.folder}/made")
    assert (group.folder / "made").read_text() == "xy\n"
    kernel.run("open(os.path.expanduser('~/made'), 'w')")
    assert Path(account.pw_dir, "made").stat().st_mode & 0o777 == 0o660, "where there are no ACLs the group may, too"
    mounts = {one["Destination"]: one["RW"] for one in inspected(dockerd, hub, group.team)["Mounts"]}
    assert {place for place, writable in mounts.items() if writable} == {
        str(group.folder),
        account.pw_dir,
        "/run/hubwright-server",
    }


def test_who_is_not_in_the_group_gets_nothing(group: Group, notebook: Notebook, people: list[Account]) -> None:
    hub, (_, bob, eve) = group.service, people
    token = hub.token(eve.name)
    for path in ("api/contents", "lab", "api/me", "api/collaboration/timeline/n.ipynb"):
        assert notebook.ask("GET", path, token=token).status_code == 403, path
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        notebook.socket("api/collaboration/room/json:notebook:1", token=token)
    for method in ("POST", "DELETE"):
        answer = hub.api(method, f"/users/{group.team}/server", headers={"Authorization": f"token {token}"})
        assert answer.status_code in (403, 404)
    assert "collaboration-extension" in notebook.ask("GET", "lab", token=hub.token(bob.name)).text
    theirs = hub.start(bob.name)
    assert "collaboration-extension" not in theirs.ask("GET", "lab").text


def test_who_leaves_the_group_is_out_at_once(group: Group, notebook: Notebook) -> None:
    group.see_bob_leave(notebook)


def test_an_image_whose_server_is_not_hubwrights_is_refused(
    group: Group, notebook: Notebook, people: list[Account]
) -> None:
    """Its server would load no jupyter-collaboration, and close no page of who has left."""
    hub, ada = group.service, people[0]
    told = " ".join(hub.cli("check", check=False).stdout.split())
    assert f"needs Hubwright's own image, and {SKELETON} does not say that it is" in told
    assert f"and {OURS} does not" not in told
    hub.stop(group.team)
    headers = {"Authorization": f"token {hub.token(ada.name)}"}
    answer = hub.api("POST", f"/users/{group.team}/server", {"size": "Small", "image": "Plain"}, headers=headers)
    wait_until(lambda: not hub.server(group.team), 60)
    assert f"The image {SKELETON} holds no server for groups" in answer.text + hub.logs()
