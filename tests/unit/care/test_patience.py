"""A start is waited for as long as its parts are at work."""

import pytest

from hubwright.care.patience import Patience


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_who_does_nothing_is_waited_for_a_while(clock):
    patience = Patience(90, 1800, clock)
    assert not patience.over(0)
    clock.now += 89
    assert not patience.over(0.9), "a process that looks around once a second takes next to nothing"
    clock.now += 1
    assert patience.over(0.9)
    assert patience.waited == 90


def test_who_works_slowly_is_waited_for_longer(clock):
    """A fiftieth of a processor is what a start gets on a very busy machine."""
    patience = Patience(90, 1800, clock)
    for second in range(600):
        clock.now += 1
        assert not patience.over(second / 50)
    clock.now += 89
    assert not patience.over(12)
    clock.now += 90
    assert patience.over(12)


def test_who_works_without_end_is_not_waited_for_without_end(clock):
    patience = Patience(90, 1800, clock)
    for second in range(1799):
        clock.now += 1
        assert not patience.over(second)
    clock.now += 1
    assert patience.over(1800)
