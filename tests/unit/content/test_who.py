"""Who gets what, where homes are, and what check says of contents that cannot be handed out."""

from __future__ import annotations

import os
import pwd
import tempfile
from pathlib import Path

import pytest

from hubwright.care import content as care
from hubwright.config.load import load
from hubwright.content import who
from hubwright.content.hand import carry_out
from hubwright.content.links import link_to, puller_link
from hubwright.content.naming import beside, is_plain, leads_out
from hubwright.content.store import Store
from hubwright.content.taking import Source, take
from hubwright.hub.contents import contents
from hubwright.machine.place import place

ME = pwd.getpwuid(os.geteuid())


@pytest.fixture
def folder():
    """A folder that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="hwt-", dir="/var/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def loaded(folder: Path, text: str):
    path = folder / "hub.yaml"
    path.write_text(text)
    found = load(path)
    return found, place(found.hub.hub.listen, found.hub.hub.url, path, folder / "state")


CONTENT = "content:\n  all: {folder: a}\n  some: {folder: b, target: t/b, allow: {groups: [biology], users: [grace]}}\n"


@pytest.mark.parametrize(
    ("name", "groups", "expected"),
    [
        ("ada", (), {"all": "all"}),
        ("ada", ("biology",), {"all": "all", "some": "t/b"}),
        ("grace", (), {"all": "all", "some": "t/b"}),
    ],
)
def test_groups_and_single_people_get_what_is_for_them(folder, name, groups, expected):
    told = contents(loaded(folder, CONTENT)[0].hub)
    assert who.contents_of(who.Recipient(name, 1, 1, frozenset(groups), "/"), told) == expected


DOCKER = """\
engine: {kind: docker, home: "/data/homes/{username}"}
profiles:
  sizes: {Tiny: {cpu: 1, memory: 1G}}
  images: {Python: {image: example.org/python}}
  default: {sizes: [Tiny], images: [Python]}
  groups: {biology: {home: "/biology/{username}"}}
  users: {%s: {home: "%s/{username}"}}
"""


def test_with_containers_the_home_is_where_the_container_has_it_from(folder):
    """A push writes to the home of the machine, which is what the container sees."""
    told = contents(loaded(folder, DOCKER % (ME.pw_name, folder) + CONTENT)[0].hub)
    assert told["homes"] == {
        "users": {ME.pw_name: f"{folder}/{{username}}"},
        "groups": [["biology", "/biology/{username}"]],
        "default": "/data/homes/{username}",
    }
    me = who.Recipient.of(ME, told)
    assert me.home == str(folder / ME.pw_name)
    (folder / "a").mkdir()
    (folder / "a/x").write_text("1")
    (folder / ME.pw_name).mkdir()
    take(
        Store(folder / "state", "all") if (folder / "state").mkdir() is None else None, Source(folder / "a", None), str
    )
    with who.order(me, who.contents_of(me, told), folder / "state") as order:
        carry_out(order)
    assert (folder / ME.pw_name / "all/x").read_text() == "1"


def test_without_containers_the_accounts_own_home_counts(folder):
    told = contents(loaded(folder, CONTENT)[0].hub)
    assert who.Recipient.of(ME, told).home == ME.pw_dir


def test_what_cannot_be_handed_out_is_told_with_its_line(folder):
    (folder / "good").mkdir()
    (folder / "good/out").symlink_to("/etc/shadow")
    text = """\
content:
  good: {folder: good, allow: {groups: [no-such-group]}}
  gone: {folder: gone}
  inner: {folder: good, inside: nowhere, target: other}
  locked: {git: "https://git.example.org/x.git", secret: no-such.secret}
"""
    found, site = loaded(folder, text)
    told = [(problem.where.rpartition(":")[2], problem.severity, str(problem)) for problem in care.check(found, site)]
    lines = [line for line, _, _ in told]
    assert lines == ["2 content.good"] * 3 + ["3 content.gone", "4 content.inner", "5 content.locked"]
    assert [severity for _, severity, _ in told] == ["warning"] * 3 + ["error"] * 3
    assert "out: a link that leads out of it" in told[0][2] and "is empty" in told[1][2]
    assert "no group no-such-group" in told[2][2]
    assert "No such file" in told[3][2] and "No such file" in told[4][2] and "no-such.secret" in told[5][2]


@pytest.mark.root
def test_a_folder_that_can_be_read_by_root_only_is_told(folder):
    (folder / "course").mkdir(mode=0o700)
    found, site = loaded(folder, "content: {course: {folder: course}}\n")
    (problem,) = care.check(found, site)
    assert "cannot be read: Permission denied" in problem.what and "without root's rights" in problem.remedy


def test_links_open_the_notebook():
    assert link_to("https://x.org/lab/", "course", "a b.ipynb") == (
        "https://x.org/lab/hub/user-redirect/lab/tree/course/a%20b.ipynb"
    )
    assert link_to("https://x.org/", "course", "") == "https://x.org/hub/user-redirect/lab/tree/course"
    assert puller_link("https://x.org/", "https://g.org/c.git", "main", "t/c", "a.ipynb") == (
        "https://x.org/hub/user-redirect/git-pull?repo=https%3A%2F%2Fg.org%2Fc.git&targetpath=t%2Fc"
        "&urlpath=lab%2Ftree%2Ft%2Fc%2Fa.ipynb&branch=main"
    )


@pytest.mark.parametrize(
    ("path", "number", "expected"),
    [
        ("a.ipynb", 1, "a (original of D).ipynb"),
        ("d.x/a", 1, "d.x/a (original of D)"),
        (".bashrc", 2, ".bashrc (original of D, 2)"),
        ("d/" + "ä" * 127 + ".py", 1, "d/" + "ä" * 118 + " (original of D).py"),
        ("x." + "y" * 250, 1, "x." + "y" * 237 + " (original of D)"),
    ],
)
def test_names_of_copies_fit_every_file_system(path, number, expected):
    made = beside(path, "D", number)
    assert made == expected and len(made.rpartition("/")[2].encode()) <= 255


def test_paths_and_links_that_lead_out():
    assert is_plain("a/b c/.d") and not any(map(is_plain, ("", "/a", "a/", "a//b", ".", "a/../b", "a\0", "x" * 256)))
    assert not leads_out("a/b", "../c") and not leads_out("a", "./b/../c")
    assert all(leads_out("a/b", link) for link in ("/etc", "../../c", "x/../../../c", ""))
