"""How every screen writes sizes, durations, days, memory, labels and commands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dayfly.project import formatting

NOW = datetime(2026, 11, 24, 22, 41, tzinfo=UTC)


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (10_412_600, "10.4 MB"),
        (1_200_000_000, "1.2 GB"),
    ],
)
def test_sizes_have_decimal_units(count: int, shown: str) -> None:
    assert formatting.size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "column", "sentence"),
    [
        (-3, "0s", "0 s"),
        (0.4, "0s", "less than 1 s"),
        (59.9, "59s", "59 s"),
        (60, "1m00s", "1m00s"),
        (2084, "34m44s", "34m44s"),
        (3600, "1h00m", "1h00m"),
        (9672, "2h41m", "2h41m"),
        (86_400, "1d", "1d"),
        (273_600, "3d4h", "3d4h"),
    ],
)
def test_durations_are_cut_off_never_rounded_up(seconds: float, column: str, sentence: str) -> None:
    assert formatting.duration(seconds) == column
    assert formatting.duration(timedelta(seconds=seconds)) == column
    assert formatting.duration_phrase(seconds) == sentence


def test_tenths_are_shown_below_a_minute() -> None:
    assert formatting.duration_phrase(9.94, tenths=True) == "9.9 s"
    assert formatting.duration_phrase(60.5, tenths=True) == "1m00s"


@pytest.mark.parametrize(
    ("days", "shown"),
    [(0, "today"), (6, "Mon"), (-6, "Wed"), (7, "1 Dec"), (-7, "17 Nov"), (60, "23 Jan 2027")],
)
def test_near_days_are_weekdays_and_others_dates(days: int, shown: str) -> None:
    assert formatting.day(NOW + timedelta(days=days), UTC, NOW) == shown


def test_seconds_are_shown_only_if_there_are_any() -> None:
    assert formatting.day_time(NOW, UTC, NOW) == "today 22:41"
    assert formatting.day_time(NOW + timedelta(seconds=9), UTC, NOW) == "today 22:41:09"


@pytest.mark.parametrize(
    ("used", "total", "shown"),
    [
        (None, 4096, ""),
        (600, None, "peak memory 600 MB"),
        (2048, None, "peak memory 2.0 GB"),
        (600, 900, "peak memory 600 of 900 MB"),
        (102, 4096, "peak memory 102 MB of 4 GB"),
        (103, 4096, "peak memory 0.1 of 4 GB"),
    ],
)
def test_memory_is_in_one_unit(used: int | None, total: int | None, shown: str) -> None:
    assert formatting.memory(used, total) == shown


def test_labels_have_one_width_per_screen() -> None:
    assert formatting.labelled("next", "dayfly runs") == "next     dayfly runs"
    assert formatting.labelled("do", "this", width=3, indent=9) == "         do  this"
    assert formatting.labelled("kept", "") == "kept"


def test_long_command_is_cut_off() -> None:
    assert formatting.one_line("a\n  b") == "a b"
    assert formatting.one_line(["echo", "a b"]) == "echo 'a b'"
    assert len(formatting.one_line("x" * 200)) == 78
