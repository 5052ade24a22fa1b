"""An installed service on a machine as it comes: from nothing to a logged-in user, and what is done to it then.

The first test makes the machine that the others begin with, and keeps it: each of them can be run by itself, again and
again, until something changes that the machine was made of.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.acme_authority import DIRECTORY, authority, root_of
from tests.machine import image
from tests.machine.guest import Guest, Running
from tests.machine.image import Image
from tests.machine.installed import (
    ADMIN,
    CONFIG,
    ENVIRONMENT,
    NOTED,
    PARTS,
    PASSWORD,
    PERSON,
    STATE,
    UNIT_OF,
    UNITS,
    YAML,
    Installed,
    Work,
    digest_of_checkout,
    make,
)
from tests.running import Kernel

pytestmark = [pytest.mark.root, pytest.mark.long, pytest.mark.timeout(5400)]
ACME = f"""\
hub: {{listen: ":443", url: "https://notebooks.test/", admins: [ada]}}
auth: {{kind: pam, allow: all}}
https:
  kind: acme
  email: admin@example.org
  directory: "https://acme.test:14000/{DIRECTORY}"
  directory_ca: authority.crt
"""


@pytest.fixture(scope="module")
def place(machine_image: Image) -> Path:
    """Where the machine with the installed service is kept; those of other states of the checkout go."""
    folder = image.CACHE / f"installed-{machine_image.folder.name.partition('-')[2]}-{digest_of_checkout()}"
    for old in image.CACHE.glob("installed-*"):
        if old != folder:
            shutil.rmtree(old)
    return folder


def test_from_nothing_to_a_logged_in_user(place: Path, machine_image: Image, running: Running) -> None:
    """`sudo ./install` in a checkout, on a machine that has never seen Hubwright."""
    make(place, machine_image, running)


@pytest.fixture
def guest(place: Path, machine_image: Image, running: Running) -> Iterator[Guest]:
    """A machine on which it is installed, and ada works."""
    kept = Image(place, furnished=True) if (place / NOTED).exists() else make(place, machine_image, running)
    with running(kept) as one:
        yield one


@pytest.fixture
def service(guest: Guest) -> Iterator[Installed]:
    """The service of that machine."""
    found = Installed.of(guest)
    yield found
    found.hang_up()


@pytest.fixture
def work(service: Installed, place: Path) -> Work:
    """What ada has begun in it."""
    return Work.of(service, json.loads((place / NOTED).read_text()))


def test_a_second_run_changes_nothing(guest: Guest, service: Installed, work: Work) -> None:
    """Nor does an `up` beside it, which says what to do instead."""
    listed = f"stat -c '%n %y' {UNITS}/hubwright*"
    before = guest.run(listed), service.pids()
    assert "Nothing to do: the service is installed and runs as /etc/hubwright/hub.yaml says." in service.install()
    said = guest.run("hubwright=/usr/local/bin/hubwright; $hubwright up; echo left with $?", 90)
    assert "This service is installed, and systemd runs it." in said
    assert "hubwright uninstall" in said and "left with 77" in said
    assert (guest.run(listed), service.pids()) == before
    work.goes_on()


def test_hub_and_caddy_are_confined_and_notebooks_are_not(guest: Guest, service: Installed, work: Work) -> None:
    """Seccomp, rights, and a file system that cannot be written; a notebook has what its user has elsewhere."""
    pids = service.pids()
    for part in ("hub", "caddy"):
        told = service.status_of(pids[part])
        assert (told["NoNewPrivs"], told["Seccomp"], int(told["CapBnd"], 16)) == ("1", "2", 0)
    told = service.status_of(work.pid)
    assert (told["NoNewPrivs"], told["Seccomp"], told["CapBnd"]) == ("0", "0", service.status_of(1)["CapBnd"])
    assert len(set(guest.run(f"readlink /proc/{work.pid}/ns/mnt /proc/1/ns/mnt").split())) == 1
    kernel = work.goes_on()
    assert kernel.run("import pathlib; pathlib.Path('~/here').expanduser().write_text('x')").strip() == "1"
    group = guest.get(f"/proc/{work.pid}/cgroup").strip()
    assert re.match(r"0::/system\.slice/hubwright-[0-9a-z-]+\.service/", group), group


@pytest.mark.parametrize("part", UNIT_OF)
def test_each_unit_begins_anew_alone(part: str, guest: Guest, service: Installed, work: Work) -> None:
    """Restarted, or killed: another process, the others as they were, the notebook goes on."""
    for how in (f"systemctl restart {UNIT_OF[part]}", f"systemctl kill --signal=KILL --kill-whom=main {UNIT_OF[part]}"):
        before = service.pids()
        guest.run(how, 120)
        service.wait(lambda old=before[part]: service.pids()[part] not in (0, old))  # type: ignore[misc]
        work.goes_on()
        after = service.pids()
        assert {name for name in UNIT_OF if after[name] != before[name]} == {part}, how
    service.wait(service.is_well)


def test_an_upgrade_keeps_notebooks(guest: Guest, service: Installed, work: Work) -> None:
    """A newer version of the package, by `git pull` and `sudo ./install`, while somebody works.

    What was there is saved; the parts are new and serve the new pages, Caddy and the kernel are as they were. A notebook
    that is started from then on runs in the new version.
    """
    asks = "import json, hubwright; print(json.dumps(hubwright.__version__))"
    before, old = service.pids(), str(work.goes_on().value(asks))
    checkout = f"~{ADMIN}/hubwright"
    guest.run(
        f"""set -e; cd {checkout}
        sed -i 's/^version = "{re.escape(old)}"/version = "{old}.post1"/' pyproject.toml
        sed -i 's/^__version__ = "{re.escape(old)}"/__version__ = "{old}.post1"/' src/hubwright/__init__.py
        sed -i 's/{{% block title %}}/&Newer /' src/hubwright/hub/pages/templates/hubwright/home.html
        grep -q post1 pyproject.toml; grep -q post1 src/hubwright/__init__.py"""
    )
    said = service.install()
    assert f"Bringing {ENVIRONMENT} up to date" in said
    kept = re.search(r"is saved: (\S+)", said)
    assert kept, said
    work.goes_on()
    after = service.pids()
    assert {part for part in PARTS if after[part] == before[part]} == {"caddy"}
    assert "<title>Newer Home" in service.log_in(PERSON, PASSWORD).text
    assert guest.run(f"stat -c %a {kept[1]}").strip() == "600"
    assert {"etc/hubwright/hub.yaml", f"{STATE[1:]}/hub.sqlite"} <= set(guest.run(f"tar -tf {kept[1]}").splitlines())
    assert Kernel(work.notebook, work.kernel).value(asks) == old
    service.stop(PERSON, wait=60)
    assert Kernel((later := Work.begin(service)).notebook, later.kernel).value(asks) == f"{old}.post1"


def test_another_port_is_taken_over(guest: Guest, service: Installed, work: Work) -> None:
    """hub.yaml says another port, and back: `install` moves the service there, the notebook goes on."""
    for number in (8001, 8000):
        guest.put(CONFIG, YAML.replace("8000", str(number)))
        service.cli("install")
        service.take(number)
        work.goes_on()
    assert guest.code("curl -s -o /dev/null http://127.0.0.1:8001/") == 7


def test_stopping_it_ends_everything_and_starting_brings_it_back(guest: Guest, service: Installed, work: Work) -> None:
    """`systemctl stop`, notebooks included; `status` says how it comes back."""
    guest.run("systemctl stop hubwright", 120)
    with pytest.raises(httpx.TransportError):
        httpx.get(service.url)
    guest.wait(f"! test -e /proc/{work.pid}")
    said = guest.run("/usr/local/bin/hubwright status; echo left with $?", 90)
    assert 'Start it: "systemctl restart hubwright.service"' in said and "left with 69" in said, said
    guest.run("systemctl restart hubwright.service", 120)
    service.await_page()
    assert service.log_in(PERSON, PASSWORD).url.path == "/hub/home"


def test_a_certificate_comes_by_acme(guest: Guest, service: Installed, work: Work) -> None:
    """As an account without any right, in its sandbox: on ports 80 and 443, fetched once, kept; the notebook goes on."""
    folder = Path("/srv/authority")
    guest.run("printf '%s\n' '10.0.2.15 notebooks.test' '127.0.0.2 acme.test' >>/etc/hosts")
    guest.put(f"{folder}/caddy.json", json.dumps(authority("127.0.0.2:14000", ["acme.test"], folder)))
    guest.run(
        f"systemd-run --quiet --unit=authority --setenv=HOME={folder} {ENVIRONMENT}/bin/caddy run --config {folder}/caddy.json"
    )
    guest.wait(f"curl -skf https://acme.test:14000/{DIRECTORY}")
    guest.run(f"install -m 644 {root_of(folder)} /etc/hubwright/authority.crt")
    guest.put(CONFIG, ACME)
    service.cli("install")
    trusted = "curl -s --max-time 120 --cacert /etc/hubwright/authority.crt"
    guest.wait(f"{trusted} --fail https://notebooks.test/hub/login", 90)
    sent_on = guest.run("curl -s -o /dev/null -w '%{http_code} %{redirect_url}' http://notebooks.test/hub/x")
    assert sent_on == "308 https://notebooks.test/hub/x"
    told = service.status_of(service.pids()["caddy"])
    assert (told["NoNewPrivs"], told["Seccomp"], int(told["CapBnd"], 16)) == ("1", "2", 0)
    kept = f"find {STATE}/acme -name 'notebooks.test.*' -printf '%f %m %u %T@\n' | grep -v json | sort"
    before = guest.run(kept)
    assert re.fullmatch(r"notebooks.test.crt \d+ hubwright .*\nnotebooks.test.key 600 hubwright .*\n", before), before
    guest.run("systemctl restart hubwright-caddy", 120)
    asks = f"{trusted} --fail -H 'Authorization: token {service.token(PERSON)}' https://notebooks.test"
    guest.wait(f"{asks}/user/{PERSON}/api/kernels/{work.kernel}", 90)
    assert guest.run(kept) == before
    service.wait(service.is_well)


def test_after_a_boot_it_is_there_by_itself(guest: Guest, service: Installed, work: Work) -> None:
    """People log in and work; who worked before has to start a server again."""
    guest.reboot()
    service.await_page(120)
    assert service.log_in(PERSON, PASSWORD).url.path == "/hub/home"
    service.settle(PERSON, "")
    assert service.server(PERSON) == {}
    assert Work.begin(service).goes_on()


def test_after_a_power_cut_it_is_there_by_itself(guest: Guest, service: Installed, work: Work) -> None:
    """What was not written to the disk is lost; the service is not."""
    guest.pull_the_plug()
    service.tokens.clear()  # made a moment before: the hub's database may not have it on the disk yet
    service.await_page(120)
    assert service.log_in(PERSON, PASSWORD).url.path == "/hub/home"
    assert Work.begin(service).goes_on()


def test_a_hub_yaml_that_has_become_wrong_is_told_by_its_line(guest: Guest, service: Installed, work: Work) -> None:
    """While it runs nothing changes, whoever restarts it; after a boot nothing runs, until it is right again."""
    guest.put(CONFIG, YAML.replace("admins", "admin"))
    named = f"{CONFIG}:1 hub.admin"
    said = guest.run("/usr/local/bin/hubwright install; echo left with $?", 90)
    assert named in " ".join(said.split()) and "left with 78" in said, said
    before = service.pids()
    guest.run("systemctl restart hubwright || true", 120)
    told = "systemctl status --no-pager --full --lines=50 hubwright-keeper || true"
    assert named in guest.run(told)
    work.goes_on()
    assert service.pids() == {**before, "keeper": 0}
    guest.reboot()
    assert named in guest.run(told)
    assert set(service.pids().values()) == {0}
    assert guest.code("curl -s http://127.0.0.1:8000/") == 7, "nobody listens who would not answer"
    guest.put(CONFIG, YAML)
    service.cli("install")
    service.await_page()
    assert service.log_in(PERSON, PASSWORD).url.path == "/hub/home"


def test_uninstall_leaves_homes_and_an_archive(guest: Guest, service: Installed, work: Work) -> None:
    """Also with a notebook running; nothing else of it is left. What is in the archive comes back from it."""
    work.goes_on().run("import pathlib; pathlib.Path('~/work.txt').expanduser().write_text('mine')")
    said = service.cli("uninstall", "--yes").stdout
    kept = re.search(r"are in (\S+);", said)
    assert kept, said
    names = set(guest.run(f"tar -tf {kept[1]}").splitlines())
    assert {"etc/hubwright/hub.yaml", f"{STATE[1:]}/hub.sqlite"} <= names
    assert any(name.startswith(f"{UNITS[1:]}/hubwright") for name in names)
    assert guest.get(f"/home/{PERSON}/work.txt") == "mine"
    left = f"ls -d {UNITS}/hubwright* {CONFIG} {STATE} /run/hubwright/* /usr/local/bin/hubwright 2>/dev/null || true"
    assert guest.run(left) == ""
    assert "0 loaded units" in guest.run("systemctl list-units --all --no-pager 'hubwright*'")
    ours = f"^(hubwright |notebook-server |{ENVIRONMENT}/)"  # forked ones go by their titles
    assert guest.run(f"pgrep --full --list-full '{ours}' || true") == ""
    guest.run(f"tar -x -C / -f {kept[1]} && {ENVIRONMENT}/bin/hubwright install", 900)
    service.await_page()
    mine = {"Authorization": f"token {service.tokens[PERSON]}"}
    assert service.api("GET", "/user", headers=mine).json()["name"] == PERSON
    service.settle(PERSON, "")
    assert service.server(PERSON) == {}
    assert service.log_in(PERSON, PASSWORD).url.path == "/hub/home"
