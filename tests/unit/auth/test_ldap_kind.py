"""`auth: {kind: ldap}` without a server: the section, its secret, what root's programs make of it, the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.unit.auth.test_auth_kinds import site

from hubwright.auth import ldap
from hubwright.config.model import Hub
from hubwright.hub.compile import policy

SECTION = {"kind": "ldap", "servers": ["ldaps://ldap.example.org"], "bind": "uid={username},dc=org"}
SEARCH = {"kind": "ldap", "servers": ["ldaps://localhost:1"], "search": {"base": "dc=org", "account": "cn=hub,dc=org"}}


def test_the_providers_groups_and_everybody_are_nobody_of_this_machine():
    """Root's programs serve whose account they made, and whom root names; the directory decides nothing there."""
    for allow in ("all", {"users": ["bob"], "groups": ["staff"]}):
        hub = Hub.model_validate(
            {
                "auth": {**SECTION, "allow": allow, "admin_groups": ["wheel"], "admins": ["eve"]},
                "hub": {"admins": ["ada"]},
            }
        )
        found = policy(hub, site())
        assert (found["all"], found["groups"], found["users"], found["create"]) == (False, [], ["ada"], True)


def test_a_machine_that_knows_the_people_itself_makes_no_account():
    hub = Hub.model_validate({"auth": {**SECTION, "allow": {"groups": ["lab"]}, "accounts": "existing"}})
    found = policy(hub, site())
    assert (found["all"], found["groups"], found["create"]) == (False, ["lab"], False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"servers": []},
        {"servers": ["ldap.example.org"]},
        {"bind": None},
        {"bind": "uid=ada"},
        {"bind": "uid={username},{0}"},
        {"bind": "uid={username}{"},
        {"search": {"base": "dc=org"}},
        {"groups": {"base": "dc=org", "filter": "(member={username.__class__})"}},
    ],
)
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValidationError):
        ldap.Config(**{**SECTION, **wrong})


def test_a_missing_secret_is_named_with_how_to_give_it(tmp_path):
    (tmp_path / "secrets").mkdir()
    place = replace(site(privileged=False), state=tmp_path)
    config = ldap.Config(**SEARCH)
    (problem,) = ldap.check(config, place)
    assert "ldap.password" in problem.what
    assert "hubwright secret ldap.password" in problem.remedy
    path = tmp_path / "secrets" / "ldap.password"
    path.write_text("x")
    path.chmod(0o644)
    (problem,) = ldap.check(config, place)
    assert "can be read by others" in problem.what
    path.chmod(0o600)
    assert ldap.check(config, place) == []
    path.write_text("\n")
    assert "is empty" in ldap.check(config, place)[0].what


def test_what_is_odd_is_told():
    told = {problem.where: problem for problem in ldap.check(ldap.Config(**SECTION, allow={"groups": ["lab"]}), site())}
    assert told["hub.yaml auth.groups"].severity == "error"
    assert told["hub.yaml auth.bind"].severity == "warning"
    plain = ldap.Config(**{**SECTION, "servers": ["ldap://a"]}, tls="none")
    assert any("unencrypted" in problem.what for problem in ldap.check(plain, site()))
    missing = ldap.Config(**SECTION, ca="/not/there.pem")
    assert any("there is no file /not/there.pem" in problem.what for problem in ldap.check(missing, site()))
    wrong = ldap.Config(**SECTION, ca=__file__)
    assert any("no certificates" in problem.what for problem in ldap.check(wrong, site()))


def command(folder: Path, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    options = ["--config", str(folder / "hub.yaml"), "--state", str(folder / "state")]
    return subprocess.run(
        [sys.executable, "-m", "hubwright", *words, *options], input=text, capture_output=True, text=True, timeout=60
    )


def test_check_says_which_server_is_silent_and_of_whom_nothing_is_known(tmp_path):
    section = {**SEARCH, "search": {"base": "dc=org"}}
    (tmp_path / "hub.yaml").write_text(json.dumps({"auth": section, "hub": {"listen": "127.0.0.1:1"}}))
    done = command(tmp_path, "check", "--json")
    told = [problem["what"] for problem in json.loads(done.stdout)["problems"]]
    if "cannot be reached" not in " ".join(told):  # this machine's own faults come first, and end the check
        assert done.returncode == 71
    done = command(tmp_path, "check", "login", "ada")
    assert done.returncode == 69
    assert "ldaps://localhost:1" in done.stderr
    assert "Traceback" not in done.stderr
    done = command(tmp_path, "check", "logon", "ada")
    assert done.returncode == 77
