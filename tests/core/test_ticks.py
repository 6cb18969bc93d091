"""Which version of a job is in force, and which of its ticks are overdue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from dayfly.core import names, ticks
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


def test_first_key_after_the_bound_is_the_version_in_force():
    keys = sorted([NEW.key, OLD.key, GONE.key])
    for hour in range(-1, 6):
        moment = NOON + hour * HOUR
        found = ticks.in_force((OLD, NEW, GONE), moment)
        after = [key for key in keys if key > names.version_bound(OLD.name, moment)]
        assert after[:1] == [version.key for version in (found,) if version]


def test_each_version_is_in_force_until_the_next():
    assert ticks.periods([GONE.key, OLD.key, NEW.key], NOON + 9 * HOUR) == [
        (OLD.key, NOON, NOON + 2 * HOUR),
        (NEW.key, NOON + 2 * HOUR, NOON + 4 * HOUR),
        (GONE.key, NOON + 4 * HOUR, NOON + 9 * HOUR),
    ]


def test_overdue_ticks_are_older_than_start_within():
    def overdue(now: datetime) -> list[int]:
        found = ticks.overdue(OLD.job.timetable, NOON, NOON + 2 * HOUR, now, ZoneInfo)
        return [tick.hour for tick in found]

    assert overdue(NOON + timedelta(minutes=10)) == []
    assert overdue(NOON + timedelta(minutes=11)) == [12]
    assert overdue(NOON + 5 * HOUR) == [12, 13]


def test_a_tick_is_due_by_the_versions_own_schedule():
    assert ticks.is_due(OLD.job.timetable, NOON + HOUR, ZoneInfo)
    assert not ticks.is_due(NEW.job.timetable, NOON + HOUR, ZoneInfo)


def test_both_kinds_of_version_survive_storage():
    for one in (OLD, GONE):
        assert read_version(write_version(one)) == one
