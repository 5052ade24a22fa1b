"""Whom root lets run the server of a group, and what `check` says of hub.yaml that wants one."""

from __future__ import annotations

import grp
from dataclasses import replace

import pytest
from tests.unit.auth.test_auth_kinds import site
from tests.unit.people.test_policy import entry

from hubwright.care.people import teams
from hubwright.care.people.plan import roster_of
from hubwright.config.load import load
from hubwright.engines.local import collaboration
from hubwright.errors import Refused
from hubwright.machine.policy import Policy, Team, may_serve
from hubwright.people import accounts

GROUP = grp.getgrnam("users")
NOLOGIN = "/usr/sbin/nologin"
POLICY = Policy.parse({"teams": {"team-users": {"group": "users", "folder": "/srv/shared/users"}}})


def test_the_account_of_a_group_is_served_without_being_a_member_of_anything() -> None:
    assert POLICY.teams == {"team-users": Team("users", "/srv/shared/users")}
    account = entry("team-users", gid=GROUP.gr_gid, shell=NOLOGIN)
    assert may_serve(POLICY, account, ["users"]) is None
    assert isinstance(may_serve(Policy(all=True), account, ["users"]), Refused), "no group's by this policy"


@pytest.mark.parametrize(
    ("account", "groups", "why"),
    [
        (entry("team-users", gid=GROUP.gr_gid, shell="/bin/bash"), ["users"], "has a login shell"),
        (entry("team-users", 33, GROUP.gr_gid, shell=NOLOGIN), ["users"], "is a system account"),
        (entry("team-users", gid=GROUP.gr_gid, shell=NOLOGIN), ["users", "docker"], "can become root"),
        (entry("team-users", gid=grp.getgrnam("games").gr_gid, shell=NOLOGIN), ["games"], "another first group"),
    ],
)
def test_an_account_that_is_not_a_groups_is_not_served_as_one(account, groups, why) -> None:
    refusal = may_serve(POLICY, account, groups)
    assert refusal is not None and why in refusal.problem.what
    assert "hubwright apply" in refusal.problem.remedy


def test_a_missing_account_of_a_group_is_not_made_like_a_persons() -> None:
    """The hub may ask for accounts; only `apply` makes those of groups, without a shell."""
    policy = replace(POLICY, create=True, all=True)
    with pytest.raises(Refused, match="is missing"):
        accounts.ensure(policy, "team-users")


@pytest.mark.parametrize("found", [{"a": {"group": "a"}}, {"a": {"group": "a", "folder": "/a", "uid": 0}}, {"a": "b"}])
def test_a_policy_with_other_words_about_a_group_serves_nobody(found) -> None:
    with pytest.raises((TypeError, ValueError)):
        Policy.parse({"teams": found})


YAML = "people: {shared: [{folder: /srv/shared/hwt, group: hwt-nobody, collaboration: true}]}\n"


def told(tmp_path, text: str, **changes) -> list[tuple[str, str, str]]:
    path = tmp_path / "hub.yaml"
    path.write_text(text)
    place = replace(site(), config=path, state=tmp_path, run=tmp_path, **changes)
    loaded = load(path)
    roster = roster_of(loaded, place)
    found = list(teams.check(loaded, place, roster.people if roster else ()))
    line = len(text.splitlines())
    assert {one.where for one in found} <= {f"{path}:{line} people.shared[0].collaboration"}
    return [(one.severity, one.what, one.remedy) for one in found]


def test_check_says_what_is_missing_for_a_group(tmp_path) -> None:
    found = told(tmp_path, YAML, prefix=tmp_path, privileged=True)
    assert [(severity, remedy) for severity, _, remedy in found] == [
        ("warning", '"hubwright apply" installs it.'),
        ("warning", '"hubwright apply" makes it.'),
    ]
    place = collaboration.place(tmp_path)
    place.mkdir(parents=True)
    (place / "requirements.txt").write_text("".join(f"{one}\n" for one in collaboration.REQUIREMENTS))
    assert len(told(tmp_path, YAML, prefix=tmp_path, privileged=True)) == 1
    (place / "requirements.txt").write_text("pycrdt==0.12\n")
    assert len(told(tmp_path, YAML, prefix=tmp_path, privileged=True)) == 2, "one of an older Hubwright"


@pytest.mark.parametrize("kind", ["local", "docker"])
def test_check_refuses_it_without_root(tmp_path, kind) -> None:
    found = told(tmp_path, f"engine: {{kind: {kind}}}\n{YAML}", privileged=False)
    assert [one[:2] for one in found] == [("error", "needs root: without it there is one user.")]


GOOGLE = "{kind: google, client_id: hub}"


def test_check_refuses_it_where_nobody_tells_who_is_in_the_group(tmp_path) -> None:
    """With Google alone the roster does."""
    assert not [one for one in told(tmp_path, f"auth: {GOOGLE}\n{YAML}", privileged=True) if one[0] == "error"]
    ways = f"auth: {{kind: many, ways: {{google: {GOOGLE}, machine: {{kind: pam}}}}}}\n"
    assert [what for severity, what, _ in told(tmp_path, ways + YAML, privileged=True) if severity == "error"] == [
        "is for who is in the group, and `kind: google` tells no groups to a hub with several ways to log in."
    ]
    ways = ways.replace("many,", "many, listed: machine,")
    assert not [one for one in told(tmp_path, ways + YAML, privileged=True) if one[0] == "error"]


def test_check_refuses_a_group_whose_server_would_have_somebodys_name(tmp_path) -> None:
    """An admin's, or one of the roster: he would work as the group, and the group as he."""
    (tmp_path / "people.txt").write_text("team-hwt-nobody@example.org\n")
    text = YAML.replace("people: {", "people: {roster: people.txt, ")
    found = told(tmp_path, f"hub: {{admins: [team-hwt-nobody]}}\n{text}", privileged=True)
    assert [what for severity, what, _ in found if severity == "error"] == [
        "has an account team-hwt-nobody, which is somebody's name."
    ]
