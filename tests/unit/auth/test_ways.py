"""Several ways to log in, as values: whose a name is among them, links of hub.yaml, and what is foretold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.auth.test_auth_kinds import site

from hubwright.auth.first_use.store import Store
from hubwright.auth.identities import Identities
from hubwright.auth.rule import Person
from hubwright.auth.ways import key_of, listed_name, of_kind, ways_of
from hubwright.care.login import outlooks
from hubwright.care.people.accounts import password_refusal
from hubwright.config.load import load
from hubwright.errors import Refused

MANY = """\
hub: {admins: [boss]}
auth:
  kind: many
  ways:
    partners: {kind: google, client_id: x, hosted_domain: [a.org], allow: {users: [ada, bob]}}
    code: {kind: github, client_id: x, allow: {users: [bob, eve]}}
    guests: {kind: first_use}
  links: {eve: ["code:eve"]}
"""


@pytest.fixture
def service(tmp_path):
    """Return a loaded hub.yaml and its site, with a folder for its secrets."""
    (tmp_path / "secrets").mkdir(mode=0o700)

    def service(text):
        (tmp_path / "hub.yaml").write_text(text)
        return load(tmp_path / "hub.yaml"), replace(site(privileged=False), state=tmp_path)

    return service


def test_a_single_kind_is_one_way_of_its_own_name(service):
    auth = service("auth: {kind: pam}")[0].hub.auth
    assert list(ways_of(auth)) == ["pam"] and listed_name(auth) == "pam"
    assert key_of(auth, "pam", "allow.users") == "auth.allow.users"
    auth = service(MANY)[0].hub.auth
    assert list(ways_of(auth)) == ["partners", "code", "guests"] and listed_name(auth) == "partners"
    assert key_of(auth, "code", "allow") == "auth.ways.code.allow"
    assert of_kind(auth, "first_use").minimum_length == 8
    assert of_kind(auth, "pam") is None


def test_a_name_in_the_list_of_another_way_is_kept(tmp_path):
    store = Identities(tmp_path)
    others = {"code": frozenset({"Bob"}), "guests": frozenset()}
    with pytest.raises(Refused, match=r'partners:bob@a\.org would be "bob", which is kept for code:Bob'):
        store.claim(Person("partners", "1", "bob@a.org"), frozenset({"bob@a.org"}), others=others)
    assert store.all() == {}
    store.link("bob", "partners", "bob@a.org")
    assert store.claim(Person("partners", "1", "bob@a.org"), others=others) == "bob"


def test_links_of_the_file_come_and_go(tmp_path):
    """Taken out, the name stays with who had it first, and a link that contradicts what is there is told."""
    store = Identities(tmp_path)
    links = {"ada": ["staff:ada", "code:lovelace"], "bob": ["code:bob"]}
    assert store.follow(links) == store.follow(links) == []
    assert store.claim(Person("code", "7", "lovelace")) == store.claim(Person("staff", "u1", "ada")) == "ada"
    with pytest.raises(Refused, match="which is code:bob already"):
        store.claim(Person("staff", "u2", "bob"))
    assert store.follow({}) == []
    assert {name: [str(one) for one in known] for name, known in store.all().items()} == {"ada": ["staff:ada"]}
    with pytest.raises(Refused, match="which is staff:ada already"):
        store.claim(Person("code", "9", "ada"))
    (problem,) = store.follow({"grace": ["staff:ada"]})
    assert "auth.links: staff:ada is ada already, so it is not grace" in problem
    assert store.claim(Person("staff", "u1", "ada")) == "ada"


def test_what_each_way_would_give_is_foretold(service):
    loaded, place = service(MANY)
    found = outlooks(loaded, place, "bob@a.org")
    assert (found["partners"].allowed, found["partners"].name) == (False, "")
    assert 'would be "bob", which is kept for code:bob' in found["partners"].why
    assert outlooks(loaded, place, "ada@a.org")["partners"].name == "ada"
    assert outlooks(loaded, place, "boss@a.org")["partners"].admin
    assert not outlooks(loaded, place, "boss")["code"].allowed, "the lists mean people of the first way"
    Store(place.secrets).new_link("ada")
    found = outlooks(loaded, place, "ada@a.org")["partners"]
    assert (found.allowed, "kept for guests:ada" in found.why) == (False, True)
    assert password_refusal(loaded, place, "ada") == ""
    assert "others keep the password" in password_refusal(loaded, place, "bob")


def test_a_name_that_a_list_keeps_is_foretold_with_one_way_too(service):
    """As the login will refuse it: an address of the list has the name, though nobody has come yet."""
    google = "auth: {kind: google, client_id: x, allow: {users: ['ada@a.org', 'ada@b.org', 'eve@b.org']}}"
    loaded, place = service(google + "\npeople: {users: [eve]}")
    assert "a list means another by that name" in outlooks(loaded, place, "ada@b.org")["google"].why
    assert "a list means another by that name" in outlooks(loaded, place, "eve@b.org")["google"].why
    Identities(place.secrets).link("eve", "google", "eve@b.org")
    assert outlooks(loaded, place, "eve@b.org")["google"].name == "eve"
