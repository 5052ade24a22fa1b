"""A roster file: what is understood, and that every mistake is told with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubwright.config.roster import LARGEST, parse, read
from hubwright.errors import ConfigError
from hubwright.fields import check_user_name

TEXT = """\
# our course
ada@example.org admin
Grace.Hopper@example.org   # the second
\tlinus
"""
CSV = """\
address;admin;groups
ada@example.org;yes;biology, physics

grace;;biology
"""
YAML = """\
- ada@example.org admin
- address: grace@example.org
  groups: [biology]
- {address: linus, admin: true}
"""


def people(text, name="people.txt"):
    return [(one.login, one.name, one.admin, one.groups, one.line) for one in parse(text, Path(name)).people]


def problems(text, name="people.txt"):
    with pytest.raises(ConfigError) as error:
        parse(text, Path(name))
    return [str(problem) for problem in error.value.problems]


def test_each_format_is_read():
    assert people(TEXT) == [
        ("ada@example.org", "ada", True, (), 2),
        ("Grace.Hopper@example.org", "grace.hopper", False, (), 3),
        ("linus", "linus", False, (), 4),
    ]
    assert people(CSV, "people.csv") == [
        ("ada@example.org", "ada", True, ("biology", "physics"), 2),
        ("grace", "grace", False, ("biology",), 4),
    ]
    assert people(YAML, "people.yaml") == [
        ("ada@example.org", "ada", True, (), 1),
        ("grace@example.org", "grace", False, ("biology",), 2),
        ("linus", "linus", True, (), 4),
    ]
    assert people("") == people("# nobody yet", "a.yml") == people("", "a.csv") == []


def test_a_file_of_windows_is_read(tmp_path):
    (tmp_path / "people.txt").write_bytes("\ufeffada@example.org admin\r\nlinus\r\n".encode())
    assert [(one.name, one.admin, one.line) for one in read(tmp_path / "people.txt").people] == [
        ("ada", True, 1),
        ("linus", False, 2),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ada@x\nbob@x adnim", 'people.txt:2: "adnim" is not a word that can stand behind an address'),
        ("ada@x admin now", "people.txt:1: has 3 words"),
        ("alice@a\n\nalice@b", 'people.txt:3: alice@b and alice@a (line 1) would both be the user "alice"'),
        ("Ada@x\nada@X", "people.txt:2: ada@X stands there twice, in line 1 too"),
        ("root", "people.txt:1: "),
        ("@example.org", 'people.txt:1: "@example.org" is not an address'),
        ("\u5f20\u4e09@example.org", "people.txt:1: "),
        ("a" * 400, "people.txt:1: "),
    ],
)
def test_a_mistake_is_told_with_its_line(text, told):
    (problem,) = problems(text)
    assert problem.startswith(told)


def test_every_mistake_is_told_at_once():
    assert [problem.split(" ")[0] for problem in problems("ada boss\nroot\nbob\nbob@x")] == [
        "people.txt:1:",
        "people.txt:2:",
        "people.txt:4:",
    ]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("p.csv", "name,admin\nada,yes", 'p.csv:1: has a column that is not understood: "name"'),
        ("p.csv", "admin\nyes", "p.csv:1: must name each column once"),
        ("p.csv", "address,admin\nada,perhaps", 'p.csv:2: "perhaps" is neither yes nor no'),
        ("p.csv", "address\nada,yes", "p.csv:2: has 2 cells"),
        ("p.csv", 'address\n"ada', "p.csv:2: is not CSV"),
        ("p.csv", "address,groups\nada,Big Group!", "p.csv:2: names a group that is not a group name"),
        ("p.yaml", "ada: true", "p.yaml: must be a list"),
        ("p.yaml", "- ada\n- {adress: bob}", 'p.yaml:2: has a key that is not understood: "adress"'),
        ("p.yaml", "- ada\n- {admin: true}", "p.yaml:2: has no address"),
        ("p.yaml", "- {address: ada, admin: maybe}", "p.yaml:1: has an `admin`"),
        ("p.yaml", "- 7", "p.yaml:1: 7 is not an address"),
        ("p.yaml", "- [", "p.yaml:"),
    ],
)
def test_mistakes_of_the_other_formats(name, text, told):
    assert problems(text, name)[0].startswith(told)


def test_what_is_no_roster_is_told(tmp_path):
    for content in (b"\xff\xfe", b"x" * (LARGEST + 1)):
        (tmp_path / "people.txt").write_bytes(content)
        with pytest.raises(ConfigError):
            read(tmp_path / "people.txt")
    for missing in (tmp_path / "nothing.txt", tmp_path):
        with pytest.raises(ConfigError):
            read(missing)


@given(
    st.text(max_size=200) | st.text("ab@., ;#:-[]{}'\"\n\tadmin", max_size=200), st.sampled_from(["txt", "csv", "yml"])
)
def test_whatever_stands_there_ends_in_people_or_in_lines(text, ending):
    """Never a traceback; no two people have one name, and each name is a Unix name."""
    try:
        found = parse(text, Path(f"people.{ending}"))
    except ConfigError as error:
        assert all(problem.where.startswith(f"people.{ending}") and problem.what for problem in error.problems)
    else:
        names = [check_user_name(one.name) for one in found.people]
        assert len({*names}) == len(names)
