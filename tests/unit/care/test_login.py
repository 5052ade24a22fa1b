"""`hubwright check login`, for kinds whose provider need not be asked: what the lists say, and whose the name is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.auth.test_auth_kinds import site

from hubwright.auth.identities import Identities
from hubwright.auth.rule import Person
from hubwright.care.login import outlooks
from hubwright.config.load import load


@pytest.fixture
def look(tmp_path):
    (tmp_path / "secrets").mkdir()
    place = replace(site(privileged=False), state=tmp_path)

    def found(login, text):
        path = tmp_path / "hub.yaml"
        path.write_text(text)
        (found,) = outlooks(load(path), place, login).values()
        return found

    found.identities = Identities(tmp_path / "secrets")
    return found


GOOGLE = (
    "auth: {kind: google, client_id: x, hosted_domain: [a.org], allow: {users: [ada, 'eve@b.org']}, admins: [carol]}"
)


def test_lists_of_addresses(look):
    ada = look("Ada@a.org", GOOGLE)
    assert (ada.allowed, ada.admin, ada.name) == (True, False, "ada")
    assert (look("carol@a.org", GOOGLE).allowed, look("carol@a.org", GOOGLE).admin) == (True, True)
    assert look("eve@b.org", GOOGLE).allowed
    stranger = look("ada@b.org", GOOGLE)
    assert not stranger.allowed
    assert "not on the list" in stranger.why


def test_whose_name_it_is_already_is_told(look):
    look.identities.claim(Person("google", "1", "ada@b.org"))
    other = look("ada@a.org", GOOGLE)
    assert (other.allowed, other.name) == (False, "")
    assert "which is google:ada@b.org already" in other.why
    look.identities.link("grace", "google", "eve@b.org")
    assert look("eve@b.org", GOOGLE).name == "grace"


def test_what_gives_no_name_is_told(look):
    text = "auth: {kind: google, client_id: x, allow: all}"
    assert "gives no Unix name" in look("王@a.org", text).why
    assert "system account" in look("root@a.org", text).why
    assert not look("root@a.org", text).allowed


def test_groups_that_only_a_login_tells_are_told_of(look):
    found = look("ada", "auth: {kind: github, client_id: x, allow: {groups: [lab]}}")
    assert not found.allowed
    assert "at the login only" in found.why


def test_accounts_of_this_machine(look):
    found = look("nobody-at-all", "auth: {kind: pam, allow: all}")
    assert (found.allowed, found.name) == (False, "")
    assert 'no account "nobody-at-all"' in found.why
