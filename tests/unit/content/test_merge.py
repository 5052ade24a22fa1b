"""What is decided when originals meet a home: each state of editing, and what holds for all of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.content.model import Memory, digest, original

from hubwright.content.merge import MOST_COPIES, WRITES, Handed, merge

DAY = "2026-11-21"
COPY = f"a (original of {DAY}).ipynb"


def handed(home: Memory, *versions: dict[str, str], asked: frozenset[str] = frozenset()) -> dict[str, str]:
    """Hand out one version after another; return the last steps that were not "same"."""
    told = {}
    for files in versions:
        steps = merge({path: original(text) for path, text in files.items()}, home.record, home.look, asked)
        home.do(steps, files)
        told = {step.path: step.what for step in steps if step.what != "same"}
    return told


@pytest.fixture
def home():
    """A home that has had the first version."""
    made = Memory()
    handed(made, {"a.ipynb": "one", "b/c.py": "cee"})
    return made


def test_the_first_time_everything_is_new():
    made = Memory()
    assert handed(made, {"a": "1", "b/c": "2"}) == {"a": "new", "b/c": "new"}
    assert made.files == {"a": "1", "b/c": "2"}


def test_what_nobody_touched_is_updated(home):
    assert handed(home, {"a.ipynb": "two", "b/c.py": "cee"}) == {"a.ipynb": "update"}
    assert home.files["a.ipynb"] == "two"


def test_what_was_edited_stays_and_the_new_original_arrives_beside(home):
    home.files["a.ipynb"] = "mine"
    assert handed(home, {"a.ipynb": "two", "b/c.py": "cee"}) == {"a.ipynb": "beside"}
    assert home.files == {"a.ipynb": "mine", COPY: "two", "b/c.py": "cee"}
    assert handed(home, {"a.ipynb": "two", "b/c.py": "cee"}) == {"a.ipynb": "edited"}


def test_an_edited_file_whose_original_is_as_before_gets_nothing_beside_it(home):
    home.files["a.ipynb"] = "mine"
    assert handed(home, {"a.ipynb": "one", "b/c.py": "cee"}) == {"a.ipynb": "edited"}


def test_a_copy_that_was_thrown_away_does_not_come_back(home):
    home.files["a.ipynb"] = "mine"
    handed(home, {"a.ipynb": "two"})
    del home.files[COPY]
    assert handed(home, {"a.ipynb": "two"}) == {"a.ipynb": "edited"}
    assert COPY not in home.files


def test_a_second_new_original_of_one_day_has_a_number_and_overwrites_no_copy(home):
    home.files["a.ipynb"] = "mine"
    handed(home, {"a.ipynb": "two"})
    home.files[COPY] = "mine, too"
    handed(home, {"a.ipynb": "three"})
    assert home.files[COPY] == "mine, too"
    assert home.files[f"a (original of {DAY}, 2).ipynb"] == "three"


def test_copies_have_an_end(home):
    home.files["a.ipynb"] = "mine"
    for number in range(MOST_COPIES):
        home.files[f"a (original of {DAY}{f', {number + 1}' if number else ''}).ipynb"] = f"copy {number}"
    assert handed(home, {"a.ipynb": "new"}) == {"a.ipynb": "full"}


def test_what_was_deleted_stays_away_until_it_is_asked_for(home):
    del home.files["a.ipynb"]
    assert handed(home, {"a.ipynb": "one"}, {"a.ipynb": "two"}) == {"a.ipynb": "deleted"}
    assert handed(home, {"a.ipynb": "two"}, asked=frozenset({"a.ipynb"})) == {"a.ipynb": "new"}
    assert home.files["a.ipynb"] == "two"


def test_a_file_that_was_there_before_is_not_overwritten():
    made = Memory({"a.ipynb": "mine", "b": "same"})
    assert handed(made, {"a.ipynb": "one", "b": "same"}) == {"a.ipynb": "beside"}
    assert made.files["a.ipynb"] == "mine"
    assert made.record["b"] == Handed(digest("same")), "what equals the original counts as handed out"


def test_an_own_file_that_is_gone_makes_room_for_the_next_original():
    made = Memory({"a.ipynb": "mine"})
    handed(made, {"a.ipynb": "one"})
    del made.files["a.ipynb"]
    assert handed(made, {"a.ipynb": "one"}) == {"a.ipynb": "edited"}, "it lies beside already"
    assert handed(made, {"a.ipynb": "two"}) == {"a.ipynb": "new"}


def test_what_the_teacher_removed_stays_where_it_is(home):
    assert handed(home, {"b/c.py": "cee"}) == {}
    assert home.files["a.ipynb"] == "one"
    assert handed(home, {"a.ipynb": "again", "b/c.py": "cee"}) == {"a.ipynb": "update"}, "it is still known"


def test_a_renamed_original_is_renamed_where_nobody_touched_it(home):
    handed(home, {"week-1/a.ipynb": "one", "b/c.py": "cee"})
    assert home.files == {"week-1/a.ipynb": "one", "b/c.py": "cee"}


def test_a_renamed_original_leaves_an_edited_file_alone(home):
    home.files["a.ipynb"] = "mine"
    handed(home, {"week-1/a.ipynb": "one"})
    assert (home.files["a.ipynb"], home.files["week-1/a.ipynb"]) == ("mine", "one")


def test_what_was_deleted_does_not_come_back_under_another_name(home):
    del home.files["a.ipynb"]
    assert handed(home, {"week-1/a.ipynb": "one", "b/c.py": "cee"}) == {"week-1/a.ipynb": "deleted"}


def test_a_file_renamed_by_its_owner_is_left_and_does_not_come_twice(home):
    home.files["my a.ipynb"] = home.files.pop("a.ipynb")
    assert handed(home, {"a.ipynb": "one"}) == {"a.ipynb": "deleted"}
    assert home.files["my a.ipynb"] == "one"


def test_a_file_becomes_a_folder_and_back(home):
    assert handed(home, {"a.ipynb/x": "ex"}) == {"a.ipynb": "remove", "a.ipynb/x": "new"}
    assert home.files == {"a.ipynb/x": "ex", "b/c.py": "cee"}
    assert handed(home, {"a.ipynb": "file"}) == {"a.ipynb/x": "remove", "a.ipynb": "new"}
    assert home.files == {"a.ipynb": "file", "b/c.py": "cee"}


def test_an_edited_file_that_became_a_folder_keeps_its_place(home):
    home.files["a.ipynb"] = "mine"
    assert handed(home, {"a.ipynb/x": "ex", "a.ipynb/y": "why"}) == {"a.ipynb/x": "beside", "a.ipynb/y": "beside"}
    assert home.files["a.ipynb"] == "mine"
    assert home.files[f"{COPY}/x"] == "ex" and home.files[f"{COPY}/y"] == "why"


def test_a_folder_with_own_work_that_became_a_file_keeps_its_place(home):
    home.files["b/mine"] = "mine"
    assert handed(home, {"b": "file"}) == {"b": "beside"}
    assert home.files["b/c.py"] == "cee" and home.files["b/mine"] == "mine"
    assert home.files[f"b (original of {DAY})"] == "file"


def test_a_folder_with_edited_work_that_became_a_file_keeps_its_place(home):
    home.files["b/c.py"] = "edited"
    assert handed(home, {"b": "file"}) == {"b": "beside"}
    assert home.files["b/c.py"] == "edited"


def test_an_original_arrives_beside_ones_own_file_in_a_folder_of_ones_own_where_an_original_was():
    home = Memory({"b/x": "mine"})
    assert handed(home, {"b": "file"}) == {"b": "beside"}
    assert handed(home, {"b/x/z": "zed"}) == {"b/x/z": "beside"}
    assert home.files[f"b/x (original of {DAY})/z"] == "zed"
    assert home.files["b/x"] == "mine"


def test_an_edited_file_that_is_asked_for_comes_beside_even_when_it_never_changed(home):
    home.files["a.ipynb"] = "mine"
    assert handed(home, {"a.ipynb": "one", "b/c.py": "cee"}, asked=frozenset({"a.ipynb"})) == {"a.ipynb": "beside"}
    assert home.files == {"a.ipynb": "mine", COPY: "one", "b/c.py": "cee"}


def test_asking_for_a_folder_brings_what_is_in_it_and_nothing_else(home):
    home.files.clear()
    assert handed(home, {"a.ipynb": "one", "b/c.py": "cee"}, asked=frozenset({"b"})) == {"b/c.py": "new"}


NAMES = st.sampled_from(["a", "b", "a/x", "a/y", "b/x", "b/x/z", "c", f"a (original of {DAY})", "d/x"])
TEXTS = st.sampled_from(["", "1", "2", "3"])
ORIGINALS = st.dictionaries(NAMES, TEXTS, max_size=6).map(
    lambda found: {p: t for p, t in found.items() if not any(other.startswith(f"{p}/") for other in found)}
)
EDITS = st.lists(st.tuples(st.sampled_from(["write", "delete", "rename"]), NAMES, TEXTS), max_size=5)


def edit(home: Memory, edits: list[tuple[str, str, str]]) -> dict[str, str]:
    """Do what a student does; return what is his now: paths whose text he chose."""
    mine: dict[str, str] = {}
    for what, path, text in edits:
        kind = home.look(path).kind
        if what == "write" and kind in {"nothing", "file"}:
            home.files[path] = mine[path] = f"mine {text}"
        elif what == "delete":
            for gone in [one for one in home.files if one == path or one.startswith(f"{path}/")]:
                del home.files[gone]
                mine.pop(gone, None)
        elif what == "rename" and kind == "file" and home.look(f"my {text}").kind == "nothing":
            home.files[f"my {text}"] = mine[f"my {text}"] = home.files.pop(path)
            mine.pop(path, None)
    return mine


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(ORIGINALS, EDITS), min_size=1, max_size=4))
def test_whatever_happens_nothing_of_the_students_is_lost(course):
    """Any versions and any edits between them: what he wrote stays; what he deleted stays away; twice does nothing."""
    home, mine = Memory(), {}
    for files, edits in course:
        before, known = dict(home.files), dict(home.record)
        handed(home, files)
        for path, text in mine.items():
            assert home.files.get(path) == text, f"{path} was {text!r}"
        for path, text in before.items():
            if path not in home.files:
                assert known[path].base == digest(text), f"{path} was removed and not as it was handed out"
        away = {path for path in known if known[path].base and path not in before and path in files}
        assert not away & home.files.keys() - {step for step in before}, "what was deleted came back"
        again = merge({path: original(text) for path, text in files.items()}, home.record, home.look)
        assert not [step for step in again if step.what in WRITES], "a second push writes something"
        for path, text in files.items():
            if home.record.get(path, Handed("")).base == digest(text) or path in away or path in mine:
                continue
            assert text in home.files.values() or path in known, f"{path} never arrived"
        fresh = edit(home, edits)
        mine = {path: text for path, text in {**mine, **fresh}.items() if home.files.get(path) == text}
