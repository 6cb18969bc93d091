"""Durations are parsed to seconds, and seconds formatted as durations."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dayfly.project.file import durations


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("45m", 2700), ("2h", 7200), ("7d", 604_800), ("2h30m", 9000), ("1d1s", 86_401)]
)
def test_duration_is_read_as_seconds(text: str, seconds: int) -> None:
    assert durations.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "1.5h", "-1h", "30m2h", "1h 30m", "1H", "2w", "١h", "1h1h"])
def test_malformed_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        durations.seconds(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (4500, "1h15m"), (129_600, "36h"), (7_776_000, "90d"), (61, "1m1s")]
)
def test_seconds_are_written_short(seconds: int, text: str) -> None:
    assert durations.text(seconds) == text


@settings(deadline=None)
@given(st.integers(0, 10**9))
def test_written_duration_reads_back(seconds: int) -> None:
    assert durations.seconds(durations.text(seconds)) == seconds
