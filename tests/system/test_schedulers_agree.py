"""dayfly and localcloud each read schedules with their own code: both must name the same times."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from dayfly.core import schedule
from localcloud.services.scheduler import expressions

ZONES = [ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")]
# Days on which one of these clocks changes, and some on which none does.
DAYS = [
    date(2026, 3, 8),
    date(2026, 3, 29),
    date(2026, 4, 5),
    date(2026, 10, 4),
    date(2026, 10, 25),
    date(2026, 11, 1),
    date(2026, 2, 28),
    date(2028, 2, 29),
    date(2026, 12, 31),
]
MIXED = [
    "30 2 * * 1-5",
    "0 4 * * SUN",
    "*/20 1-3 * * *",
    "15 1 * * FRI-SUN",
    "0 0 1-31/10 JAN,jul *",
    "rate(15 minutes)",
    "rate(6 hours)",
    "cron(15 10 ? * 6L *)",
    "cron(0 2 L * ? *)",
    "cron(30 2 15W * ? *)",
    "cron(45 1 1W * ? *)",
    "cron(45 1 31W * ? *)",
    "cron(0 0 ? * 3#2 *)",
    "cron(0/20 2 ? 3,10 SUN 2027-2029)",
]


def fires(expression: str, zone: ZoneInfo, after: datetime, count: int) -> list[datetime]:
    """Return the times at which the local cloud's EventBridge would fire."""
    found: list[datetime] = []
    parsed = expressions.parse(expression, zone, after)
    moment: datetime | None = after
    while len(found) < count and (moment := parsed.after(moment)):
        found.append(moment)
    return found


@pytest.mark.parametrize("zone", ZONES, ids=str)
@pytest.mark.parametrize("written", MIXED)
def test_local_cloud_fires_exactly_at_the_ticks(written: str, zone: ZoneInfo) -> None:
    found = schedule.parse(written, zone)
    (expression,) = schedule.expressions(found)
    for day in DAYS:
        after = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=1)
        assert list(schedule.next_ticks(found, after, 8)) == fires(expression, zone, after, 8)
