"""Schedules: which minutes are due, in every zone and through every change of the clock; what is refused, and how."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dayfly.core import schedule
from dayfly.core.schedule import ScheduleError

BERLIN = ZoneInfo("Europe/Berlin")
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


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ticks(expression: str | list[str], zone: ZoneInfo, start: str, end: str) -> list[str]:
    found = schedule.ticks_between(schedule.parse(expression, zone), utc(start), utc(end))
    return [tick.strftime("%m-%dT%H:%M") for tick in found]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("30 2 * * 1-5", ["cron(30 2 ? * MON-FRI *)"]),
        ("30 2 * * 0", ["cron(30 2 ? * SUN *)"]),
        ("30 2 * * 7", ["cron(30 2 ? * SUN *)"]),
        ("30 2 * * FRI-SUN", ["cron(30 2 ? * SUN,FRI,SAT *)"]),
        ("30 2 * * *", ["cron(30 2 * * ? *)"]),
        ("*/20 * * * *", ["cron(0/20 * * * ? *)"]),
        ("0 0 1-31/10 JAN,jul *", ["cron(0 0 1/10 1,7 ? *)"]),
        ("0 9-17 * * *", ["cron(0 9-17 * * ? *)"]),
        ("0 0 1,15 * MON", ["cron(0 0 1,15 * ? *)", "cron(0 0 ? * MON *)"]),
        ("@weekly", ["cron(0 0 ? * SUN *)"]),
        ("cron(15 10 ? * 6L 2027-2028)", ["cron(15 10 ? * 6L 2027-2028)"]),
        ("cron( 0 8  ?  * mon-fri * )", ["cron(0 8 ? * MON-FRI *)"]),
        ("rate(1 minute)", ["cron(* * * * ? *)"]),
        ("rate(15 minutes)", ["cron(0/15 * * * ? *)"]),
        ("rate(120 minutes)", ["cron(0 0/2 * * ? *)"]),
        ("rate(24 hours)", ["cron(0 0 * * ? *)"]),
        ("rate(1 day)", ["cron(0 0 * * ? *)"]),
        ("at(2027-01-31T06:00:00)", ["at(2027-01-31T06:00:00)"]),
    ],
)
def test_each_form_has_its_eventbridge_expression(written: str, expected: list[str]) -> None:
    assert list(schedule.expressions(schedule.parse(written, BERLIN))) == expected


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("30 2 * * *", "every day"),
        ("30 2 * * 1-5", "Mon-Fri"),
        ("0 4 * * SUN", "Sundays"),
        ("0 4 * * 6,0", "Sat, Sun"),
        ("* * * * *", "every minute"),
        ("*/15 * * * *", "every 15 minutes"),
        ("5 * * * *", "every hour"),
        ("0 */6 * * *", "every 6 hours"),
        ("0 8,20 * * *", "every 12 hours"),
        ("0 8,9 * * MON", "Mondays, 2 times a day"),
        ("0 0 1 * *", "monthly, on the 1st"),
        ("cron(0 0 L * ? *)", "last day of the month"),
        ("cron(0 0 ? * 3#2 *)", "2nd Tue of the month"),
        ("0 0 24 12 *", "cron(0 0 24 12 ? *)"),
        ("at(2027-01-31T06:00:00)", "once"),
    ],
)
def test_schedule_has_a_short_description(written: str, words: str) -> None:
    assert schedule.describe(schedule.parse(written, BERLIN)) == words


def test_job_without_schedule_has_no_tick() -> None:
    none = schedule.parse([], BERLIN)
    assert schedule.describe(none) == "by hand"
    assert schedule.next_ticks(none, utc("2026-11-24T00:00"), 3) == ()
    assert not schedule.due(none, utc("2026-11-24T00:00"))


def test_tick_in_the_skipped_hour_is_skipped() -> None:
    # 29 March 2026: 02:00 becomes 03:00.
    found = ticks("30 2 * * *", BERLIN, "2026-03-28T00:00", "2026-03-31T00:00")
    assert found == ["03-28T01:30", "03-30T00:30"]


def test_tick_in_the_repeated_hour_comes_once_and_first() -> None:
    # 25 October 2026: 03:00 becomes 02:00; the first 02:30 is 00:30 UTC.
    daily = schedule.parse("30 2 * * *", BERLIN)
    assert ticks("30 2 * * *", BERLIN, "2026-10-25T00:00", "2026-10-26T00:00") == ["10-25T00:30"]
    assert schedule.due(daily, utc("2026-10-25T00:30"))
    assert not schedule.due(daily, utc("2026-10-25T01:30"))


def test_two_expressions_of_the_same_minute_are_one_tick() -> None:
    both = ["0 6 * * *", "cron(0 6 ? * TUE *)", "at(2026-11-24T06:00:00)"]
    assert ticks(both, ZoneInfo("UTC"), "2026-11-24T00:00", "2026-11-25T00:00") == ["11-24T06:00"]


def test_two_restricted_day_fields_mean_either() -> None:
    # November 2026: the 2nd, 9th, 16th are Mondays.
    found = ticks("0 0 1,15 * MON", ZoneInfo("UTC"), "2026-11-01T00:00", "2026-11-17T00:00")
    assert found == ["11-01T00:00", "11-02T00:00", "11-09T00:00", "11-15T00:00", "11-16T00:00"]


@pytest.mark.parametrize(
    ("written", "days"),
    [
        ("cron(0 0 L * ? *)", ["01-31", "02-28"]),
        ("cron(0 0 31W * ? *)", ["01-29"]),  # 31 Jan 2027 is a Sunday and the month's last; February has none
        ("cron(0 0 2W * ? *)", ["01-01", "02-02"]),  # 2 Jan is a Saturday
        ("cron(0 0 3W * ? *)", ["01-04", "02-03"]),  # 3 Jan is a Sunday
        ("cron(0 0 ? * 6L *)", ["01-29", "02-26"]),
        ("cron(0 0 ? * TUE#5 *)", []),
        ("cron(0 0 ? * SUN#5 *)", ["01-31"]),
        ("cron(0 0 ? 2 L *)", ["02-06", "02-13", "02-20", "02-27"]),
    ],
)
def test_eventbridge_letters_name_their_days(written: str, days: list[str]) -> None:
    found = ticks(written, ZoneInfo("UTC"), "2027-01-01T00:00", "2027-03-01T00:00")
    assert found == [f"{day}T00:00" for day in days]


def test_1w_of_a_month_that_starts_on_a_weekend_moves_forward() -> None:
    # 1 May 2027 is a Saturday, 1 August 2027 a Sunday.
    found = ticks("cron(0 0 1W 5,8 ? *)", ZoneInfo("UTC"), "2027-01-01T00:00", "2028-01-01T00:00")
    assert found == ["05-03T00:00", "08-02T00:00"]


def test_span_includes_its_start_and_excludes_its_end() -> None:
    assert ticks("0 * * * *", BERLIN, "2026-11-24T01:00", "2026-11-24T03:00") == ["11-24T01:00", "11-24T02:00"]
    hourly = schedule.parse("0 * * * *", BERLIN)
    assert schedule.next_ticks(hourly, utc("2026-11-24T01:00"), 1) == (utc("2026-11-24T02:00"),)


def test_ticks_are_lazy() -> None:
    minutely = schedule.parse("* * * * *", BERLIN)
    endless = schedule.ticks_between(minutely, utc("2026-11-24T00:00"), utc("2199-01-01T00:00"))
    assert len(list(islice(endless, 3))) == 3


def test_time_with_seconds_is_never_due() -> None:
    minutely = schedule.parse("* * * * *", BERLIN)
    assert schedule.due(minutely, utc("2026-11-24T01:00"))
    assert not schedule.due(minutely, utc("2026-11-24T01:00:01"))


def test_schedule_of_past_years_has_no_next_tick() -> None:
    assert schedule.next_ticks(schedule.parse("cron(0 0 1 1 ? 2020)", BERLIN), utc("2026-11-24T00:00"), 1) == ()


# --- rejected -------------------------------------------------------------------------------------------------------


def refusal(written: str) -> ScheduleError:
    with pytest.raises(ScheduleError) as caught:
        schedule.parse(written, BERLIN)
    return caught.value


@pytest.mark.parametrize(
    ("written", "suggestions"),
    [
        ("30 2 * * 1-5 *", ("30 2 * * 1-5", "cron(30 2 ? * MON-FRI *)", "cron(30 2 ? * 1-5 *)")),
        ("30 2 * * MON *", ("30 2 * * MON", "cron(30 2 ? * MON *)")),
        ("0 30 2 * * *", ("30 2 * * *", "cron(30 2 * * ? *)")),
        ("30 2 ? * 2-6 *", ("cron(30 2 ? * 2-6 *)",)),
        ("0 30 2 * * 1-5 *", ("30 2 * * 1-5",)),
        ("cron(30 2 * * 1-5)", ("30 2 * * 1-5", "cron(30 2 ? * MON-FRI *)")),
        ("cron(30 2 * * 1-5 *)", ("cron(30 2 ? * MON-FRI *)", "cron(30 2 ? * 1-5 *)")),
        ("cron(30 2 * * * *)", ("cron(30 2 * * ? *)",)),
        ("cron(30 2 ? * ? *)", ("cron(30 2 * * ? *)",)),
        ("cron(30 2 1 * * 2027)", ("cron(30 2 1 * ? 2027)",)),
        ("cron(30 2 1 * MON *)", ()),
        ("30 2 ? * MON", ("30 2 * * MON",)),
        ("rate(7 minutes)", ("rate(6 minutes)", "rate(10 minutes)")),
        ("rate(59 minutes)", ("rate(30 minutes)", "rate(60 minutes)")),
        ("rate(90 minutes)", ("rate(1 hour)", "rate(2 hours)")),
        ("rate(5 hours)", ("rate(4 hours)", "rate(6 hours)")),
        ("rate(48 hours)", ("rate(24 hours)",)),
        ("rate(7 days)", ("0 0 * * MON",)),
        ("rate(3 days)", ("0 0 1-31/3 * *",)),
        ("at(2027-03-28T02:30:00)", ("at(2027-03-28T03:30:00)",)),
        ("at(2027-03-28T04:30:10)", ("at(2027-03-28T04:30:00)",)),
    ],
)
def test_trap_is_rejected_with_what_it_may_have_meant(written: str, suggestions: tuple[str, ...]) -> None:
    error = refusal(written)
    assert error.suggestions == suggestions
    for reading in suggestions:
        assert schedule.next_ticks(schedule.parse(reading, BERLIN), utc("2026-11-24T00:00"), 1)


@pytest.mark.parametrize(
    ("written", "word"),
    [
        ("75 * * * *", 'minute "75" is not 0-59'),
        ("0 24 * * *", 'hour "24" is not 0-23'),
        ("0 0 0 * *", 'day of the month "0"'),
        ("0 0 * 13 *", "JAN-DEC"),
        ("0 0 * * 8", "SUN-SAT"),
        ("0 0 * * SAT-MON", "runs backwards"),
        ("*/0 * * * *", "step"),
        ("5/15 * * * *", "implementations differ"),
        ("0 0 */2 * MON", "with"),
        ("0 0 30 2 *", "is never due"),
        ("cron(0 0 30 2 ? *)", "is never due"),
        ("cron(0 0 LW * ? *)", "LW"),
        ("cron(0 0 1,L * ? *)", "1,L"),
        ("cron(0 0 ? * 0 *)", "1-7"),
        ("cron(0 0 ? * MON#1,TUE#2 *)", "MON#1,TUE#2"),
        ("cron(0 0 * *)", "4 fields"),
        ("rate(0 minutes)", "rate(15 minutes)"),
        ("rate(minute)", "rate(15 minutes)"),
        ("at(2027-01-31 06:00)", "at(2027-01-31T06:00:00)"),
        ("at(2027-01-31T06:00:00Z)", "at(2027-01-31T06:00:00)"),
        ("at(0001-01-01T00:00:00)", "1970 to 2199"),
        ("at(9999-12-31T23:59:00)", "1970 to 2199"),
        ("@reboot", "@reboot"),
        ("every day", "not a schedule"),
        ("", "not a schedule"),
        ("² * * * *", "minute"),
    ],
)
def test_invalid_schedule_is_rejected_by_name(written: str, word: str) -> None:
    assert word in str(refusal(written))


# --- against a scan of every minute -----------------------------------------------------------------------------------


def numbers(low: int, high: int) -> st.SearchStrategy[frozenset[int]]:
    return st.one_of(
        st.just(frozenset(range(low, high + 1))), st.frozensets(st.integers(low, high), min_size=1, max_size=4)
    )


@st.composite
def written_and_sets(draw: st.DrawFn) -> tuple[str, tuple[frozenset[int], ...]]:
    """Return a crontab line with one day field at `*`, and the values of each field."""
    spans = [(0, 59), (0, 3), (1, 31), (1, 12), (0, 6)]
    sets = [draw(numbers(low, high)) for low, high in spans]
    sets[draw(st.sampled_from([2, 4]))] = frozenset()  # this one is `*`
    texts = [",".join(str(value) for value in sorted(values)) or "*" for values in sets]
    return " ".join(texts), tuple(sets)


def matches(local: datetime, sets: tuple[frozenset[int], ...]) -> bool:
    values = (local.minute, local.hour, local.day, local.month, local.isoweekday() % 7)
    return all(not allowed or value in allowed for value, allowed in zip(values, sets, strict=True))


@settings(max_examples=120, deadline=None)
@given(written_and_sets(), st.sampled_from(ZONES), st.sampled_from(DAYS))
def test_ticks_equal_a_scan_of_every_minute(
    line: tuple[str, tuple[frozenset[int], ...]], zone: ZoneInfo, day: date
) -> None:
    written, sets = line
    try:
        found = schedule.parse(written, zone)
    except ScheduleError as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        assert "is never due" in refused
        return
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=14)
    minutes = [start + timedelta(minutes=number) for number in range(40 * 60)]
    seen: set[datetime] = set()
    expected = []
    for minute in minutes:
        local = minute.astimezone(zone).replace(tzinfo=None)
        repeated = minute.astimezone(zone).fold == 1
        if matches(local, sets) and local not in seen and not repeated:
            expected.append(minute)
        seen.add(local)
    assert list(schedule.ticks_between(found, minutes[0], minutes[-1] + timedelta(minutes=1))) == expected
    assert [minute for minute in minutes if schedule.due(found, minute)] == expected


@settings(max_examples=150, deadline=None)
@given(written_and_sets(), st.sampled_from(ZONES), st.sampled_from(DAYS))
def test_eventbridge_expressions_have_the_same_ticks(
    line: tuple[str, tuple[frozenset[int], ...]], zone: ZoneInfo, day: date
) -> None:
    try:
        crontab = schedule.parse(line[0], zone)
    except ScheduleError:
        return
    given_to_aws = schedule.parse(schedule.expressions(crontab), zone)
    after = datetime(day.year, day.month, day.day, tzinfo=UTC)
    assert schedule.next_ticks(given_to_aws, after, 20) == schedule.next_ticks(crontab, after, 20)
