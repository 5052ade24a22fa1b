"""Folders that a group, or everybody, reads, and by which it hands work in: what real accounts can and cannot do there."""

from __future__ import annotations

import grp
import subprocess
from collections.abc import Callable, Iterator

import pytest
from tests.conftest import Account
from tests.integration.people.test_apply import World, as_user, steps, world  # noqa: F401 (a fixture)

from hubwright.machine.policy import find_account

pytestmark = pytest.mark.root

SHARED = """\
    - {folder: %(folder)s/lessons, group: %(group)s, access: read, keepers: %(keepers)s}
    - {folder: %(folder)s/work, group: %(group)s, access: drop, keepers: %(keepers)s}
"""
FOR_ALL = """\
    - {folder: %(folder)s/for-all, access: drop, keepers: %(keepers)s}
    - {folder: %(folder)s/news, access: read}
    - {folder: %(folder)s/box, access: drop}
"""


def shared(world: World, folders: str, group: str) -> Iterator[World]:  # noqa: F811 (the fixture)
    """Make shared folders by `apply`: Ada and Bob are in the group, Eve in the one that keeps, the next in none."""
    keepers = f"{world.group[:28]}-t"
    world.service.yaml += folders % {"folder": world.shared, "group": group, "keepers": keepers}
    (world.service.folder / "hub.yaml").write_text(world.service.yaml)
    world.roster(
        f"{{address: {world.ada}, groups: [{world.group}]}}",
        f"{{address: {world.bob}, groups: [{world.group}]}}",
        f"{{address: {world.eve}, groups: [{keepers}]}}",
        world.names[4],
    )
    found = world.plan()[1]
    assert found["problems"] == [], found
    assert [step for step in world.apply()["steps"] if step["error"]] == []
    yield world
    subprocess.run(["groupdel", keepers], check=False, capture_output=True)


@pytest.fixture
def school(world: World) -> Iterator[World]:  # noqa: F811 (the fixture)
    """Ada and Bob learn, Eve teaches them; the folders are there."""
    yield from shared(world, SHARED, world.group)


@pytest.fixture
def everybody(world: World) -> Iterator[World]:  # noqa: F811 (the fixture)
    """Folders of no group."""
    yield from shared(world, FOR_ALL, "")


def refused(name: str, script: str) -> bool:
    return as_user(name, script, check=False).returncode != 0


def test_a_group_reads_what_the_keepers_put_there(school: World) -> None:
    lessons = school.shared / "lessons"
    as_user(school.eve, f"umask 077; mkdir {lessons}/one; echo hers > {lessons}/one/a.ipynb")
    assert as_user(school.ada, f"ls {lessons}/one; cat {lessons}/one/a.ipynb").stdout == "a.ipynb\nhers\n"
    for script in ("echo x > {0}/new", "rm {0}/one/a.ipynb", "echo x >> {0}/one/a.ipynb", "mv {0}/one {0}/two"):
        assert refused(school.ada, script.format(lessons)), script
    assert refused(school.names[4], f"ls {lessons}"), "somebody of no group"


def test_each_hands_in_by_a_folder_that_only_he_and_the_keepers_enter(school: World) -> None:
    work, ada, bob = school.shared / "work", school.ada, school.bob
    assert sorted(as_user(ada, f"ls {work}").stdout.split()) == sorted([ada, bob])
    home = find_account(ada).pw_dir
    as_user(ada, f"umask 022; echo mine > {home}/task; chmod 666 {home}/task; mv {home}/task {work}/{ada}/moved")
    as_user(ada, f"umask 077; mkdir {work}/{ada}/d; echo mine > {work}/{ada}/d/made")
    for script in ("ls {0}", "cat {0}/moved", "cat {0}/d/made", "echo x > {0}/new", "rm {0}/moved", "mv {0} {0}x"):
        assert refused(bob, script.format(f"{work}/{ada}")), script
    assert refused(school.names[4], f"ls {work}"), "somebody of no group"
    assert refused(ada, f"mkdir {work}/more") and refused(ada, f"chmod 777 {work}/{ada}")
    assert as_user(school.eve, f"cat {work}/{ada}/moved {work}/{ada}/d/made").stdout == "mine\nmine\n"
    as_user(school.eve, f"echo good > {work}/{ada}/d/marks")
    assert as_user(ada, f"cat {work}/{ada}/d/marks").stdout == "good\n"
    assert refused(school.eve, f"mv {work}/{ada} {work}/{bob}-too") and refused(school.eve, f"rmdir {work}/{bob}")


def test_everybody_hands_in_by_a_folder_that_only_he_and_the_keepers_enter(
    everybody: World, account: Callable[..., Account]
) -> None:
    """Who is in no group, a keeper, and whoever was let in besides the roster; nobody else of the machine."""
    work, (ada, bob, eve, other, late) = everybody.shared / "for-all", everybody.names[1:]
    assert {*as_user(other, f"ls {work}").stdout.split()} >= {ada, bob, eve, other}
    for name in (ada, other):
        as_user(name, f"umask 000; mkdir {work}/{name}/d; echo mine > {work}/{name}/d/made; chmod 777 {work}/{name}/d")
    for name, whose in ((bob, ada), (ada, other), (other, ada), (ada, eve)):
        for script in ("ls {0}", "cat {0}/d/made", "echo x > {0}/new", "rm -r {0}/d", "mv {0} {0}x", "rmdir {0}"):
            assert refused(name, script.format(f"{work}/{whose}")), f"{name}: {script}"
    assert refused(ada, f"mkdir {work}/more") and refused(ada, f"chmod 777 {work}/{ada}")
    assert as_user(eve, f"cat {work}/{ada}/d/made {work}/{other}/d/made").stdout == "mine\nmine\n"
    as_user(eve, f"echo good > {work}/{ada}/d/marks")
    assert as_user(ada, f"cat {work}/{ada}/d/marks").stdout == "good\n"
    outside = account().name
    assert refused(outside, f"ls {work}"), "an account that is not the service's"
    assert [step for step in steps(everybody.plan()[1]) if step[0] == "folder"] == []
    everybody.service.up().cli("user", "add", late)
    assert refused(late, f"echo x > {work}/{late}/f")
    assert ("folder", "add", str(work / late)) in steps(everybody.plan()[1])
    everybody.apply()
    as_user(late, f"echo x > {work}/{late}/f")
    assert refused(ada, f"cat {work}/{late}/f")
    assert not (work / outside).exists()
    everybody.service.cli("user", "remove", late, "--yes")
    assert steps(everybody.plan()[1]) == [], "what he has handed in stays"
    assert refused(late, f"cat {work}/{late}/f")
    assert as_user(eve, f"cat {work}/{late}/f").stdout == "x\n"


def test_without_keepers_only_root_fills_what_everybody_reads_and_sees_what_is_handed_in(
    everybody: World, account: Callable[..., Account]
) -> None:
    outside = account().name
    news, box, (ada, bob) = everybody.shared / "news", everybody.shared / "box", everybody.names[1:3]
    (news / "one").mkdir()
    (news / "one" / "a.ipynb").write_text("root's\n")
    for name in everybody.names[1:5]:
        assert as_user(name, f"cat {news}/one/a.ipynb").stdout == "root's\n"
        for script in ("echo x > {0}/new", "rm {0}/one/a.ipynb", "echo x >> {0}/one/a.ipynb", "mv {0}/one {0}/two"):
            assert refused(name, script.format(news)), f"{name}: {script}"
    assert refused(outside, f"ls {news}")
    as_user(ada, f"umask 000; echo mine > {box}/{ada}/f")
    for name in (bob, everybody.eve, outside):
        assert refused(name, f"cat {box}/{ada}/f"), name
    assert (box / ada / "f").read_text() == "mine\n"


def test_a_folder_of_root_stays_right_and_what_is_in_it_untouched(school: World) -> None:
    """A second look finds nothing to do; who comes gets his folder; who goes leaves his work there."""
    work, ada = school.shared / "work", school.ada
    assert [step for step in steps(school.plan()[1]) if step[0] == "folder"] == []
    as_user(ada, f"echo mine > {work}/{ada}/f")
    (work / ada).chmod(0o2775)
    assert ("folder", "change", str(work / ada)) in steps(school.plan()[1])
    late = school.names[5]
    school.roster(
        f"{{address: {school.ada}, groups: [{school.group}]}}",
        f"{{address: {late}, groups: [{school.group}]}}",
        f"{{address: {school.eve}, groups: [{school.group[:28]}-t]}}",
    )
    school.apply("--yes")
    assert (work / ada).stat().st_mode & 0o7777 == 0o2770 and (work / ada / "f").read_text() == "mine\n"
    assert (work / late).is_dir() and (work / school.bob).is_dir()
    assert (work / late).stat().st_gid == grp.getgrnam(f"{school.group[:28]}-t").gr_gid


def test_a_link_in_the_place_of_a_folder_is_refused(school: World) -> None:
    work = school.shared / "work"
    (work / school.bob).rmdir()
    (work / school.bob).symlink_to("/etc")
    problems = school.plan()[1]["problems"]
    assert [one["what"] for one in problems] == ["is a link or no folder."], problems
