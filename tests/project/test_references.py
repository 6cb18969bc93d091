"""Names of runs as users type them, in the job's zone or in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dayfly.core.names import RunName, run_name
from dayfly.errors import FileError, NotFoundError
from dayfly.project.runs import references

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = run_name("ingest@2026-11-24T01:30:00Z")
BEFORE = run_name("ingest@2026-11-23T01:30:00Z")
BY_HAND = run_name("ingest@2026-11-25T13:03:22Z")
RUNS = [NIGHT, BY_HAND, BEFORE, run_name("other@2026-11-24T01:30:00Z")]


def resolve(text: str, runs: list[RunName] = RUNS) -> RunName:
    return references.resolve(references.parse(text), runs, BERLIN)


@pytest.mark.parametrize(
    ("text", "run"),
    [
        ("ingest", BY_HAND),
        ("ingest@2026-11-24", NIGHT),
        ("ingest@2026-11-24T01:30Z", NIGHT),
        ("ingest@2026-11-24T01:30:00Z", NIGHT),
        ("ingest@2026-11-24T02:30", NIGHT),
        ("ingest@2026-11-24T02:30:00", NIGHT),
        ("ingest@2026-11-25T13:03Z", BY_HAND),
        ("ingest@2026-11-25T14:03", BY_HAND),
    ],
)
def test_run_has_many_short_names(text: str, run: RunName) -> None:
    assert resolve(text) == run


def test_day_is_in_the_jobs_zone() -> None:
    late = run_name("ingest@2026-11-23T23:30:00Z")
    assert resolve("ingest@2026-11-24", [late]) == late


def test_time_to_the_minute_matches_that_minute_only() -> None:
    with pytest.raises(NotFoundError):
        resolve("ingest@2026-11-25T13:04Z")


def test_time_with_seconds_matches_to_the_second() -> None:
    with pytest.raises(NotFoundError):
        resolve("ingest@2026-11-25T13:03:00Z")


def test_two_matching_runs_are_both_listed() -> None:
    twin = run_name("ingest@2026-11-25T13:03:23Z")
    with pytest.raises(NotFoundError) as caught:
        resolve("ingest@2026-11-25T13:03Z", [*RUNS, twin])
    assert caught.value.exit_code == 4
    assert [text for _, text in caught.value.lines] == [str(BY_HAND), str(twin)]


def test_local_time_that_occurred_twice_names_both_runs() -> None:
    # 25 October 2026: 02:30 in Berlin was 00:30 and 01:30 UTC.
    runs = [run_name("ingest@2026-10-25T00:30:00Z"), run_name("ingest@2026-10-25T01:30:00Z")]
    with pytest.raises(NotFoundError, match="2 runs"):
        resolve("ingest@2026-10-25T02:30", runs)
    assert resolve("ingest@2026-10-25T01:30Z", runs) == runs[1]


def test_unknown_run_names_the_nearest() -> None:
    with pytest.raises(NotFoundError) as caught:
        resolve("ingest@2026-11-22")
    assert caught.value.lines[0][1] == "ingest@2026-11-23T01:30Z"
    assert "other" not in str(caught.value.lines)


def test_job_without_runs_says_so() -> None:
    with pytest.raises(NotFoundError, match="has no runs yet"):
        resolve("train")


def test_unknown_job_names_the_nearest() -> None:
    assert references.known_job("ingest", ["ingest", "train"]) == "ingest"
    with pytest.raises(NotFoundError) as caught:
        references.known_job("ingset", ["ingest", "train"])
    assert caught.value.hint == "did you mean ingest?"


@pytest.mark.parametrize(
    "text",
    ["", "@2026-11-24", "in gest", "ingest@", "ingest@yesterday", "ingest@2026-13-01", "ingest@2026-02-30T01:00Z",
     "ingest@2026-11-24Z", "ingest@2026-11-24T1:30", "ingest@2026-11-24T01:30Z/eu-west-1", "ingest@２０２６-11-24"],
)  # fmt: skip
def test_malformed_run_name_is_refused(text: str) -> None:
    with pytest.raises(FileError, match="not the name of a run"):
        references.parse(text)


def test_short_name_has_seconds_only_if_needed() -> None:
    twin = run_name("ingest@2026-11-25T13:03:23Z")
    assert references.short(BY_HAND, RUNS) == "ingest@2026-11-25T13:03Z"
    assert references.short(BY_HAND, [*RUNS, twin]) == "ingest@2026-11-25T13:03:22Z"


@settings(deadline=None)
@given(st.lists(st.integers(0, 400_000), min_size=1, max_size=8, unique=True))
def test_every_short_name_finds_its_run(seconds: list[int]) -> None:
    start = datetime(2026, 10, 24, tzinfo=UTC)
    runs = [RunName("ingest", start + timedelta(seconds=second)) for second in seconds]
    for run in runs:
        assert resolve(references.short(run, runs), runs) == run
