"""Whoever guesses passwords waits: by name, by address, and by both."""

from __future__ import annotations

from hubwright.auth.guessing import Guessing


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def fail(guessing, times, name="ada", address="10.0.0.1"):
    return [guessing.refusal(name, address) for _ in range(times)]


def test_five_failures_a_minute_for_one_name_from_one_address():
    clock = Clock()
    guessing = Guessing(clock)
    assert fail(guessing, 5) == [""] * 5
    assert fail(guessing, 1) == ["Too many failed attempts. Try again in 60 seconds."]
    assert fail(guessing, 1, address="10.0.0.2") == [""]
    assert fail(guessing, 1, name="bob") == [""]
    clock.now = 61
    assert fail(guessing, 1) == [""]


def test_many_addresses_do_not_help_against_one_name_nor_many_names_from_one_address():
    guessing = Guessing(Clock())
    assert not any(guessing.refusal("ada", f"10.0.0.{number}") for number in range(30))
    assert "Too many" in guessing.refusal("ada", "10.0.1.1")
    guessing = Guessing(Clock())
    assert not any(guessing.refusal(f"user{number}", "10.0.0.1") for number in range(30))
    assert "Too many" in guessing.refusal("another", "10.0.0.1")


def test_the_addresses_of_one_line_are_one():
    """A machine with IPv6 has 2^64 of them."""
    guessing = Guessing(Clock())
    told = [guessing.refusal("ada", f"2001:db8:0:7::{number:x}") for number in range(1, 8)]
    assert [bool(words) for words in told] == [False] * 5 + [True] * 2
    assert guessing.refusal("ada", "2001:db8:0:8::1") == ""
    assert guessing.refusal("ada", "::ffff:10.0.0.1") == guessing.refusal("ada", "::ffff:10.0.0.2") == ""
    assert guessing.refusal("ada", "") == ""


def test_right_passwords_are_not_counted_and_do_not_forgive_guesses_elsewhere():
    guessing = Guessing(Clock())
    for _ in range(200):
        assert guessing.refusal("ada", "10.0.0.1") == ""
        guessing.right("ada", "10.0.0.1")
    fail(guessing, 5, address="10.6.6.6")
    guessing.refusal("ada", "10.0.0.1")
    guessing.right("ada", "10.0.0.1")
    assert "Too many" in guessing.refusal("ada", "10.6.6.6")


def test_a_password_that_nobody_could_check_is_no_guess():
    guessing = Guessing(Clock())
    for _ in range(100):
        assert guessing.refusal("ada", "10.0.0.1") == ""
        guessing.unclear("ada", "10.0.0.1")


def test_many_at_once_are_not_more_than_one_by_one():
    """Counted before the answer is known."""
    assert [bool(told) for told in fail(Guessing(Clock()), 20)] == [False] * 5 + [True] * 15
