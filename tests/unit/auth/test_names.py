"""The rule from an outside identity to a Unix name."""

from __future__ import annotations

import grp
import pwd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubwright.auth.names import is_reserved, plain, unix_name
from hubwright.errors import Refused
from hubwright.fields import check_user_name


@pytest.mark.parametrize(
    ("login", "name"),
    [
        ("alice", "alice"),
        ("Alice@Example.ORG", "alice"),
        ("ada.lovelace@example.org", "ada.lovelace"),
        ("ada+notebooks@example.org", "ada-notebooks"),
        ("José.Núñez@example.org", "jose.nunez"),
        ("Jose\u0301", "jose"),
        ("Groß", "gross"),
        ("Łukasz Żółw", "lukasz-zolw"),
        ("Ærøskøbing", "aeroskobing"),
        ("İbrahim", "ibrahim"),
        ("O'Brien", "o-brien"),
        ("2024smith", "u2024smith"),
        (".dot", "u.dot"),
        ("_apt", "u_apt"),
        ("ends.", "ends._"),
        ("DOMAIN\\user", "domain-user"),
        ("a/../../etc", "a-..-..-etc"),
        ("a", "a"),
        ("x@y@z", "x-y"),
    ],
)
def test_names_are_told_in_advance(login, name):
    assert unix_name(login) == name


@pytest.mark.parametrize(
    "login",
    ["", "@example.org", "\0", "a\nb", "a\x7f", "Мария", "王", "ａｌｉｃｅ", "аlice", "\u202ealice", "😀", "\ud800"],
)
def test_what_has_no_latin_letters_gets_no_name(login):
    """Full-width and Cyrillic look-alikes, too: nobody becomes alice by looking like her."""
    with pytest.raises(Refused, match="gives no Unix name"):
        unix_name(login)


def test_long_identities_keep_apart():
    long = "x" * 300
    names = {unix_name(long), unix_name(long + "y"), unix_name(f"{long}@a.org"), unix_name(f"{long}@b.org")}
    assert len(names) == 4
    assert all(len(name) == 32 for name in names)
    assert unix_name("x" * 32) == "x" * 32


@pytest.mark.parametrize(
    "login", ["root", "ROOT@example.org", "Bin", "www-data", "sudo", "docker", "hubwright", "rööt"]
)
def test_nobody_becomes_a_system_account(login):
    with pytest.raises(Refused, match="system account"):
        unix_name(login)


def test_the_system_accounts_and_groups_of_this_machine_are_all_known():
    ids = [(entry.pw_name, entry.pw_uid) for entry in pwd.getpwall()]
    ids += [(entry.gr_name, entry.gr_gid) for entry in grp.getgrall()]
    usual = {name for name, number in ids if number < 100 and name.islower()}
    assert {name for name in usual if not is_reserved(name) and not name.startswith("_")} <= set()


@given(st.text(max_size=320))
def test_a_name_is_one_of_useradds_or_none(login):
    try:
        name = unix_name(login)
    except Refused:
        return
    assert check_user_name(name) == name
    assert len(name) <= 32
    assert unix_name(login) == name
    assert not is_reserved(name)


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789", min_size=3, max_size=20))
def test_a_plain_name_stays_as_it_is(login):
    if login[0].isalpha() and not is_reserved(login):
        assert unix_name(login) == login


def test_lists_may_leave_out_one_domain_only():
    assert plain("alice@school.org", "school.org") == "alice"
    assert plain("alice@SCHOOL.org", "School.org") == "alice"
    assert plain("alice@evil.org", "school.org") == "alice@evil.org"
    assert plain("alice@school.org") == "alice@school.org"
    assert plain("alice@school.org@evil.org", "school.org") == "alice@school.org@evil.org"
