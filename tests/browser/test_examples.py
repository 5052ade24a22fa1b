"""The examples themselves, in a network of the test's own where their names lead here: a person logs in and works.

Changed in the text of an example is only what `changes` of each test says: names of people, since their Unix accounts are
this machine's, files of root's, and providers on the Internet. Servers are real: OpenLDAP, a certified OpenID
provider, PAM, an ACME authority, nginx.
"""

from __future__ import annotations

import json
import pwd
import secrets
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from bench.chromium import FLAGS
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, Playwright
from tests import julia_here, python_here
from tests.browser import at_work
from tests.browser.conftest import at_provider
from tests.certificates import locked
from tests.certificates import make as certificate
from tests.conftest import Account, remove_account
from tests.daemons import await_answer
from tests.integration.auth import openid
from tests.integration.auth.openid import OpenIDProvider
from tests.integration.auth.slapd import BASE, HUB, HUB_PASSWORD, MISSING, Slapd
from tests.integration.test_acme import Inside, World
from tests.running import Service

from hubwright.fields import instance_of

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(MISSING), reason="needs OpenLDAP: apt install slapd ldap-utils"),
]

EXAMPLES = Path(__file__).parents[2] / "examples"
HOSTS = """\
10.9.9.1 class.example.org notebooks.example.org hub.camp.example.org camp.example.org
10.9.9.2 ldap1.example.org
10.9.9.3 ldap2.example.org
"""
"""Nobody listens at ldap1: the second server is asked."""


@dataclass
class At(Inside):
    """An example's service, in the network of the test."""

    place: str = ""
    """The address that people know."""
    trust: tuple[str, ...] = ()
    """How curl trusts it."""
    rows: Callable[[], None] = lambda: None
    """Look at what else the example is there for, in JupyterLab, where somebody has run a cell."""

    @property
    def url(self) -> str:
        return self.place

    def answers(self) -> bool:
        assert self.world
        return self.world.ask(f"{self.place}/hub/login", *self.trust) == "200"


@dataclass
class Stage:
    """What a test needs to bring an example to life."""

    world: World
    folder: Path
    name: str
    """Of the person, whose Unix account is removed at the end."""
    service: Callable[..., Service]
    closing: list[Callable[[], None]] = field(default_factory=list)

    def start(self, example: str, place: str, changes: dict[str, str], *trust: str) -> At:
        """Start an example after these changes of its text, each of which must have something to change."""
        text = (EXAMPLES / f"{example}.yaml").read_text()
        for old, new in changes.items():
            assert old in text, f"{example}.yaml has no {old}"
            text = text.replace(old, new)
        plain = self.service("")
        hub = At(plain.folder, text.replace("{folder}", str(plain.folder)), plain.port)
        hub.world, hub.place, hub.trust = self.world, place, trust
        (hub.folder / "hub.yaml").write_text(hub.yaml)
        self.closing.append(hub.clean)
        return hub

    def secret(self, hub: At, name: str, text: str) -> None:
        argv = hub.command("secret", name)
        subprocess.run(argv, input=text, capture_output=True, text=True, check=True, timeout=90)

    def provider(self, callback: str) -> _Provider:
        folder = openid.packages()
        if folder is None:
            pytest.skip("needs node and npm: apt install nodejs npm")
        running = _Provider(folder, 9400, callback)
        running.world = self.world
        running.start()
        self.closing.append(running.stop)
        return running


class _Provider(OpenIDProvider):
    """The provider, in the network of the test."""

    world: World

    def start(self) -> _Provider:
        shutil.copyfile(openid.SCRIPT, self.script)
        argv = self.world.inside("node", str(self.script), str(self.port), self.callback)
        self.process = subprocess.Popen(argv, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        await_answer(self.process, self._answers)
        return self

    def _answers(self) -> bool:
        return self.world.ask(f"{self.issuer}/.well-known/openid-configuration") == "200"

    def change(self, number: int, **changes: object) -> None:
        sent = json.dumps({"id": number, **changes})
        assert self.world.ask(f"{self.issuer}/test/change", "-d", sent) == "200"


@pytest.fixture
def stage(service: Callable[..., Service], tmp_path: Path) -> Iterator[Stage]:
    world = World()
    with (world.folder / "hosts").open("a") as hosts:
        hosts.write(f"{HOSTS}10.9.9.1 {socket.gethostname()}\n")
    made = Stage(world, tmp_path, f"hwt-{secrets.token_hex(4)}", service)
    try:
        yield made
    finally:
        for close in reversed(made.closing):
            close()
        world.close()
        remove_account(made.name)


@pytest.fixture
def page(stage: Stage, playwright: Playwright, chromium: str, tmp_path: Path) -> Iterator[Page]:
    """Chromium in the network of the test; whom it trusts is looked at with curl."""
    start = tmp_path / "chromium"
    start.write_text(f'#!/bin/sh\nexec {" ".join(stage.world.inside())} {chromium} "$@"\n')
    start.chmod(0o755)
    context = playwright.chromium.launch_persistent_context(
        tmp_path / "profile", executable_path=start, args=FLAGS, headless=True, ignore_https_errors=True, locale="en-GB"
    )
    context.set_default_timeout(60_000)
    yield context.pages[0]
    context.close()


def works(page: Page, hub: At) -> None:
    """Start the server, if it is not that which people see first, and run a cell in JupyterLab."""
    page.wait_for_url("**/hub/home" if "landing: home" in hub.yaml else "**/lab**")
    if "landing: home" in hub.yaml:
        page.locator("#start").click()
    page.locator(".jp-LauncherCard[data-category=Notebook]", has_text="Python 3").first.click()
    page.locator("#jp-main-statusbar", has_text=" | Idle").wait_for(state="attached")
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").last.click()
    page.keyboard.insert_text("import os; print(os.getuid() > 999, 6 * 7)")
    page.keyboard.press("Shift+Enter")
    page.locator(".jp-OutputArea-output", has_text="True 42").first.wait_for()
    page.locator(".lm-TabBar-addButton:visible").first.click()


def types(page: Page, name: str, password: str, form: str = "") -> None:
    page.fill(f"{form} input[name=username]", name)
    page.fill(f"{form} input[name=password]", password)
    page.press(f"{form} input[name=password]", "Enter")


def _build(stage: Stage, hub: At) -> None:
    """Build its environments before it starts, as the network of the test has no package index."""
    outside = Service(hub.folder, hub.yaml, hub.port)
    environments = Path("/opt/hubwright/environments") / instance_of(hub.state)
    stage.closing.insert(0, lambda: shutil.rmtree(environments, ignore_errors=True))
    built = subprocess.run(
        outside.command("env", "build"), env=outside.env(), capture_output=True, text=True, timeout=500
    )
    assert built.returncode == 0, built.stderr


def linux_lab(stage: Stage, page: Page, account: Account) -> At:
    """Its Unix accounts, by the machine's name, by a certificate of its own making; the other Python is from here."""
    changes = {"# python313:": "python313:", 'python: "3.13"': f"python: {python_here.python()}"}
    hub = stage.start("linux-lab", f"https://{socket.gethostname()}:8000", changes, "-k")
    _build(stage, hub)
    account.add_environment("mine")
    hub.up(wait=180)
    hub.trust = ("--cacert", str(hub.state / "authority.crt"))
    hub.rows = lambda: at_work.linux_lab_kernels(page, hub, account.home)
    page.goto(hub.url)
    types(page, account.name, account.password)
    return hub


def julia_class(stage: Stage, page: Page, account: Account) -> At:
    """A certificate by ACME; the password is chosen by a one-time link; a class by "hubwright apply", and its course.

    Julia's packages are small ones of the same names. No image is made of them, which takes minutes: integration/envs
    has a test of one.
    """
    teacher, other, group = (f"{stage.name}-{letter}" for letter in "tbg")
    shared, lessons = Path("/srv", stage.name), Path("/srv", f"{stage.name}-course")
    changes = {
        "[teacher]": f"[{teacher}]",
        "[ada, bob]": f"[{stage.name}, {other}]",
        "/srv/julia-class, group: julia-class": f"{shared}, group: {group}",
        "/srv/course": str(lessons),
        "/opt/julia-1.10.9/bin/julia": str(julia_here.julia() / "usr/bin/julia"),
        "Plots]\n    # ": 'Plots]\n    registries: [./registry/Registry]\n    pkg_server: ""\n    # ',
        "    sysimage: [DataFrames, Plots]\n": "",
        "  email:": "  directory: https://acme.test:14000/acme/local/directory\n  directory_ca: root.crt\n  email:",
    }
    hub = stage.start("julia-class", "https://class.example.org", changes, "--cacert", str(stage.world.root))
    _clean_class(stage, [teacher, other, f"team-{group}"], group, [shared, lessons])
    shutil.copy(stage.world.root, hub.folder / "root.crt")
    (hub.folder / "root.crt").chmod(0o644)
    roster = (EXAMPLES / "julia-class.csv").read_text()
    for name, instead in (("julia-class", group), ("ada", stage.name), ("bob", other)):
        roster = roster.replace(name, instead)
    (hub.folder / "julia-class.csv").write_text(roster)
    at_work.write_course(lessons)
    julia_here.registry(hub.folder / "registry", "IJulia", "Words", "DataFrames", "Plots")
    _build(stage, hub)
    Service(hub.folder, hub.yaml, hub.port).cli("apply")  # it fetches jupyter-collaboration, where there is an index
    homes = [Path(pwd.getpwnam(name).pw_dir) for name in (stage.name, other)]
    assert all(home.is_dir() for home in homes), "before anybody has logged in"
    hub.up(wait=180)
    hub.cli("apply")

    def claims(name: str) -> None:
        page.context.clear_cookies()
        page.goto(hub.cli("user", "link", name).stdout.strip())
        page.fill("#password", "a password of mine")
        page.fill("#again", "a password of mine")
        page.press("#again", "Enter")
        page.wait_for_url("**/user/**")

    def rows() -> None:
        at_work.julia_class_kernel(page, hub)
        at_work.handed_out(page, hub, lessons, homes[0], "course")
        at_work.julia_class_together(page, hub, group, shared)
        claims(teacher)
        at_work.julia_class_lessons(page, hub, stage.name)

    hub.rows = rows
    claims(stage.name)
    return hub


def _clean_class(stage: Stage, people: list[str], group: str, folders: list[Path]) -> None:
    """Have a class's accounts, group and folders go at the end, after its service."""

    def clean() -> None:
        for name in people:
            remove_account(name)
        remove_account(stage.name)
        subprocess.run(["groupdel", group], check=False, capture_output=True)
        for folder in (*folders, Path(f"/home/team-{group}")):
            shutil.rmtree(folder, ignore_errors=True)

    stage.closing.insert(0, clean)


def stem_camp_swarm(stage: Stage, page: Page, account: Account) -> At:
    """A roster of addresses, accounts made at once, nginx as printed, the camp's own pages at the apex."""
    first = 2_000_000 + secrets.randbelow(900_000) * 1000
    provider = stage.provider("https://hub.camp.example.org/hub/oauth_callback")
    provider.change(1, email=f"{stage.name}@gmail.com", hd=None)
    changes = {
        "123456-example.apps.googleusercontent.com": "hub",
        "/srv/camp": "{folder}/camp",
        "20000-20999": f"{first}-{first + 999}",
        "idle:": f"extra:\n  OpenIDAuthenticator: {{issuer: '{provider.issuer}'}}\n\nidle:",  # in place of Google's
    }
    hub = stage.start("stem-camp-swarm", "https://hub.camp.example.org", changes, "-k")
    roster = (EXAMPLES / "stem-camp.txt").read_text()
    (hub.folder / "stem-camp.txt").write_text(
        roster.replace("ada@gmail.com", f"{stage.name}@gmail.com")
        .replace("carol@", f"{stage.name}-c@")
        .replace("bob@", f"{stage.name}-b@")
    )
    stage.closing += [lambda: remove_account(f"{stage.name}-c"), lambda: remove_account(f"{stage.name}-b")]
    (hub.folder / "camp").mkdir(mode=0o755)
    (hub.folder / "camp" / "index.html").write_text("<h1>The camp</h1>")
    notebooks = hub.folder / "camp-notebooks"
    at_work.write_course(notebooks)
    hub.rows = lambda: at_work.handed_out(page, hub, notebooks, Path(f"~{stage.name}").expanduser(), "notebooks")
    stage.secret(hub, "google.secret", openid.SECRET)
    _nginx(stage, hub)
    hub.up(wait=180)
    hub.cli("apply")
    assert stage.world.ask("https://camp.example.org/", "-k") == "200"
    page.goto("https://camp.example.org/")
    assert page.locator("h1").inner_text() == "The camp"
    page.goto(hub.url)
    page.locator("text=Sign in with Google").click()
    with page.expect_response(lambda answer: "/hub/oauth_callback" in answer.url) as back:
        at_provider(page, "Ada", "other")  # somebody with an account there who is not on the roster
    assert back.value.status == 403
    page.locator("text=not on the list").first.wait_for()
    page.context.clear_cookies()
    page.goto(hub.url)
    page.locator("text=Sign in with Google").click()
    at_provider(page, "ada", "ada's")
    return hub


def _nginx(stage: Stage, hub: At) -> None:
    pair = certificate("hub.camp.example.org", "camp.example.org")
    chain, key = stage.folder / "front.pem", stage.folder / "front.key"
    chain.write_bytes(pair.chain)
    key.write_bytes(pair.key)
    text = hub.cli("proxy-config", "nginx", "--certificate", str(chain), "--key", str(key)).stdout
    whole = f"daemon off; pid {stage.folder}/pid; error_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{text}}}\n"
    (stage.folder / "nginx.conf").write_text(whole)
    argv = ["/usr/sbin/nginx", "-p", str(stage.folder), "-c", str(stage.folder / "nginx.conf"), "-e", "stderr"]
    with (stage.folder / "nginx.log").open("wb") as log:
        nginx = subprocess.Popen(stage.world.inside(*argv), stdout=log, stderr=log)
    stage.closing += [lambda: nginx.wait(20), nginx.terminate]


def cloud_vms(stage: Stage, page: Page, account: Account) -> At:
    """An encrypted key; the directory's second server, since the first is silent; a partner by OpenID Connect beside it."""
    slapd = Slapd(stage.folder, "ldap2.example.org", stage.world.inside).start()
    stage.closing.append(slapd.stop)
    slapd.add_person(stage.name, "of the institute")
    slapd.add_group("notebooks", stage.name)
    provider = stage.provider("https://notebooks.example.org/hub/oauth_callback/partners")
    partner = f"{stage.name}-p"
    provider.change(3, name=partner, groups=["cloud-users"])
    stage.closing.append(lambda: remove_account(partner))
    changes = {
        "/etc/ssl/notebooks.pem": "{folder}/notebooks.pem",
        "/etc/ssl/private/": "{folder}/",
        "# ca: /etc/ssl/example-ca.pem": "ca: {folder}/ca.pem",
        "cn=hub,ou=services,dc=example,dc=org": HUB,
        "https://iam.example.org/realms/research": provider.issuer,
        "client_id: notebooks": "client_id: hub",
    }
    assert BASE == "dc=example,dc=org"
    hub = stage.start("cloud-vms", "https://notebooks.example.org", changes, "--cacert", "{folder}/notebooks.pem")
    hub.trust = ("--cacert", str(hub.folder / "notebooks.pem"))
    pair = certificate("notebooks.example.org")
    for name, content in (
        ("notebooks.pem", pair.chain),
        ("notebooks.key", locked(pair, "open sesame")),
        ("notebooks.passphrase", b"open sesame\n"),
        ("ca.pem", slapd.ca.read_bytes()),
    ):
        (hub.folder / name).touch(0o644 if name.endswith(".pem") else 0o600)
        (hub.folder / name).write_bytes(content)
    stage.secret(hub, "institute.password", HUB_PASSWORD)
    stage.secret(hub, "partners.secret", openid.SECRET)
    checked = " ".join(hub.cli("check", check=False).stdout.split())
    assert "can run" in checked and "ldap1.example.org cannot be reached" in checked, checked
    looked = hub.cli("check", "login", stage.name, check=False).stdout
    assert f"{stage.name} may log in by institute" in looked and "may not log in by partners" in looked
    hub.up(wait=180)
    page.goto(hub.url)
    page.locator("text=Sign in with your partner account").click()
    at_provider(page, partner, "bob's")
    page.wait_for_url("**/hub/home")
    page.goto(f"{hub.url}/hub/logout")
    page.goto(hub.url)
    types(page, stage.name, "of the institute", "form[data-way=institute]")
    return hub


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "begin", [linux_lab, julia_class, stem_camp_swarm, cloud_vms], ids=lambda begin: begin.__name__
)
def test_somebody_works_with_the_example(
    begin: Callable[[Stage, Page, Account], At], stage: Stage, page: Page, account: Callable[[], Account]
) -> None:
    """From the file to a result, by the address that people know, whose certificate is the one that it names."""
    try:
        hub = begin(stage, page, account())
        works(page, hub)
        hub.rows()
    except PlaywrightError as error:
        shown = page.locator("body").inner_text() if page.locator("body").count() else ""
        raise AssertionError(f"{error}\n{page.url}\n{shown[:3000]}") from error
    assert hub.answers()
