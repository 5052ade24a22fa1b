"""Which processes of the account without rights belong to no build."""

from hubwright.envs.strays import strays

ROOT, BUILD, ADA = 0, 990, 1000


def test_what_a_living_build_has_started_stays():
    processes = {1: (0, ROOT), 10: (1, ROOT), 20: (10, BUILD), 21: (20, BUILD), 22: (21, BUILD)}
    assert strays(processes, BUILD, {1}) == []


def test_what_nobody_waits_for_is_told_with_all_that_it_has_started():
    processes = {1: (0, ROOT), 20: (1, BUILD), 21: (20, BUILD), 30: (1, ADA), 31: (30, BUILD), 40: (1, ADA)}
    assert strays(processes, BUILD, {1}) == [20, 21, 31]


def test_a_process_that_takes_orphans_and_builds_nothing_asked_for_none_of_them():
    processes = {1: (0, ROOT), 10: (1, ROOT), 20: (10, BUILD), 11: (1, ROOT), 30: (11, BUILD)}
    assert strays(processes, BUILD, {1, 10}) == [20]


def test_a_parent_that_has_just_ended_leaves_a_stray():
    assert strays({1: (0, ROOT), 21: (20, BUILD)}, BUILD, {1}) == [21]
