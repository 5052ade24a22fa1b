"""A roster brought into step with real accounts, homes, groups and a real hub; killed, repeated, contradicted."""

from __future__ import annotations

import grp
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.conftest import remove_account, wait_until

from hubwright.machine.policy import find_account, group_names

pytestmark = pytest.mark.root

YAML = """\
hub:
  listen: "127.0.0.1:{port}"
  admins: [%(boss)s]
people:
  roster: people.yaml
  ids: %(ids)s
  shared:
    - folder: %(shared)s/all
    - {folder: %(shared)s/group, group: %(group)s}
"""


class World:
    """Names that nothing of this machine has, and what is made under them."""

    def __init__(self, service, folder):
        first = 2_000_000 + secrets.randbelow(900_000) * 1000
        self.first, self.ids = first, f"{first}-{first + 999}"
        self.names = [f"hwt-{secrets.token_hex(4)}" for _ in range(6)]
        self.boss, self.ada, self.bob, self.eve, *_ = self.names
        self.group = f"hwg-{secrets.token_hex(4)}"
        self.shared = folder
        self.service = service(YAML % {"boss": self.boss, "ids": self.ids, "shared": self.shared, "group": self.group})
        self.service.folder.joinpath("hub.yaml").write_text(self.service.yaml.replace("{port}", str(self.service.port)))

    def roster(self, *lines):
        (self.service.folder / "people.yaml").write_text("".join(f"- {line}\n" for line in lines))

    def plan(self):
        done = self.service.cli("plan", "--json", check=False)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, json.loads(done.stdout)

    def apply(self, *words, code=0):
        done = self.service.cli("apply", "--json", *words, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout else done.stderr


@pytest.fixture
def world(service):
    folder = Path("/srv") / f"hwt-{secrets.token_hex(4)}"
    made = World(service, folder)
    yield made
    if made.service.process is None:  # nothing to end
        shutil.rmtree(made.service.run, ignore_errors=True)
    made.service.clean()
    for name in made.names:
        remove_account(name)
        subprocess.run(["rm", "-rf", "--", f"/home/{name}"], check=True)
    subprocess.run(["groupdel", made.group], check=False, capture_output=True)
    subprocess.run(["rm", "-rf", "--", folder], check=True)


def steps(found):
    return [(step["what"], step["change"], step["name"]) for step in found["steps"]]


def test_a_roster_comes_and_goes(world):
    """Accounts, homes, groups, folders, hub users and admins; the second time nothing; out again with an archive."""
    service, ada, bob, group = world.service, world.ada, world.bob, world.group
    world.roster(f"{{address: {ada}@example.org, groups: [{group}]}}", f"{bob} admin")
    code, found = world.plan()
    assert code == 2
    assert ("account", "add", ada) in steps(found)
    assert find_account(ada) is None, "plan changes nothing"
    assert any("hub does not run" in note for note in found["notes"])

    done = world.apply()
    assert all(step["done"] for step in done["steps"])
    for number, name in enumerate((ada, bob)):
        entry = find_account(name)
        assert entry.pw_uid == entry.pw_gid == world.first + number + 1, "the group was first"
        home = os.stat(entry.pw_dir)
        assert (home.st_uid, home.st_gid, home.st_mode & 0o7777) == (entry.pw_uid, entry.pw_gid, 0o700)
        assert Path(entry.pw_dir, ".bashrc").stat().st_uid == entry.pw_uid
        assert "hubwright-users" in group_names(entry)
    assert grp.getgrnam(group).gr_mem == [ada]
    assert world.plan()[1]["steps"] == world.apply()["steps"] == []

    # a new file of hers is the group's, whatever her umask
    folder = world.shared / "group"
    assert (folder.stat().st_mode & 0o7777, folder.stat().st_gid) == (0o2770, grp.getgrnam(group).gr_gid)
    as_user(ada, f"umask 077; mkdir {folder}/d; echo hers > {folder}/d/f")
    assert ((folder / "d/f").stat().st_mode & 0o777, (folder / "d/f").stat().st_gid) == (0o660, folder.stat().st_gid)
    assert as_user(bob, f"cat {folder}/d/f", check=False).returncode != 0
    as_user(ada, f"echo x > {world.shared}/all/f; chmod 660 {world.shared}/all/f")
    as_user(
        bob, f"echo y | dd of={world.shared}/all/f conv=nocreat,notrunc status=none"
    )  # fs.protected_regular may be 2
    assert as_user(bob, f"rm -f {world.shared}/all/f", check=False).returncode != 0

    service.up()
    code, found = world.plan()
    assert {("person", "add", ada), ("person", "add", bob), ("admin", "add", bob)} <= {*steps(found)}
    done = world.apply()
    links = [step["told"] for step in done["steps"] if step["what"] == "person"]
    assert len(links) == 2 and all(link.startswith("http") for link in links)
    assert service.api("GET", f"/users/{bob}").json()["admin"] is True
    assert service.api("GET", f"/users/{ada}").json()["groups"] == [group]
    plain = {"kind": "none", "names": [], "ends": None}
    assert world.plan() == (0, {"steps": [], "problems": [], "notes": [], "leaving": [], "https": plain})

    # bob is an admin no more, ada is out while her server runs; her files are in an archive
    Path(find_account(ada).pw_dir, "work.txt").write_text("hers")
    service.start(ada)
    world.roster(bob)
    told = next(step["text"] for step in world.plan()[1]["steps"] if step["what"] == "person")
    assert told == f"ends servers (/user/{ada}/), sessions and tokens"
    assert "--yes" in world.apply(code=77)
    assert find_account(ada) is not None
    done = world.apply("--yes")
    assert all(step["done"] for step in done["steps"]), done
    assert service.api("GET", f"/users/{ada}").status_code == 404
    assert service.api("GET", f"/users/{bob}").json()["admin"] is False
    assert service.listed() == []
    assert find_account(ada) is None and not Path("/home", ada).exists()
    (archive,) = json.loads(service.cli("homes", "list", "--json").stdout)
    assert archive["name"] == ada and Path(archive["path"]).stat().st_mode & 0o777 == 0o600
    assert world.apply()["steps"] == []

    # she comes back: the same number, and her files beside the new home's
    world.roster(bob, f"{ada}@example.org")
    world.apply()
    assert find_account(ada).pw_uid == world.first + 1
    service.cli("homes", "restore", ada)
    (restored,) = Path(find_account(ada).pw_dir).glob("restored-*")
    assert (restored / "work.txt").read_text() == "hers"
    shown = json.loads(service.cli("user", "show", ada, "--json").stdout)
    assert (shown["login"], shown["on_the_roster"], shown["number"]) == (f"{ada}@example.org", True, world.first + 1)

    # everybody's home in one file, and hers out of it again
    Path(find_account(ada).pw_dir, "later.txt").write_text("hers, too")
    rows = json.loads(service.cli("homes", "archive", "--all", "--json", check=False).stdout)  # others are here, too
    (whole,) = {row["archive"] for row in rows if row["name"] in (ada, bob)}
    assert "all" in [one["name"] for one in json.loads(service.cli("homes", "list", "--json").stdout)]
    (row,) = json.loads(service.cli("homes", "restore", ada, "--from", Path(whole).name, "--json").stdout)
    assert Path(row["folder"], "later.txt").read_text() == "hers, too"
    assert "Name people, or say --all and --from" in service.cli("homes", "restore", "--all", check=False).stderr


def test_who_is_somebody_else_is_refused_by_line(world, account):
    """An account that Hubwright did not make, a sudoer, a foreign home, a foreign group: told; the others get in."""
    there, sudoer = account(), account(groups=["sudo"])
    os.mkdir(f"/home/{world.bob}")
    world.roster(
        f"{there.name}@example.org",
        sudoer.name,
        world.bob,
        f"{{address: {world.ada}, groups: [{world.group}, video]}}",
        world.eve,
    )
    done = world.apply(code=77)
    told = {problem["where"].rpartition(":")[2]: problem["what"] for problem in done["problems"]}
    assert "Hubwright did not make" in told["1"]
    assert "can become root" in told["2"]
    assert f"/home/{world.bob}" in told["3"]
    assert 'a group "video"' in told["4"]
    assert find_account(world.bob) is None and "hubwright-users" not in group_names(find_account(there.name))
    assert "hubwright-users" in group_names(find_account(world.eve))
    assert "video" not in group_names(find_account(world.ada))

    # a bare name is that account; a second address that becomes the same name is another person
    world.roster(there.name, f"{world.eve}@example.org")
    world.apply("--yes")
    assert "hubwright-users" in group_names(find_account(there.name))
    world.roster(there.name, f"{world.eve}@other.org")
    done = world.apply("--yes", code=77)
    assert f"{world.eve}@example.org" in done["problems"][0]["what"]
    assert "hubwright-users" not in group_names(find_account(world.eve))
    world.roster("root", f"{world.eve} boss")
    refused = world.service.cli("plan", check=False)
    assert refused.returncode == 78 and re.search(r"people.yaml:1: .*\n?.*people.yaml:2: ", refused.stderr, re.S)
    world.roster()
    world.apply("--yes")
    assert find_account(there.name) is not None and there.home.is_dir(), "not made by Hubwright: it stays"


@pytest.mark.parametrize("moment", [0.45, 0.9, 1.4, 2.0])
def test_a_kill_at_any_moment_is_repaired_by_the_next_apply(world, moment):
    world.roster(*(f"{{address: {name}, groups: [{world.group}]}}" for name in world.names[1:]))
    process = subprocess.Popen(
        world.service.command("apply", "--json"), stdout=subprocess.DEVNULL, env=world.service.env()
    )
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    world.apply()
    assert world.plan()[1]["steps"] == []
    numbers = set()
    for name in world.names[1:]:
        entry = find_account(name)
        numbers.add(entry.pw_uid)
        assert {"hubwright-users", world.group} <= {*group_names(entry)}
        assert Path(entry.pw_dir, ".bashrc").stat().st_uid == entry.pw_uid
    assert len(numbers) == 5 and min(numbers) > world.first and max(numbers) <= world.first + 6
    assert not [path for path in Path("/home").iterdir() if ".hubwright-" in path.name and "hwt-" in path.name]


def test_a_failed_step_is_told_and_done_the_next_time(world):
    """Without a skeleton there is no home; with a process of hers the account stays; the next apply goes on."""
    skeleton = world.shared.with_name(f"{world.shared.name}-skeleton")
    file = world.service.folder / "hub.yaml"
    file.write_text(file.read_text().replace("  roster:", f"  skeleton: {skeleton}\n  roster:"))
    world.roster(world.ada)
    done = world.apply(code=1)
    failed = [step for step in done["steps"] if step["error"]]
    assert failed[0]["what"] == "home" and str(skeleton) in failed[0]["error"]
    assert find_account(world.ada) is not None and not Path("/home", world.ada).exists()
    skeleton.mkdir(mode=0o755)
    try:
        assert steps(world.apply()) == [("home", "add", world.ada)]
    finally:
        skeleton.rmdir()
    world.service.yaml = file.read_text()
    world.service.up()
    world.apply()
    ada = find_account(world.ada)
    sleeper = subprocess.Popen(["sleep", "300"], user=ada.pw_uid, group=ada.pw_gid, extra_groups=[])
    try:
        world.roster()
        done = world.apply("--yes", code=1)
        assert "currently used by process" in done["steps"][-1]["error"]
        assert world.service.api("GET", f"/users/{world.ada}").status_code == 404
    finally:
        sleeper.kill()
        sleeper.wait(10)
    assert len(json.loads(world.service.cli("homes", "list", "--json").stdout)) == 1
    world.apply("--yes")
    assert find_account(world.ada) is None
    assert world.plan()[1]["steps"] == []


def test_two_at_once_do_it_once(world):
    world.roster(world.ada, world.bob)
    both = [
        subprocess.Popen(
            world.service.command("apply", "--json"), stdout=subprocess.PIPE, text=True, env=world.service.env()
        )
        for _ in range(2)
    ]
    done = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert sorted(len(one["steps"]) == 0 for one in done) == [False, True]
    assert all(step["done"] for one in done for step in one["steps"])


def test_ids_go_to_another_machine(world, tmp_path):
    """The table that one machine prints gives the same numbers on another; a contradiction is refused whole."""
    table = {
        "users": {world.bob: {"id": world.first + 7, "login": "", "made": True}},
        "groups": {},
        "gone": [world.first + 9],
    }
    file = tmp_path / "ids.json"
    file.write_text(json.dumps(table))
    world.roster()
    world.apply()
    assert world.bob in world.service.cli("user", "ids", "--import", str(file)).stdout
    world.roster(world.ada, world.bob)
    world.apply()
    assert find_account(world.bob).pw_uid == world.first + 7
    assert find_account(world.ada).pw_uid == world.first + 10, "behind every number that was ever given"
    table["users"][world.bob]["id"] += 1
    file.write_text(json.dumps(table))
    refused = world.service.cli("user", "ids", "--import", str(file), check=False)
    assert refused.returncode == 77 and world.bob in refused.stderr
    exported = json.loads(world.service.cli("user", "ids").stdout)
    assert exported["users"][world.bob]["id"] == world.first + 7


def as_user(name, script, *, check=True):
    return subprocess.run(
        ["setpriv", f"--reuid={name}", f"--regid={name}", "--init-groups", "sh", "-c", script],
        check=check,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_a_changed_roster_waits_for_nobody(world):
    """With people.watch the running service applies it itself."""
    service = world.service
    service.yaml = service.yaml.replace("  roster:", "  watch: true\n  roster:")
    world.roster(world.ada)
    service.up()
    wait_until(lambda: service.api("GET", f"/users/{world.ada}").status_code == 200, 60)
    world.roster(world.ada, f"{world.bob} admin", "root")
    wait_until(lambda: "people.yaml:3" in (service.state / "logs/roster.log").read_text(), 30)
    assert find_account(world.bob) is None, "a roster with a mistake is not applied in part"
    world.roster(f"{world.bob} admin")
    wait_until(lambda: service.api("GET", f"/users/{world.bob}").json().get("admin") is True, 30)
    wait_until(lambda: find_account(world.ada) is None, 30)
    assert service.api("GET", f"/users/{world.ada}").status_code == 404
