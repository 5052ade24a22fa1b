"""Numbers of people: given once, the same everywhere, never used again."""

from __future__ import annotations

import json
import pwd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubwright.errors import MachineError, Refused
from hubwright.people.ids import Entry, Ids, Table
from hubwright.people.roster import Person, clashes, same_person

FIRST = 3_000_000_000


@pytest.fixture
def ids(tmp_path):
    return Ids(tmp_path, f"{FIRST}-{FIRST + 9}")


def test_a_name_keeps_its_number_and_another_person_of_that_name_gets_a_new_one(ids):
    assert ids.give("users", "ada", "ada@a") == FIRST
    assert ids.give("groups", "ada") == FIRST + 1, "a group has a number of its own"
    assert ids.give("users", "ada", "Ada@A") == ids.give("users", "ada", "ada") == FIRST
    assert ids.give("users", "ada", "ada@a") == FIRST
    assert ids.give("users", "ada", "ada@b") == FIRST + 2
    assert ids.give("users", "bob") == FIRST + 3
    assert ids.read().gone == {FIRST}


def test_a_used_up_range_is_told_and_nothing_is_given_twice(ids):
    given_ = [ids.give("users", f"u{number}") for number in range(10)]
    assert given_ == list(range(FIRST, FIRST + 10))
    with pytest.raises(MachineError, match=str(FIRST)):
        ids.give("users", "one-more")


def test_a_number_of_an_account_of_the_machine_is_left_out(tmp_path):
    taken = sorted(entry.pw_uid for entry in pwd.getpwall())[-2]
    assert Ids(tmp_path, f"{taken}-{taken + 9}").give("users", "hwt-nobody") != taken


def test_what_was_there_before_is_noted_and_not_ours(ids):
    ids.note("users", "ada", 1234, "ada")
    assert ids.read().users["ada"] == Entry(1234, "ada", False)
    ids.give("users", "bob", "bob@a")
    ids.note("users", "bob", FIRST, "bob@a")
    assert ids.read().users["bob"].made


def test_tables_that_contradict_each_other_are_refused_whole(ids):
    ids.give("users", "ada", "ada@a")
    before = ids.path.read_bytes()
    for users in (
        {"ada": Entry(FIRST + 1, "ada@a")},
        {"ada": Entry(FIRST, "ada@b")},
        {"bob": Entry(FIRST)},
        {"carol": Entry(FIRST + 5), "bob": Entry(FIRST + 5)},
    ):
        with pytest.raises(Refused):
            ids.merge(Table(users=users))
        assert ids.path.read_bytes() == before
    assert ids.merge(Table(users={"ada": Entry(FIRST, "ada@a"), "bob": Entry(FIRST + 4)})) == ["bob"]
    assert ids.give("users", "carol") == FIRST + 5


def test_a_table_that_others_may_write_is_not_believed(ids):
    ids.give("users", "ada")
    ids.path.chmod(0o666)
    with pytest.raises(MachineError, match="written by others"):
        ids.read()
    ids.path.unlink()
    ids.path.symlink_to("/etc/passwd")
    with pytest.raises(MachineError):
        ids.read()


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["users", "groups", "gone", "id", "a"]), inner)
    ),
    max_leaves=20,
)


@given(plain)
def test_whatever_is_imported_is_a_table_or_refused_in_words(found):
    try:
        table = Table.parse(found)
    except ValueError as error:
        assert str(error)
    else:
        assert Table.parse(json.loads(json.dumps(table.plain()))) == table


@pytest.mark.parametrize(
    ("login", "other", "same"),
    [("a@x", "A@X", True), ("a@x", "a@y", False), ("a", "a@x", True), ("a@x", "a", True), ("a", "a", True)],
)
def test_two_addresses_are_one_person_only_when_they_are_equal(login, other, same):
    assert same_person(login, other) is same
    assert bool(clashes([Person(login, "a", line=1), Person(other, "a", line=2)], "f")) is True
