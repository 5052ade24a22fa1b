"""Users whom nobody has to trust: JupyterHub's "Protect users from each other" and "Mitigate security issues"."""

from __future__ import annotations

import json
import os
import pwd
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from jupyter_core.paths import ENV_CONFIG_PATH, ENV_JUPYTER_PATH, SYSTEM_CONFIG_PATH, SYSTEM_JUPYTER_PATH
from tests.conftest import Account
from tests.running import Notebook, Service
from tests.security.conftest import World, ask, cookies, xsrf

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]


@pytest.fixture
def trapped(world: World, account: Callable[..., Account]) -> Callable[..., tuple[Account, Notebook, Path]]:
    """Start a server of somebody whose home holds files that would leave a mark when somebody ran them."""

    def start(world: World = world, **files: str) -> tuple[Account, Notebook, Path]:
        person = account()
        mark = person.home / "mark"
        for name, text in files.items():
            path = person.home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("MARK", str(mark)))
            path.chmod(0o755)
        for path in (person.home, *person.home.rglob("*")):
            os.chown(path, person.uid, person.gid)
        world.hub.start(person.name)
        return person, Notebook(world.hub, person.name, ""), mark

    return start


SHELL = "#!/bin/sh\ntouch MARK\nexport HUBWRIGHT_TRAP=1\n"
PYTHON = "open('MARK', 'w').close()\n"


def test_no_shell_configuration_is_evaluated_at_a_start(trapped: Callable[..., tuple[Account, Notebook, Path]]) -> None:
    """Prevent spawners from evaluating shell configuration: nor a program of the user's found by PATH."""
    names = (".profile", ".bash_profile", ".bashrc", ".login", ".zshenv", ".pam_environment", ".local/bin/python3")
    names += (".local/bin/jupyterhub-singleuser", "bin/jupyterhub-singleuser", ".ssh/rc", ".ssh/environment")
    _, notebook, mark = trapped(**dict.fromkeys(names, SHELL))
    assert not mark.exists()
    environment = Path(f"/proc/{notebook.pid}/environ").read_bytes()
    assert b"HUBWRIGHT_TRAP" not in environment
    assert notebook.ask("GET", "api/status").status_code == 200


def test_no_package_of_a_user_is_in_the_server(trapped: Callable[..., tuple[Account, Notebook, Path]]) -> None:
    """Isolate packages in a read-only environment: what lies in the home hides nothing that the server imports."""
    library = f".local/lib/python{'.'.join(map(str, sys.version_info[:2]))}/site-packages"
    names = ("usercustomize.py", "sitecustomize.py", "jupyter_server.py", "jupyterhub.py", "tornado.py", "x.pth")
    traps = {f"{library}/{name}": PYTHON if name.endswith(".py") else f"import os; {PYTHON}" for name in names}
    traps |= {name: PYTHON for name in ("tornado.py", "json.py", "jupyter_server.py")}
    _, notebook, mark = trapped(**traps)
    assert notebook.ask("GET", "api/contents").status_code == 200
    assert not mark.exists()


def test_a_user_can_change_nothing_that_servers_are_made_of(world: World) -> None:
    """Every folder on the server's own path and on a kernel's, its programs, Jupyter's folders, the service's state."""
    kernel = world.notebook(world.alice).kernel()
    paths = [*SYSTEM_CONFIG_PATH, *ENV_CONFIG_PATH, *SYSTEM_JUPYTER_PATH, *ENV_JUPYTER_PATH]
    servers = [sys.prefix, f"{sys.prefix}/bin", f"{sys.prefix}/pyvenv.cfg", sys.executable, *filter(None, sys.path)]
    code = f"""
import json, os, sys
home = os.path.expanduser("~")
own = os.environ["HUBWRIGHT_OWN_KERNEL"]
written = [os.path.join(folder, name) for folder, _, names in os.walk(own) for name in (".", *names)]
places = {{*{[*servers, *paths, str(world.hub.state), str(world.hub.environments)]!r}, own, *written, *sys.path}}
there = sorted(path for path in places if os.path.exists(path) and not path.startswith(home))
print(json.dumps([there, [path for path in there if os.access(path, os.W_OK)]]))
"""
    looked, writable = kernel.value(code)
    assert {sys.prefix, sys.executable, str(world.hub.environments)} <= {*looked}
    assert any("kernel.json" in path for path in looked) and writable == []


def test_options_of_a_start_change_nothing_but_what_is_offered(world: World) -> None:
    """Neither the environment, the program, its arguments, the account, nor what it may take."""
    name = world.alice.name
    if world.hub.server(name):
        world.hub.stop(name)
    token = {"Authorization": f"token {world.hub.token(name)}"}
    options = {
        "env": {"HUBWRIGHT_TRAP": "1", "PYTHONPATH": "/tmp", "LD_PRELOAD": "/tmp/x.so"},
        "environment": {"HUBWRIGHT_TRAP": "1"},
        "args": ["--ServerApp.token=x", "--ServerApp.allow_origin=*"],
        "cmd": ["/bin/sh"],
        "user": "root",
        "username": world.mallory.name,
        "uid": 0,
        "debug": True,
        "disable_check": True,
        "notebook_dir": "/",
    }
    answer = httpx.post(f"{world.hub.url}/hub/api/users/{name}/server", json=options, headers=token, timeout=60)
    assert answer.status_code in (201, 202, 400), answer.text
    notebook = world.notebook(world.alice)
    environment = Path(f"/proc/{notebook.pid}/environ").read_bytes()
    assert b"HUBWRIGHT_TRAP" not in environment and b"LD_PRELOAD" not in environment
    uids = re.search(r"^Uid:\t(.*)$", Path(f"/proc/{notebook.pid}/status").read_text(), re.MULTILINE)
    assert uids and set(uids[1].split()) == {str(pwd.getpwnam(name).pw_uid)}
    assert notebook.ask("GET", "api/contents", token="x").status_code == 403
    origin = notebook.ask("GET", "api/contents").headers
    assert not origin.get("access-control-allow-origin")
    assert {one["name"] for one in notebook.ask("GET", "api/contents").json()["content"]} <= set(
        os.listdir(world.alice.home)
    )


@pytest.mark.parametrize("loaded", [True, False], ids=["read", "not read"])
def test_a_users_own_configuration_is_read_unless_it_is_turned_off(
    service: Callable[..., Service], account: Callable[..., Account], loaded: bool
) -> None:
    """Disable user config: `Spawner.disable_user_config` holds for a forked server as for an executed one."""
    more = "" if loaded else "extra: {Spawner: {disable_user_config: true}}\n"
    hub = service('hub: {listen: "127.0.0.1:{port}"}\nauth: {kind: pam, allow: all}\n' + more).up()
    person = account()
    folder = person.home / ".jupyter"
    folder.mkdir()
    (folder / "jupyter_server_config.py").write_text("open('mark', 'w').close()\n")
    (folder / "jupyter_server_config.json").write_text(
        json.dumps({"ServerApp": {"allow_origin": "https://evil.example"}})
    )
    for path in (folder, *folder.iterdir()):
        os.chown(path, person.uid, person.gid)
    notebook = hub.start(person.name)
    headers = notebook.ask("GET", "api/contents").headers
    assert (headers.get("access-control-allow-origin") == "https://evil.example") is loaded
    assert (person.home / "mark").exists() is loaded
    hub.clean()


def test_nobody_shares_a_server_unless_the_admin_lets_users(world: World) -> None:
    """Sharing access to servers: no user may, by default; so nobody is served what another one wrote."""
    world.notebook(world.alice)
    alice, mallory = world.alice.name, world.mallory.name
    token = {"Authorization": f"token {world.hub.token(alice)}"}
    for path, body in (
        (f"/shares/{alice}/", {"user": mallory}),
        (f"/share-codes/{alice}/", {}),
        (f"/shares/{alice}/", {"group": "x", "scopes": ["access:servers"]}),
    ):
        answer = httpx.post(f"{world.hub.url}/hub/api{path}", json=body, headers=token, timeout=60)
        assert answer.status_code in (403, 404), (path, answer.status_code)
    assert world.browser(world.mallory).get(f"/user/{alice}/lab").status_code in (302, 403, 404)


def test_what_a_user_wrote_runs_no_script_as_the_page_does(world: World) -> None:
    """Mitigating same-origin deployments: HTML of a user's is shown, to its owner too, in a sandbox without origin."""
    notebook = world.notebook(world.alice)
    page = {"type": "file", "format": "text", "content": "<script>fetch('/hub/api/user')</script>"}
    assert notebook.ask("PUT", "api/contents/page.html", page).status_code in (200, 201)
    policy = notebook.ask("GET", "files/page.html").headers["content-security-policy"]
    assert "sandbox allow-scripts" in policy and "allow-same-origin" not in policy
    assert world.browser(world.mallory).get(f"/user/{world.alice.name}/files/page.html").status_code in (302, 403)


@pytest.mark.parametrize("path", ["/hub/login", "/hub/home", "/hub/token", "/hub/nothing", "LAB", "API", "DEAD"])
def test_no_page_can_be_framed(world: World, path: str) -> None:
    """Neither by another site nor by a page of another user, which has the same origin: `'self'` would not do."""
    browser = world.at_work(world.alice)
    base = f"/user/{world.alice.name}/"
    place = {"LAB": base + "lab", "API": base + "api/contents", "DEAD": f"/user/{world.admin.name}/lab"}.get(path, path)
    answer = browser.client.get(place, follow_redirects=True)
    policies = [part.strip() for part in answer.headers["content-security-policy"].split(";")]
    assert "frame-ancestors 'none'" in policies, policies
    assert not any(part.startswith("sandbox") and "allow-popups" in part for part in policies)
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["referrer-policy"]


def test_a_request_needs_the_token_of_its_own_path(world: World) -> None:
    """XSRF: cookies alone change nothing; nor does the token that another user's, or the hub's, pages get."""
    browser = world.at_work(world.alice)
    base, hub_api = f"/user/{world.alice.name}/", f"/hub/api/users/{world.alice.name}/tokens"
    his = world.at_work(world.mallory)
    own, hubs = xsrf(browser, base), xsrf(browser, "/hub/")
    foreign = xsrf(his, f"/user/{world.mallory.name}/")
    cookie = cookies(browser, base)
    for wrong in ("", "x", hubs, foreign):
        answer = ask(world, f"{base}api/terminals", method="POST", cookie=cookie, X_XSRFToken=wrong)
        assert answer.status_code == 403, wrong
        answer = ask(
            world, hub_api, method="POST", cookie=cookies(browser, "/hub/"), X_XSRFToken="" if wrong == hubs else wrong
        )
        assert answer.status_code == 403, wrong
    # JupyterHub takes it with a page's own words about where it comes from only
    same = {"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors"}
    assert (
        ask(world, hub_api, method="POST", cookie=cookies(browser, "/hub/"), X_XSRFToken=hubs, **same).status_code
        == 201
    )
    assert ask(world, f"{base}api/terminals", method="POST", cookie=cookie, X_XSRFToken=own, **same).status_code == 200


def test_no_user_has_a_scope_beyond_his_own(world: World) -> None:
    """Token scopes and roles: what asks for the admin's, or for somebody else's, is refused, by tokens and by cookies."""
    world.notebook(world.alice)
    alice, mallory = world.alice.name, world.mallory.name
    token = {"Authorization": f"token {world.hub.token(mallory)}"}
    asked = [
        ("GET", f"/users/{alice}"), ("PATCH", f"/users/{mallory}"), ("POST", "/users"), ("POST", "/users/somebody"),
        ("DELETE", f"/users/{alice}"), ("POST", f"/users/{alice}/server"), ("DELETE", f"/users/{alice}/server"),
        ("GET", f"/users/{alice}/server/progress"), ("POST", f"/users/{alice}/tokens"), ("GET", f"/users/{alice}/tokens"),
        ("POST", f"/users/{alice}/activity"), ("POST", "/groups/x"), ("POST", "/groups/x/users"), ("GET", "/proxy"),
        ("POST", "/proxy"), ("PATCH", "/proxy"), ("POST", "/shutdown"), ("GET", "/services/hubwright-cli"),
    ]  # fmt: skip
    for method, path in asked:
        answer = httpx.request(
            method, f"{world.hub.url}/hub/api{path}", headers=token, json={"admin": True}, timeout=60
        )
        assert answer.status_code in (403, 404), (method, path, answer.status_code)
    for path in ("/users", "/groups", "/services"):
        found = httpx.get(f"{world.hub.url}/hub/api{path}", headers=token, timeout=60)
        listed = found.json() if found.status_code == 200 else []
        assert {one if isinstance(one, str) else one["name"] for one in listed} <= {mallory}, path
    assert world.hub.api("GET", f"/users/{mallory}").json()["admin"] is False
    wider = httpx.post(
        f"{world.hub.url}/hub/api/users/{mallory}/tokens", headers=token, json={"scopes": ["admin:users"]}, timeout=60
    )
    assert wider.status_code in (400, 403), wider.text
    for path in ("/hub/admin", "/hub/metrics", "/hub/api/metrics"):
        assert world.browser(world.mallory).get(path).status_code in (302, 403, 404), path


def test_a_servers_own_token_does_little(world: World) -> None:
    """What every cell can read: it says who its user is and that he works, and starts, stops and names nothing."""
    kernel = world.notebook(world.alice).kernel()
    token = kernel.value("import json, os; print(json.dumps(os.environ['JUPYTERHUB_API_TOKEN']))")
    headers, name = {"Authorization": f"token {token}"}, world.alice.name
    for method, path in (
        ("POST", f"/users/{name}/servers/another"),
        ("DELETE", f"/users/{name}/server"),
        ("POST", f"/users/{name}/tokens"),
        ("GET", f"/users/{world.mallory.name}"),
        ("GET", "/users"),
        ("GET", "/proxy"),
    ):
        answer = httpx.request(method, f"{world.hub.url}/hub/api{path}", headers=headers, json={}, timeout=60)
        assert answer.status_code in (403, 404) or answer.json() in ([], [name]), (method, path, answer.text)
    assert world.hub.server(name)["ready"]
    path = f"/user/{world.mallory.name}/api/contents"
    world.notebook(world.mallory)
    assert ask(world, path, **headers).status_code == 403


def test_secrets_have_the_owners_and_modes_that_the_docs_name(world: World) -> None:
    """Besides, they are opened by an ordinary user's process, and none of them opens."""
    world.notebook(world.alice)
    state, hub, root = world.hub.folder / "state", world.hub.site.account, "root"
    secrets = {
        state / "secrets" / "cookie_secret": (0o600, hub),
        state / "secrets" / "cli.token": (0o600, hub),
        state / "secrets" / "authority.key": (0o600, root),
        state / "hub.sqlite": (0o600, hub),
        world.hub.run / "tls.pem": (0o640, root),
        **{path: (0o600, root) for path in (state / "logs").rglob("*") if path.is_file()},
    }
    assert {path: (stat.S_IMODE(path.stat().st_mode), path.owner()) for path in secrets} == secrets
    assert (world.hub.run / "tls.pem").group() == hub
    assert [path for path in secrets if world.alice.name in path.name], "her server's log is among them"
    tries = "import os, sys; print([path for path in sys.argv[1:] if os.access(path, os.R_OK)])"
    done = subprocess.run(
        ["/usr/bin/python3", "-c", tries, *map(str, secrets)],
        user=world.mallory.uid,
        group=world.mallory.gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
