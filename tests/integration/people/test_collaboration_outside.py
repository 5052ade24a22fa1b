"""A group's own server where others say who people are: membership by a directory, a provider, or the roster."""

from __future__ import annotations

import secrets
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from tests.collaborating import NOTEBOOK, Group, Writer, group_of
from tests.conftest import Account, remove_account, wait_until
from tests.integration.auth import openid, slapd
from tests.integration.auth.hub import Browser, told
from tests.integration.auth.test_oidc import to_callback
from tests.running import Service, port

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


class Elsewhere(ABC):
    """Where it is known who people are; `people` are Ada and Bob of the group, and Eve."""

    sections = ""
    domain = ""

    def __init__(self, folder: Path, people: list[Account]) -> None:
        self.folder, self.people = folder, people
        self.ends = ExitStack()
        """What is to be done at the end, from the last to the first."""

    def begin(self, group: Group) -> None:
        """Start it, and tell the hub its secret."""
        (group.service.folder / "hub.yaml").write_text(group.service.yaml)
        group.domain = self.domain
        group.consist_of()

    def give(self, group: Group, name: str, secret: str) -> None:
        command = group.service.command("secret", name)
        done = subprocess.run(command, input=secret, capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, done.stderr

    def browser(self, url: str) -> Browser:
        """Return a new one, which is closed at the end."""
        made = Browser(url)
        self.ends.callback(made.client.close)
        return made

    @abstractmethod
    def login(self, browser: Browser, someone: Account) -> httpx.Response:
        """Log in as a browser does."""

    @abstractmethod
    def leave(self, group: Group, someone: Account) -> None:
        """Take somebody out of the group."""

    @abstractmethod
    def called(self, someone: Account, name: str) -> AbstractContextManager[Account]:
        """Have somebody of that name, who may be this one; he has not been here before."""


class Directory(Elsewhere):
    """A real OpenLDAP."""

    def __init__(self, folder: Path, people: list[Account]) -> None:
        super().__init__(folder, people)
        if slapd.MISSING:
            pytest.skip("needs OpenLDAP: apt install slapd ldap-utils")
        self.server = slapd.Slapd(folder)
        self.ca = Path(f"/var/lib/hwt-{secrets.token_hex(4)}.pem")
        groups = f'  groups: {{base: "ou=groups,{slapd.BASE}"}}\n  allow: all\n'
        self.sections = self.server.section(str(self.ca)) + groups

    def begin(self, group: Group) -> None:
        super().begin(group)
        self.server.start()
        self.ends.callback(self.server.stop)
        self.ca.write_bytes(self.server.ca.read_bytes())
        self.ends.callback(self.ca.unlink)
        self.ca.chmod(0o644)
        for one in self.people:
            self.server.add_person(one.name, one.password)
        self.server.add_group(group.name, *(one.name for one in self.people[:2]), "somebody-else")
        self.give(group, "ldap.password", slapd.HUB_PASSWORD)

    def login(self, browser: Browser, someone: Account) -> httpx.Response:
        return browser.login(someone.name, someone.password)

    def leave(self, group: Group, someone: Account) -> None:
        self.server.leave(someone.name, group.name)

    @contextmanager
    def called(self, someone: Account, name: str) -> Iterator[Account]:
        self.server.add_person(name, "another's")
        yield Account(name, "another's", 0, 0, Path("/"))


class Provider(Elsewhere):
    """A certified OpenID provider, which tells groups."""

    secret = "oidc.secret"
    numbers = (1, 3, 2)
    """Of Ada, Bob and Eve there."""

    def __init__(self, folder: Path, people: list[Account]) -> None:
        super().__init__(folder, people)
        if (packages := openid.packages()) is None:
            pytest.skip("needs node and npm: apt install nodejs npm")
        self.packages, self.port = packages, port()
        self.sections = self.section(f"http://localhost:{self.port}")

    def section(self, issuer: str) -> str:
        return f'auth: {{kind: oidc, client_id: hub, issuer: "{issuer}", allow: all, look_every: 1s}}\n'

    def begin(self, group: Group) -> None:
        super().begin(group)
        self.give(group, self.secret, openid.SECRET)
        callback = f"{group.service.url}/hub/oauth_callback"
        self.provider = openid.OpenIDProvider(self.packages, self.port, callback).start()
        self.ends.callback(self.provider.stop)
        self.group = group.name
        for one in self.people:
            self.tell(one, one.name, in_it=one in self.people[:2])

    def tell(self, someone: Account, name: str, *, in_it: bool) -> None:
        groups = [self.group] * in_it
        words = {"name": name, "password": someone.password, "email": f"{name}@example.org", "hd": "example.org"}
        self.provider.change(self.numbers[self.people.index(someone)], groups=groups, unverified=False, **words)

    def login(self, browser: Browser, someone: Account) -> httpx.Response:
        return browser.client.get(to_callback(None, browser, someone.name, someone.password))

    def leave(self, group: Group, someone: Account) -> None:
        self.tell(someone, someone.name, in_it=False)

    @contextmanager
    def called(self, someone: Account, name: str) -> Iterator[Account]:
        self.tell(someone, name, in_it=False)
        yield Account(name, someone.password, 0, 0, Path("/"))
        self.tell(someone, someone.name, in_it=False)


class Google(Provider):
    """The same provider as Google, which tells addresses and no groups: the roster says who is in one."""

    secret = "google.secret"
    domain = "@example.org"

    def section(self, issuer: str) -> str:
        section = "{kind: google, client_id: hub, hosted_domain: [example.org], allow: all, look_every: 1s}"
        return f'auth: {section}\nextra: {{OpenIDAuthenticator: {{issuer: "{issuer}"}}}}\n'

    def begin(self, group: Group) -> None:
        super().begin(group)
        group.consist_of(*self.people[:2])

    def tell(self, someone: Account, name: str, *, in_it: bool) -> None:
        super().tell(someone, name, in_it=False)

    def leave(self, group: Group, someone: Account) -> None:
        group.consist_of(*(one for one in self.people[:2] if one is not someone))
        group.apply()


@pytest.fixture
def people() -> Iterator[list[Account]]:
    """Three of whom this machine knows nothing yet."""
    made = [Account(f"hwt-{secrets.token_hex(4)}", secrets.token_hex(8), 0, 0, Path("/")) for _ in range(3)]
    yield made
    for one in made:
        remove_account(one.name)


@pytest.fixture
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path, people: list[Account]) -> Elsewhere:
    return request.param(tmp_path, people)


@pytest.fixture
def group(service: Callable[..., Service], people: list[Account], elsewhere: Elsewhere) -> Iterator[Group]:
    with group_of(service, people, elsewhere.sections) as made, elsewhere.ends:
        elsewhere.begin(made)
        made.service.up()
        made.apply()
        yield made


@pytest.mark.parametrize("elsewhere", [Directory, Provider, Google], indirect=True)
def test_who_is_in_the_group_is_let_in_and_who_leaves_it_is_out(
    group: Group, elsewhere: Elsewhere, people: list[Account]
) -> None:
    hub, (ada, bob, eve) = group.service, people
    browser, *others = (elsewhere.browser(hub.url) for _ in range(4))
    with elsewhere.called(eve, group.team) as namesake:
        page = elsewhere.login(browser, namesake)
    assert (page.status_code, "which is the server of a group" in told(page)) == (403, True), told(page)
    assert browser.who() is None

    browsers = {one.name: other for one, other in zip(people, others, strict=True)}
    for one in people:
        page = elsewhere.login(browsers[one.name], one)
        assert page.status_code == 302, told(page) + hub.logs()
        assert browsers[one.name].who() == one.name
        shown = browsers[one.name].get("/hub/home").text
        assert (f'data-account="{group.team}"' in shown) == (one is not eve)

    notebook = group.begin(ada)
    made = notebook.ask("PUT", "api/contents/n.ipynb", {"type": "notebook", "content": NOTEBOOK}, hub.token(ada.name))
    assert made.status_code == 201, made.text
    writers = [Writer(notebook, "n.ipynb", hub.token(one.name)) for one in (ada, bob)]
    for one in writers:
        wait_until(lambda one=one: one.sources == ["1"])
    writers[1].write(" + 2")
    wait_until(lambda: writers[0].sources == ["1 + 2"])
    wait_until(lambda: "1 + 2" in (group.folder / "n.ipynb").read_text())
    assert notebook.ask("GET", "api/contents", token=hub.token(eve.name)).status_code == 403
    headers = {"Authorization": f"token {hub.token(eve.name)}"}
    assert hub.api("DELETE", f"/users/{group.team}/server", headers=headers).status_code in (403, 404)

    elsewhere.leave(group, bob)
    group.check_out(bob, notebook, writers[1])
