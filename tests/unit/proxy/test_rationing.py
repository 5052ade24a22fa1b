"""How long Let's Encrypt is left alone after what its log says. The lines are Caddy 2.11's own."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hubwright.proxy.https.rationing import DUPLICATES, FAILURES, HOST, too_soon

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NAME = "class.example.org"
TESTS = "acme-staging-v02.api.letsencrypt.org"


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def write(log: Path, *told: tuple[datetime, dict[str, str]]) -> Path:
    log.write_text("".join(json.dumps({"ts": time.isoformat(), "level": "info", **said}) + "\n" for time, said in told))
    return log


def failure(time: datetime, host: str = HOST, name: str = NAME) -> list[tuple[datetime, dict[str, str]]]:
    """A check that failed, as Caddy tells of one."""
    told = {"identifier": name, "challenge_type": "http-01"}
    asked = {"msg": "trying to solve challenge", "ca": f"https://{host}/directory", **told}
    return [(time, asked), (time, {"msg": "challenge failed", **told})]


def given(time: datetime, host: str = HOST) -> tuple[datetime, dict[str, str]]:
    return time, {"msg": "certificate obtained successfully", "identifier": NAME, "issuer": f"{host}-directory"}


@pytest.mark.parametrize(
    ("minutes", "wait"),
    [
        ([], 0),
        ([3, 2, 1], 0),  # two are left, which is what Caddy may need
        ([4, 3, 2, 1], 12 - 4),
        ([5, 4, 3, 2, 1], 24 - 5),
        ([5, 4, 3, 2, 1, 0], 24),  # it cannot be less than none
        ([70, 69, 68, 67, 66], 0),
        ([70, 69, 68, 67, 66, 1, 0], 0),
    ],
)
def test_failures_come_back_one_each_twelve_minutes(minutes: list[int], wait: int) -> None:
    assert FAILURES.wait([ago(minutes=number) for number in minutes], NOW) == timedelta(minutes=wait)


def test_five_certificates_a_week_and_one_more_each_34_hours() -> None:
    week = [ago(hours=number) for number in (5, 4, 3, 2, 1)]
    assert DUPLICATES.wait(week[:4], NOW) == timedelta()
    assert DUPLICATES.wait(week, NOW) == timedelta(hours=29)


def test_a_name_is_told_with_the_time_from_which_it_may_be_asked_again(tmp_path: Path) -> None:
    log = write(tmp_path / "log", *(line for minute in (4, 3, 2, 1) for line in failure(ago(minutes=minute))))
    (problem,) = too_soon([NAME, "other.example.org"], log, NOW)
    assert problem.severity == "error" and problem.where == "hub.yaml https"
    until = (NOW + timedelta(minutes=9)).astimezone()
    assert (
        f"could not reach this machine by {NAME} 4 times lately, and answers no more before {until:%H:%M}"
        in problem.what
    )
    assert TESTS in problem.remedy
    assert too_soon([NAME], log, NOW + timedelta(minutes=8)) == []
    log = write(tmp_path / "log", *(given(ago(hours=hour)) for hour in (5, 4, 3, 2, 1)))
    (problem,) = too_soon([NAME], log, NOW)
    assert f"has given {NAME} 5 certificates lately" in problem.what and "the folder acme" in problem.remedy


def test_only_lets_encrypts_own_answers_count(tmp_path: Path) -> None:
    """Not those of its directory for tests, which Caddy asks in between, nor a log of another shape, nor none."""
    minutes = (5, 4, 3, 2, 1)
    log = write(tmp_path / "log", *(line for one in minutes for line in failure(ago(minutes=one), TESTS)))
    assert too_soon([NAME], log, NOW) == []
    assert too_soon([NAME], write(log, *(given(ago(minutes=one), TESTS) for one in minutes)), NOW) == []
    log.write_text('{"ts": 1}\nno\n[]\n{"ts": "2026-11-21T11:59:00Z", "msg": ["challenge failed"], "identifier": {}}\n')
    assert too_soon([NAME], log, NOW) == []
    log.unlink()
    log.mkdir()
    assert too_soon([NAME], log, NOW) == too_soon([NAME], tmp_path / "none", NOW) == []
