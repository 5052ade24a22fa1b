"""Whose is which name, and who may enter: the store and the rule."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubwright.auth.identities import Identities
from hubwright.auth.rule import Outside, Person, Rule
from hubwright.errors import MachineError, Refused

ALICE = Person("oidc", "1", "alice@a.org")
OTHER = Person("oidc", "2", "alice@b.org")


def test_the_first_has_the_name_and_the_second_is_told_of_both(tmp_path):
    store = Identities(tmp_path)
    assert store.claim(ALICE) == "alice"
    assert store.claim(ALICE) == "alice"
    with pytest.raises(Refused, match=r'oidc:alice@b\.org would be "alice", which is oidc:alice@a\.org already'):
        store.claim(OTHER)
    assert [str(known) for known in store.of("alice")] == ["oidc:alice@a.org"]
    assert (tmp_path / "names.json").stat().st_mode & 0o777 == 0o600


def test_the_same_name_from_two_providers_is_two_people_unless_linked(tmp_path):
    store = Identities(tmp_path)
    store.claim(Person("ldap", "x", "alice"))
    with pytest.raises(Refused, match="ldap:alice"):
        store.claim(Person("github", "7", "alice"))
    store.link("alice", "github", "alice")
    assert store.claim(Person("github", "7", "alice")) == "alice"
    with pytest.raises(Refused, match="already"):  # the link was for the first who came; the number is known now
        store.claim(Person("github", "8", "alice"))
    assert {known.provider for known in store.of("alice")} == {"ldap", "github"}


def test_a_name_stays_when_the_identity_is_renamed_and_is_not_handed_on(tmp_path):
    store = Identities(tmp_path)
    store.claim(Person("github", "7", "alice"))
    assert store.claim(Person("github", "7", "alicia")) == "alice"
    with pytest.raises(Refused, match="github:alicia"):
        store.claim(Person("github", "9", "alice"))
    assert [known.login for known in store.forget("alice")] == ["alicia"]
    assert store.claim(Person("github", "9", "alice")) == "alice"


def test_a_name_in_a_list_is_kept_for_whom_the_list_means(tmp_path):
    """Who only comes to be called alice by the rule does not become the admin alice."""
    store = Identities(tmp_path)
    for login in ("Álice", "alice@evil.org"):
        with pytest.raises(Refused, match="a list means another"):
            store.claim(Person("oidc", login, login), frozenset({"alice"}))
    assert store.claim(Person("oidc", "3", "alice@a.org", domain="a.org"), frozenset({"alice"})) == "alice"


def test_the_name_of_an_address_in_a_list_is_kept_for_that_address(tmp_path):
    """Its account, and the right of an admin, may be there before it comes: a namesake must not get them."""
    store = Identities(tmp_path)
    listed = frozenset({"Alice@a.org", "山田@a.org", "bob@a.org"})
    for stranger in (OTHER, Person("oidc", "3", "alice"), Person("oidc", "4", "álice@b.org")):
        with pytest.raises(Refused, match=f"{stranger} would be .alice., but a list means another"):
            store.claim(stranger, listed)
    assert store.all() == {}
    assert store.claim(ALICE, listed) == "alice"
    assert store.claim(Person("oidc", "5", "carol@b.org"), listed) == "carol"
    store.link("bob", "oidc", "bob@b.org")
    assert store.claim(Person("oidc", "6", "bob@b.org"), listed) == "bob"  # on purpose


def test_two_addresses_of_one_name_in_lists_wait_for_an_admin(tmp_path):
    """Either could be the one for whom the account was made."""
    store = Identities(tmp_path)
    listed = frozenset({"alice@a.org", "alice@b.org"})
    for one in (ALICE, OTHER):
        with pytest.raises(Refused, match="hubwright names link alice oidc:alice@"):
            store.claim(one, listed)
    store.link("alice", "oidc", "alice@a.org")
    assert store.claim(ALICE, listed) == "alice"


def test_the_account_of_a_groups_server_is_nobodys(tmp_path):
    """Nor is it any more whose name it was before."""
    store, taken = Identities(tmp_path), frozenset({"alice"})
    for again in (False, True):
        with pytest.raises(Refused, match="which is the server of a group"):
            store.claim(ALICE, frozenset({"alice@a.org"}), taken=taken)
        with pytest.raises(Refused, match="which is the server of a group"):
            store.foretell(ALICE, taken=taken)
        assert len(store.of("alice")) == again
        if not again:
            store.claim(ALICE)


def test_links_refuse_what_makes_no_sense(tmp_path):
    store = Identities(tmp_path)
    for name in ("Alice", "", "../x"):
        with pytest.raises(Refused, match="not a user name"):
            store.link(name, "oidc", "alice")
    with pytest.raises(Refused, match="system account"):
        store.link("root", "oidc", "alice")
    store.link("ada", "oidc", "alice")
    store.link("ada", "oidc", "alice")
    with pytest.raises(Refused, match='has the name "ada" already'):
        store.link("bob", "oidc", "alice")
    assert len(store.of("ada")) == 1


def test_without_root_only_one_account_is_served(tmp_path):
    store = Identities(tmp_path)
    with pytest.raises(Refused, match="not started by root"):
        store.claim(ALICE, only="eve")
    assert store.all() == {}
    assert store.claim(Person("oidc", "1", "eve"), only="eve") == "eve"


def test_of_many_who_come_at_once_one_has_the_name(tmp_path):
    def come(number):
        try:
            return Identities(tmp_path).claim(Person("oidc", str(number), f"alice@{number}.org"))
        except Refused:
            return None

    with ThreadPoolExecutor(12) as pool:
        got = list(pool.map(come, range(24)))
    assert got.count("alice") == 1
    assert len(Identities(tmp_path).of("alice")) == 1


def test_of_many_processes_none_loses_a_name(tmp_path):
    program = (
        "import sys; from pathlib import Path; from hubwright.auth.identities import Identities\n"
        "from hubwright.auth.rule import Person\n"
        "for n in range(10): Identities(Path(sys.argv[1])).claim(Person('oidc', sys.argv[2]+str(n), 'p'+sys.argv[2]+str(n)))"
    )
    many = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), letter]) for letter in "abc"]
    assert [one.wait(60) for one in many] == [0, 0, 0]
    assert len(Identities(tmp_path).all()) == 30


def test_damage_is_told_and_nothing_is_overwritten(tmp_path):
    path = tmp_path / "names.json"
    path.write_text("{")
    with pytest.raises(MachineError, match="names cannot be read"):
        Identities(tmp_path).claim(ALICE)
    assert path.read_text() == "{"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(MachineError):
        Identities(tmp_path).all()


def rule(**section):
    more = {key: tuple(section.pop(key)) for key in ("people", "hub_admins") if key in section}
    return Rule.of(Outside(**section), more.get("people", ()), more.get("hub_admins", ()))


def test_nobody_is_let_in_by_default():
    verdict = rule().decide(ALICE)
    assert (verdict.allowed, verdict.admin) == (False, False)
    assert "not on the list" in verdict.told
    assert "auth.allow" in verdict.detail


def test_lists_groups_and_everybody():
    member = Person("ldap", "x", "bob", frozenset({"lab"}))
    assert rule(allow="all").decide(ALICE).allowed
    assert rule(allow={"users": ["bob"]}).decide(member).allowed
    assert rule(allow={"groups": ["lab"]}).decide(member).allowed
    assert not rule(allow={"groups": ["lab"]}).decide(ALICE).allowed
    assert rule(people=["bob"]).decide(member).allowed
    assert rule().decide(member, frozenset({"bob"})).allowed
    assert rule(admin_groups=["lab"]).decide(member).admin is True
    assert rule(admins=["bob"]).decide(member).admin is True
    assert rule(hub_admins=["bob"]).decide(member).admin is True
    assert rule(allow="all", admins=["ada"]).decide(member).admin is False
    assert rule(allow="all").decide(member).admin is None


def test_a_missing_group_is_told_in_detail_to_the_admin_only():
    verdict = rule(allow={"groups": ["lab"]}, admin_groups=["staff"]).decide(
        Person("ldap", "x", "bob", frozenset({"guests"}))
    )
    assert "none of the groups" in verdict.told
    assert "lab" not in verdict.told
    assert "lab, staff" in verdict.detail
    assert "guests" in verdict.detail


def test_a_short_name_in_a_list_means_the_own_domain_only():
    """Anybody can have an address that begins with alice."""
    listed = rule(allow={"users": ["alice"]}, admins=["alice"])
    assert not listed.decide(ALICE).allowed
    assert listed.decide(Person("google", "1", "alice@a.org", domain="a.org")).admin is True
    assert not listed.decide(Person("google", "2", "alice@b.org", domain="a.org")).allowed
    assert rule(allow={"users": ["alice@a.org"]}).decide(ALICE).allowed


@given(st.lists(st.text(max_size=20)), st.lists(st.text(max_size=20)), st.booleans())
def test_a_rule_is_read_as_it_was_written(users, groups, everybody):
    made = Rule(everybody, frozenset(users), frozenset(groups), frozenset(groups), frozenset(users))
    assert Rule.parse(json.loads(json.dumps(made.plain()))) == made
