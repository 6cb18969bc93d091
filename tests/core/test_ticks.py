"""Which version of a job is in force, and which of its ticks are overdue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from dayfly.core import ticks
from dayfly.core.model import Removed
from dayfly.core.versions import read_version, write_version
from model.cloud import version

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
OLD = version(NOON, schedule=("0 * * * *",), timezone="UTC", start_within_s=600)
NEW = version(NOON + 2 * HOUR, schedule=("30 * * * *",), timezone="UTC", start_within_s=600)
GONE = Removed(name="pi", effective_from=NOON + 4 * HOUR, deployed_by="ben")


def test_version_in_force_is_the_newest_that_has_begun():
    versions = (NEW, GONE, OLD)
    assert ticks.in_force(versions, NOON - HOUR) is None
    assert ticks.in_force(versions, NOON) is OLD
    assert ticks.in_force(versions, NOON + 3 * HOUR) is NEW
    assert ticks.in_force(versions, NOON + 5 * HOUR) is GONE


def test_keys_alone_tell_the_version_in_force():
    keys = [NEW.key, OLD.key, GONE.key]
    for hour in range(-1, 6):
        found = ticks.in_force((OLD, NEW, GONE), NOON + hour * HOUR)
        assert ticks.key_in_force(keys, NOON + hour * HOUR) == (found and found.key)


def test_each_version_is_in_force_until_the_next():
    assert ticks.periods([GONE.key, OLD.key, NEW.key], NOON + 9 * HOUR) == [
        (OLD.key, NOON, NOON + 2 * HOUR),
        (NEW.key, NOON + 2 * HOUR, NOON + 4 * HOUR),
        (GONE.key, NOON + 4 * HOUR, NOON + 9 * HOUR),
    ]


def test_overdue_ticks_are_older_than_start_within():
    def overdue(now: datetime, grace: timedelta = timedelta(0)) -> list[int]:
        found = ticks.overdue(OLD, NOON, NOON + 2 * HOUR, now, ZoneInfo, grace)
        return [tick.hour for tick in found]

    assert overdue(NOON + timedelta(minutes=10)) == []
    assert overdue(NOON + timedelta(minutes=11)) == [12]
    assert overdue(NOON + timedelta(minutes=11), timedelta(minutes=2)) == []
    assert overdue(NOON + 5 * HOUR) == [12, 13]


def test_a_tick_is_due_by_the_versions_own_schedule():
    assert ticks.is_due(OLD, NOON + HOUR, ZoneInfo)
    assert not ticks.is_due(NEW, NOON + HOUR, ZoneInfo)


def test_both_kinds_of_version_survive_storage():
    for one in (OLD, GONE):
        assert read_version(write_version(one)) == one
