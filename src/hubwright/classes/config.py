"""`classes` in hub.yaml: people who work together at fixed times, and who looks after them."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from hubwright.classes.timetable import Timetable, parse, parse_days
from hubwright.fields import Duration, UserName, matching, shown

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


def _check_zone(value: str) -> str:
    try:
        return ZoneInfo(value).key
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f'must be a time zone such as "Europe/Berlin" or "UTC", not {shown(value)}.') from error


def _day(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def _check_entry(value: str) -> str:
    parse(value)
    return value


def _check_days(value: str) -> str:
    parse_days(value)
    return value


ClassId = Annotated[
    str,
    AfterValidator(
        matching(
            _NAME,
            "is not a name for a class: {}. Use 1 to 40 lower-case letters, digits and dashes; `title` is what people "
            "read.",
        )
    ),
]
Zone = Annotated[
    str,
    AfterValidator(_check_zone),
    WithJsonSchema({"title": "time zone", "type": "string", "examples": ["Europe/Berlin"]}),
]
Entry = Annotated[
    str,
    AfterValidator(_check_entry),
    WithJsonSchema(
        {"title": "lesson", "type": "string", "examples": ["mon,wed 09:00-10:30", "2030-12-20 14:00-16:00"]}
    ),
]
Days = Annotated[
    str,
    BeforeValidator(_day),
    AfterValidator(_check_days),
    WithJsonSchema({"title": "days", "type": "string", "examples": ["2030-12-24", "2030-12-21..2031-01-06"]}),
]
GroupName = Annotated[str, Field(min_length=1, max_length=255)]


class Class(BaseModel):
    """People who work together at fixed times."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str | None = Field(
        default=None, min_length=1, max_length=100, description="What people read; the name, when it is left out."
    )
    groups: tuple[GroupName, ...] = Field(
        default=(),
        description="Groups whose members are in it: of the roster or the provider, and Unix groups with `kind: pam`.",
        examples=[["biology"]],
    )
    users: tuple[UserName, ...] = Field(
        default=(), description="People who are in it besides those of the groups.", examples=[["bob", "carol"]]
    )
    teachers: tuple[UserName, ...] = Field(
        default=(),
        description="People who see the class's page, start and stop its servers, and write to it. "
        "They need not be admins, and cannot enter anybody's server.",
        examples=[["ada"]],
    )
    timetable: tuple[Entry, ...] = Field(
        default=(),
        max_length=200,
        description="When it meets: days of the week or a day, and from when to when.",
        examples=[["mon 09:00-10:30", "wed,fri 14:00-15:30"]],
    )
    time_zone: Zone | None = Field(
        default=None, description="The time zone of the timetable; needed with one.", examples=["Europe/Berlin"]
    )
    not_on: tuple[Days, ...] = Field(
        default=(),
        max_length=200,
        description="Days on which it does not meet.",
        examples=[["2030-12-24", "2030-12-27..2031-01-06"]],
    )
    start_before: Annotated[Duration, Field(le=7200)] = Field(
        default=600.0, description="How long before it meets its servers start."
    )
    stop_after: Annotated[Duration, Field(le=86400)] | None = Field(
        default=None,
        description="How long after it has met the servers stop that the timetable started, used or not; "
        "without it they stay until `idle` stops them.",
        examples=["15m"],
    )
    at_once: int = Field(
        default=4, ge=1, le=100, strict=True, description="How many of its servers may be starting at the same time."
    )
    options: dict[str, Any] = Field(
        default={},
        description="What its servers start with, as on the start page, where there are `profiles`; "
        "without it each with what its user chose last.",
        examples=[{"size": "Small"}],
    )

    @model_validator(mode="after")
    def _has_a_zone(self) -> Class:
        if self.timetable and self.time_zone is None:
            raise ValueError('has a timetable, and needs a time_zone for it, such as "Europe/Berlin".')
        return self

    @property
    def hours(self) -> Timetable:
        """When it meets."""
        return Timetable(
            tuple(parse(one) for one in self.timetable),
            tuple(parse_days(one) for one in self.not_on),
            self.time_zone or "UTC",
        )
