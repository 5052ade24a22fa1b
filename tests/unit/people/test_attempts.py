"""Counting failures."""

from __future__ import annotations

from hubwright.machine.attempts import Attempts


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def test_after_the_limit_a_key_waits_until_its_oldest_failure_is_forgotten():
    clock = Clock()
    attempts = Attempts(2, 60, clock)
    attempts.add("ada")
    clock.now += 10
    assert attempts.wait("ada") == 0
    attempts.add("ada")
    assert attempts.wait("ada") == 50
    assert attempts.wait("bob") == 0
    clock.now += 50
    assert attempts.wait("ada") == 0


def test_a_success_takes_back_what_was_counted():
    attempts = Attempts(1, 60, Clock())
    attempts.add("ada")
    attempts.forgive("ada")
    assert attempts.wait("ada") == 0
    attempts.add("ada")
    attempts.clear("ada")
    assert attempts.wait("ada") == 0


def test_made_up_names_do_not_fill_the_memory():
    clock = Clock()
    attempts = Attempts(5, 60, clock)
    for number in range(1000):
        attempts.add(number)
    clock.now += 61
    attempts.add("ada")
    assert len(attempts._failures) == 1
