"""The rule whom root's programs may serve."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubwright.config.load import load
from hubwright.errors import MachineError, Refused
from hubwright.fields import Site, check_user_name
from hubwright.hub import compile
from hubwright.machine import sudoers
from hubwright.machine.policy import BOUNDS, ROOM, Policy, find_account, may_serve
from hubwright.people.accounts import check_name


def entry(name="ada", uid=1500, gid=1500, shell="/bin/bash"):
    return pwd.struct_passwd((name, "x", uid, gid, "", f"/home/{name}", shell))


def test_nobody_enters_by_default():
    assert isinstance(may_serve(Policy(), entry(), ["ada"]), Refused)


@pytest.mark.parametrize(
    ("policy", "groups"),
    [
        (Policy(), ["ada", "hubwright-users"]),
        (Policy.parse({"all": True}), ["ada"]),
        (Policy.parse({"users": ["ada"]}), ["ada"]),
        (Policy.parse({"groups": ["lab"]}), ["ada", "lab"]),
        (Policy.parse({"groups": ["lab"]}), ["ada", "hubwright-users"]),
    ],
)
def test_members_named_people_and_groups_enter(policy, groups):
    assert may_serve(policy, entry(), groups) is None


@pytest.mark.parametrize(
    ("account", "groups"),
    [
        (entry("root", 0, 0), ["root"]),
        (entry("toor", 0, 1500), ["ada"]),
        (entry("www-data", 33, 33), ["www-data"]),
        (entry("nobody", 65534, 65534), ["nogroup"]),
        (entry(shell="/usr/sbin/nologin"), ["ada"]),
        (entry(gid=0), ["root"]),
        (entry(), ["ada", "sudo"]),
        (entry(), ["ada", "wheel"]),
        (entry(), ["admin"]),
        (entry(), ["ada", "docker"]),
        (entry(), ["ada", "libvirt"]),
        (entry(), ["ada", "incus-admin"]),
        (entry(), ["ada", "kmem"]),
        (entry(), ["ada", "staff"]),
    ],
)
def test_privileged_accounts_need_to_be_admitted_by_name(account, groups):
    """Neither `all` nor being named lets them in; `admit` does, together with one of these."""
    everybody = Policy(all=True, users=frozenset({account.pw_name}))
    assert isinstance(may_serve(everybody, account, [*groups, "hubwright-users"]), Refused)
    admitted = Policy(all=True, admit=frozenset({account.pw_name}))
    assert may_serve(admitted, account, groups) is None
    assert isinstance(may_serve(Policy(admit=frozenset({account.pw_name})), account, groups), Refused)


@pytest.mark.parametrize("rule", ["ada ALL=(ALL) ALL", "User_Alias OPS = bob, ada", "%lab ALL=(ALL) ALL"])
def test_whom_sudo_names_needs_to_be_admitted_by_name(tmp_path, monkeypatch, rule):
    monkeypatch.setattr(sudoers, "MAIN", tmp_path / "sudoers")
    monkeypatch.setattr(sudoers, "FOLDER", tmp_path / "sudoers.d")
    assert may_serve(Policy(all=True), entry(), ["ada", "lab"]) is None
    (tmp_path / "sudoers.d").mkdir()
    (tmp_path / "sudoers.d" / "ours").write_text(f"{rule}\n")
    refusal = may_serve(Policy(all=True), entry(), ["ada", "lab"])
    assert "sudo's configuration names" in str(refusal)
    assert may_serve(Policy(all=True, admit=frozenset({"ada"})), entry(), ["ada", "lab"]) is None
    assert may_serve(Policy(all=True), entry("eve"), ["eve"]) is None


def test_limits_and_the_making_of_accounts_are_off_unless_they_are_named():
    assert Policy().limits == Policy.parse({}).limits == dict.fromkeys(BOUNDS)
    assert Policy().room is None
    assert not Policy.parse({}).create
    found = Policy.parse({"create": True, "limits": {"memory": 2**31, "cpu": 0.5, "processes": None}})
    assert found.create
    assert found.limits == {**dict.fromkeys(BOUNDS), "memory": 2**31, "cpu": 0.5}
    assert found.limits_for("ada") == found.limits
    assert hash(found)


def test_a_user_may_have_limits_of_his_own():
    found = Policy.parse({"limits": {"cpu": 1}, "limits_of": {"ada": {"cpu": 4, "reserve_cpu": 1}}, "room": {}})
    assert (found.limits_for("ada")["cpu"], found.limits_for("bob")["cpu"]) == (4, 1)
    assert found.reserves
    assert found.room == dict.fromkeys(ROOM)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{", '{"al": true}', '{"all": 1}', '{"users": "ada"}', '{"users": [1]}', '{"service": "../x"}'],
)
def test_a_damaged_policy_serves_nobody(tmp_path, text):
    file = tmp_path / "policy.json"
    file.write_text(text)
    with pytest.raises(MachineError):
        Policy.load(file, owner=os.getuid())


@pytest.mark.parametrize(
    "limits",
    ["[]", '{"disk": 1}', '{"cpu": true}', '{"cpu": 0}', '{"memory": "2G"}', '{"cpu": NaN}', '{"cpu": Infinity}'],
)
def test_damaged_limits_serve_nobody(tmp_path, limits):
    file = tmp_path / "policy.json"
    file.write_text(f'{{"limits": {limits}}}')
    with pytest.raises(MachineError):
        Policy.load(file, owner=os.getuid())
    file.write_text('{"create": 1}')
    with pytest.raises(MachineError):
        Policy.load(file, owner=os.getuid())


def test_a_policy_that_others_may_write_is_refused(tmp_path):
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({"all": True}))
    assert Policy.load(file, owner=os.getuid()).all
    file.chmod(0o666)
    with pytest.raises(MachineError, match="others"):
        Policy.load(file, owner=os.getuid())
    file.chmod(0o644)
    with pytest.raises(MachineError, match="others"):
        Policy.load(file, owner=os.getuid() + 1)
    (tmp_path / "link").symlink_to(file)
    with pytest.raises(MachineError):
        Policy.load(tmp_path / "link", owner=os.getuid())


def test_numeric_and_odd_names_find_no_account():
    assert find_account("root").pw_uid == 0
    for name in ("0", "ROOT", "root ", "", "ro\0ot", "nobody-there"):
        assert find_account(name) is None


@given(st.text(max_size=40) | st.from_regex(r"[a-z_][a-z0-9_.-]{0,34}\n?", fullmatch=True))
def test_root_and_the_hub_agree_on_what_a_name_is(name):
    """`accounts.check_name` repeats the rule of `fields`, because root's program must not import pydantic."""

    def accepts(check, error):
        try:
            return check(name) == name
        except error:
            return False

    assert accepts(check_name, Refused) == accepts(check_user_name, ValueError)


def test_roots_program_imports_the_standard_library_and_pamela_only():
    code = "import sys, hubwright.people.account_helper; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    foreign = set(done.stdout.split()) - sys.stdlib_module_names - {"hubwright", "pamela", "__main__", "sitecustomize"}
    assert {name for name in foreign if not name.startswith("_")} == set()


def test_the_rosters_numbers_are_a_range():
    assert Policy.parse({"ids": [20000, 29999]}).ids == (20000, 29999)
    assert Policy.parse({}).ids is Policy.parse({"ids": None}).ids is None
    for wrong in ([1], [5, 6], [3000, 2000], "2000-3000", [True, 2000], [2000.0, 3000], {"first": 1}):
        with pytest.raises((TypeError, ValueError)):
            Policy.parse({"ids": wrong})


@pytest.mark.parametrize(
    ("people", "ids"),
    [
        ("{}", [20000, 29999]),
        ("{roster: people.txt}", [20000, 29999]),
        ("{ids: 30000-30999}", [30000, 30999]),
    ],
)
def test_root_keeps_the_numbers_of_the_table_free_of_others(tmp_path, people, ids):
    (tmp_path / "people.txt").write_text("ada\n")
    (tmp_path / "hub.yaml").write_text(f"auth: {{kind: pam}}\npeople: {people}\n")
    hub = load(tmp_path / "hub.yaml").hub
    site = Site(
        state=tmp_path,
        run=tmp_path / "run",
        config=tmp_path / "hub.yaml",
        prefix=tmp_path,
        account="hubwright",
        privileged=True,
        listen="127.0.0.1:8000",
        public_url="http://127.0.0.1:8000/",
    )
    written = compile.policy(hub, site)
    assert written.get("ids") == ids
    assert Policy.parse(written).ids == tuple(ids)
