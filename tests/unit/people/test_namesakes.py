"""Where the roster gives groups by name, who has the name of somebody of it must be him by his address."""

from __future__ import annotations

import pytest
from tests.unit.auth.test_auth_kinds import site

from hubwright.auth.identities import Known
from hubwright.care.hub_api import HubApi
from hubwright.care.people.hub import HubPeople
from hubwright.people.roster import Person


@pytest.mark.parametrize(
    ("listed", "logins", "other"),
    [
        ("ada@example.org", [], ""),
        ("Ada@Example.org", ["ada@example.org"], ""),
        ("ada@example.org", ["ada@evil.org"], "google:ada@evil.org"),
        ("ada@example.org", ["ada@home.org", "ada@example.org"], ""),
        ("ada", ["ada@example.org"], ""),
        ("ada", ["ada@evil.org"], "google:ada@evil.org"),
    ],
)
def test_who_has_the_name_is_him_by_his_address_or_is_told(listed, logins, other) -> None:
    names = {"ada": [Known("ada", "google", login, login, (), 0.0) for login in logins]} if logins else {}
    people = HubPeople(HubApi(site(), 1.0), "google", {}, names=names, short_domain="example.org")
    assert people.namesake(Person(listed, "ada")) == other
