"""A group's own server where `profiles` are configured: whoever of the group starts it, chooses its size."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest
from tests.collaborating import Group, group_of
from tests.conftest import Account
from tests.integration.auth.hub import Browser
from tests.running import Kernel, Notebook, Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]

M = 2**20
SECTIONS = """\
auth: {kind: pam, allow: all}
engine: {kind: local}
profiles:
  sizes:
    Small: {cpu: 0.5, memory: 400M}
    Large: {cpu: 1, memory: 700M}
    Huge: {cpu: 1, memory: 900M}
  default: {sizes: [Small]}
  groups:
    %(group)s: {sizes: [Small, Large]}
"""


@pytest.fixture(scope="module")
def people(module_account: Callable[..., Account]) -> list[Account]:
    return [module_account() for _ in range(3)]


@pytest.fixture(scope="module")
def group(service: Callable[..., Service], people: list[Account]) -> Iterator[Group]:
    """Ada and Bob are in it, Eve is not."""
    with group_of(service, people, SECTIONS) as made:
        made.consist_of(*people[:2])
        made.service.up()
        made.apply()
        yield made


@pytest.fixture
def browser(group: Group) -> Iterator[Callable[[Account], Browser]]:
    made: list[Browser] = []

    def logged_in(someone: Account) -> Browser:
        made.append(Browser(group.service.url))
        assert made[-1].login(someone.name, someone.password).status_code == 302
        return made[-1]

    yield logged_in
    for one in made:
        one.client.close()


def offered(group: Group, by: Account) -> httpx.Response:
    headers = {"Authorization": f"token {group.service.token(by.name)}"}
    return group.service.api("GET", f"/hubwright/offer?user={group.team}", headers=headers)


def limits_of(notebook: Notebook, by: Account) -> list[float]:
    """Return processors and memory as the server was told, and the memory that the kernel holds it to."""
    token = notebook.service.token(by.name)
    made = notebook.ask("POST", "api/kernels", {"name": "python3"}, token=token).json()["id"]
    code = "import json, os; print(json.dumps([float(os.environ[n]) for n in ('CPU_LIMIT', 'MEM_LIMIT')]))"
    kernel = Kernel(notebook, made, token)
    told = kernel.value(code)
    too_much = (
        f"import subprocess, sys; print(subprocess.run([sys.executable, '-c', 'bytearray({int(told[1])})']).returncode)"
    )
    assert kernel.value(too_much) == -9, "what goes past the memory is ended"
    return told


def test_who_starts_it_chooses_of_what_the_group_may_have(
    group: Group, people: list[Account], browser: Callable[[Account], Browser]
) -> None:
    ada, bob, eve = people
    form = f"/hub/spawn/{group.team}"
    for one in (ada, bob):
        told = offered(group, one).json()
        assert [size["name"] for size in told["sizes"] if size["fits"]] == ["Small", "Large"], told
    assert offered(group, eve).status_code == 403
    hers, stranger = browser(ada), browser(eve)
    assert stranger.get(form).status_code in (403, 404)
    assert stranger.submit(form, form, size="Large").status_code in (403, 404)
    shown = hers.get(form)
    assert shown.status_code == 200 and "start.js" in shown.text
    assert not group.service.server(group.team), "a look at the form starts nothing"
    refused = hers.submit(form, form, size="Huge")
    assert refused.status_code == 403 and not group.service.server(group.team).get("ready")
    answer = hers.submit(form, form, size="Large")
    assert answer.status_code == 302 and group.team in answer.headers["Location"], answer.text
    assert limits_of(group.ready(), bob) == [1, 700 * M]
    assert group.service.server(group.team)["user_options"]["size"] == "Large"


def test_the_next_one_who_starts_it_may_choose_otherwise_and_nobody_gets_more_for_himself(
    group: Group, people: list[Account]
) -> None:
    ada, bob, _ = people
    hub = group.service
    headers = {"Authorization": f"token {hub.token(ada.name)}"}
    group.begin(ada)
    assert hub.api("DELETE", f"/users/{group.team}/server", headers=headers).status_code in (202, 204)
    hub.stop(group.team)
    assert limits_of(group.begin(bob, {"size": "Small"}), ada) == [0.5, 400 * M]
    refused = hub.api("POST", f"/users/{group.team}/servers/second", {"size": "Small"}, headers=headers)
    assert refused.status_code in (400, 403, 404)


def test_an_entry_of_its_own_counts_before_the_groups(group: Group, people: list[Account]) -> None:
    ada = people[0]
    group.service.down()
    group.service.yaml += f"  users:\n    {group.team}: {{sizes: [Huge]}}\n"
    group.service.up()
    told = offered(group, ada).json()
    assert [size["name"] for size in told["sizes"]] == ["Huge"]
    assert limits_of(group.begin(ada, {"size": "Huge"}), ada) == [1, 900 * M]
