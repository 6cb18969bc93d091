"""Schedule expressions: the times they yield, with daylight saving, and invalid ones."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from localcloud.services.scheduler.expressions import BadExpression, parse

ANCHOR = datetime(2026, 11, 24, 12, 0, 7, tzinfo=UTC)


def times(text: str, after: str, count: int = 3, zone: str = "UTC") -> list[str]:
    expression = parse(text, ZoneInfo(zone), ANCHOR)
    moment, found = datetime.fromisoformat(after).replace(tzinfo=UTC), []
    for _ in range(count):
        due = expression.after(moment)
        if due is None:
            break
        found.append(due.strftime("%Y-%m-%dT%H:%M"))
        moment = due
    return found


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("cron(0/20 8 * * ? *)", "2026-11-24T08:19:59", ["2026-11-24T08:20", "2026-11-24T08:40", "2026-11-25T08:00"]),
        ("cron(0 0 L * ? *)", "2026-01-31T00:00", ["2026-02-28T00:00", "2026-03-31T00:00", "2026-04-30T00:00"]),
        ("cron(0 0 LW * ? *)", "2026-01-01T00:00", ["2026-01-30T00:00", "2026-02-27T00:00", "2026-03-31T00:00"]),
        ("cron(0 0 1W * ? *)", "2026-07-02T00:00", ["2026-08-03T00:00", "2026-09-01T00:00", "2026-10-01T00:00"]),
        ("cron(0 0 15W * ? *)", "2026-08-01T00:00", ["2026-08-14T00:00", "2026-09-15T00:00", "2026-10-15T00:00"]),
        ("cron(0 0 ? * FRI#2 *)", "2026-11-01T00:00", ["2026-11-13T00:00", "2026-12-11T00:00", "2027-01-08T00:00"]),
        ("cron(0 0 ? * 6L *)", "2026-11-01T00:00", ["2026-11-27T00:00", "2026-12-25T00:00", "2027-01-29T00:00"]),
        ("cron(5 4 ? * MON-WED *)", "2026-11-24T04:05", ["2026-11-25T04:05", "2026-11-30T04:05", "2026-12-01T04:05"]),
        ("cron(0 0 29 2 ? *)", "2026-01-01T00:00", ["2028-02-29T00:00", "2032-02-29T00:00", "2036-02-29T00:00"]),
        ("cron(0 0 ? 1 1 2026-2027)", "2027-01-20T00:00", ["2027-01-24T00:00", "2027-01-31T00:00"]),
        (
            "cron(0 12 1,15 JAN,jul ? *)",
            "2026-11-24T00:00",
            ["2027-01-01T12:00", "2027-01-15T12:00", "2027-07-01T12:00"],
        ),
        ("at(2026-12-01T10:11:12)", "2026-11-24T00:00", ["2026-12-01T10:11"]),
    ],
)
def test_expression_yields_these_times(text: str, after: str, expected: list[str]) -> None:
    assert times(text, after) == expected


def test_skipped_local_time_is_not_due() -> None:
    due = times("cron(30 2 * * ? *)", "2026-03-27T12:00", zone="Europe/Berlin")
    assert due == ["2026-03-28T01:30", "2026-03-30T00:30", "2026-03-31T00:30"]


def test_repeated_local_time_is_due_once() -> None:
    due = times("cron(30 2 * * ? *)", "2026-10-24T12:00", zone="Europe/Berlin")
    assert due == ["2026-10-25T00:30", "2026-10-26T01:30", "2026-10-27T01:30"]


def test_one_time_expression_uses_its_zone() -> None:
    assert times("at(2026-12-01T09:00:00)", "2026-11-24T00:00", zone="Asia/Tokyo") == ["2026-12-01T00:00"]


def test_rate_is_due_at_its_start_and_then_in_even_steps() -> None:
    rate = parse("rate(5 minutes)", ZoneInfo("UTC"), ANCHOR)
    assert rate.after(ANCHOR - timedelta(microseconds=1)) == ANCHOR
    assert rate.after(ANCHOR) == ANCHOR + timedelta(minutes=5)
    assert rate.after(ANCHOR + timedelta(minutes=14)) == ANCHOR + timedelta(minutes=15)


@pytest.mark.parametrize(
    "text",
    [
        "cron(0 0 * * * *)",
        "cron(0 0 ? * ? *)",
        "cron(0 0 * * ?)",
        "cron(60 0 * * ? *)",
        "cron(0 0 32 * ? *)",
        "cron(0 0 ? * MON#6 *)",
        "cron(0/0 0 * * ? *)",
        "cron(0 0 * FOO ? *)",
        "rate(1 minutes)",
        "rate(2 minute)",
        "rate(0 minutes)",
        "rate(5 seconds)",
        "at(2026-12-01)",
        "at(2026-13-01T00:00:00)",
        "every day",
        "",
    ],
)
def test_invalid_expression_is_refused(text: str) -> None:
    with pytest.raises(BadExpression):
        parse(text, ZoneInfo("UTC"), ANCHOR)
