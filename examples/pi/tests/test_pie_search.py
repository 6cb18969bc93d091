"""The size of the next result, chosen from measurements."""

import subprocess
import sys
from pathlib import Path

import pytest
from pie_calls import WITHOUT_FLINT, environment

pytest.importorskip("flint", reason=WITHOUT_FLINT)

from pie import room
from pie.search import LAST_REACH, LAST_SHARE, LAST_SHARE_BUSY, PROBE_REACH, Pace, last_share, most_digits, next_size

PLENTY = 10**12


def paces(*measured: tuple[int, float]) -> tuple[Pace, ...]:
    pace = Pace()
    for digits, seconds in measured:
        pace.add(digits, seconds)
    return (pace,)


def test_chosen_digits_fit_the_seconds() -> None:
    known = paces((20_000, 0.01), (1_000_000, 0.5))
    size = most_digits(known, 30.0)
    assert known[0].seconds(size) <= 30.0 < known[0].seconds(int(size * 1.01))


def test_slower_machine_gets_fewer_digits() -> None:
    assert most_digits(paces((20_000, 0.1)), 10) < most_digits(paces((20_000, 0.01)), 10) / 4


def test_no_time_left_means_no_digits() -> None:
    assert most_digits(paces((20_000, 0.01)), -1.0) == 0
    assert next_size(paces((20_000, 0.01)), 20_000, 0.0, PLENTY, 0.9) == (0, True)


def test_far_goal_is_approached_by_a_probe() -> None:
    size, last = next_size(paces((20_000, 0.005)), 20_000, 600.0, PLENTY, 0.9)
    assert not last
    assert 20_000 < size <= PROBE_REACH * 20_000


def test_near_goal_is_the_last_result() -> None:
    size, last = next_size(paces((20_000, 0.01), (1_000_000, 1.0)), 1_000_000, 10.0, PLENTY, 0.9)
    assert last
    assert 1_000_000 < size <= LAST_REACH * 1_000_000


def test_small_gain_is_not_worth_its_time() -> None:
    assert next_size(paces((20_000, 0.01), (1_000_000, 1.0)), 1_000_000, 1.2, PLENTY, 0.9) == (0, True)


def test_no_result_is_larger_than_the_room() -> None:
    size, _ = next_size(paces((20_000, 0.01), (1_000_000, 1.0)), 1_000_000, 10.0, 1_500_000, 0.9)
    assert size == 1_500_000


def test_busy_machine_plans_for_less_within_limits() -> None:
    assert last_share(1.0, 0.0) == LAST_SHARE
    assert LAST_SHARE_BUSY < last_share(1.0, 0.1) < LAST_SHARE
    assert last_share(1.0, 3.0) == LAST_SHARE_BUSY


def test_busy_machine_takes_smaller_steps() -> None:
    known = paces((20_000, 0.01), (1_000_000, 1.0))
    calm, calm_last = next_size(known, 1_000_000, 10.0, PLENTY, LAST_SHARE)
    busy, busy_last = next_size(known, 1_000_000, 10.0, PLENTY, LAST_SHARE_BUSY)
    assert (calm_last, busy_last) == (True, False)
    assert 1_000_000 < busy < calm


def test_waiting_for_a_core_is_counted() -> None:
    if not Path("/proc/self/schedstat").exists():
        pytest.skip("no /proc/self/schedstat here")
    # Two processes on one core for 0.4 s: each waits for about half of it.
    code = (
        "import os, time; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from pie import clock; child = os.fork(); end = time.monotonic() + 0.4\n"
        "while time.monotonic() < end: pass\n"
        "if child: print(clock.queued()); os.waitpid(child, 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert float(run.stdout) > 0.05, run.stderr


def test_this_machine_has_some_room(tmp_path: Path) -> None:
    digits, what = room.largest(tmp_path)
    assert 0 < digits < room.UNLIMITED
    assert what in ("memory", "disk")
