"""Functions of server code without a server: the names it shares with core/names.py, output patterns, outcomes, the switch's reasons."""

from __future__ import annotations

import ast
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dayfly.core import names as core
from dayfly.core.intervals import NORMAL
from dayfly.remote.agent import job, outcome, outputs
from dayfly.remote.agent import names as agent_names
from dayfly.remote.boot import metadata, names, switch

REMOTE = Path(names.__file__).parents[1]
MOMENT = datetime(2026, 11, 24, 22, 41, 7, 123_999, UTC)
PREFIX = core.out_prefix(core.run_name("pi@2026-11-24T22:41:00Z"), 1, "AROAX", "i-1")
GO = {"tick": "t", "day": "d", "run": "r", "job": "j", "attempt": 1, "region": "eu-west-1"}
FOUND = outputs.Matches(["a"], [], [])
GOOD = job.Result(1.0, 2.0, 0)


@pytest.mark.parametrize("word", ["FORMAT", "TAG_BUCKET", "TAG_ROLE", "TAG_LIFETIME", "TAG_DEADLINE"])
def test_shared_name_equals_core(word: str) -> None:
    assert getattr(names, word) == getattr(core, word)


def test_keys_equal_core() -> None:
    assert names.go_key("AROAX", "i-1") == core.go_key("AROAX", "i-1")
    assert agent_names.log_key(PREFIX, 12) == core.log_key(PREFIX, 12)
    assert agent_names.cancel_key(PREFIX) == core.go_cancel_key("AROAX", "i-1")


def test_job_gets_exactly_the_documented_variables() -> None:
    assert tuple(agent_names.job_variables(GO, "z", "last", "scratch")) == core.JOB_VARIABLES


def test_times_are_formatted_as_in_core() -> None:
    assert names.utc_text(MOMENT.timestamp()) == core.utc_text(MOMENT)
    assert names.utc_millis(MOMENT.timestamp()) == "2026-11-24T22:41:07.123Z"


@pytest.mark.parametrize(("room", "imported"), [("boot", ("boot",)), ("agent", ("agent", "boot"))])
def test_server_code_imports_only_standard_library_and_itself(room: str, imported: tuple[str, ...]) -> None:
    for path in (REMOTE / room).glob("*.py"):
        for line in ast.walk(ast.parse(path.read_text(), feature_version=(3, 9))):
            modules = [line.module or ""] if isinstance(line, ast.ImportFrom) else []
            modules += [name.name for name in line.names] if isinstance(line, ast.Import) else []
            for module in modules:
                own = module.startswith(tuple(f"dayfly.remote.{each}" for each in imported))
                assert own or module.split(".")[0] in sys.stdlib_module_names, f"{path.name}: {module}"


@pytest.mark.parametrize(
    ("path", "pattern", "fits"),
    [
        ("out/a.txt", "out/*.txt", True),
        ("out/b/a.txt", "out/*.txt", False),
        ("out/b/a.txt", "out/**/*.txt", True),
        ("out/a.txt", "out/**/*.txt", True),
        ("out/b/c/a", "out/**", True),
        ("out/b/c/a", "out/", True),
        ("out", "out/", False),
        ("a", "**", True),
        ("a", "./a", True),
        ("a1", "a[0-9]", True),
        ("ab", "a[!0-9]", True),
        ("ab", "a?", True),
        ("A", "a", False),
        (".hidden", "*", False),
        (".hidden", ".*", True),
        (".d/a", "**/a", False),
        ("a/.d/b", "a/**", False),
        ("a+b", "a+b", True),
    ],
)
def test_patterns_match_as_in_a_shell(path: str, pattern: str, fits: bool, tmp_path: Path) -> None:
    full = tmp_path / path
    full.parent.mkdir(parents=True, exist_ok=True)
    full.write_text("x")
    assert outputs.find(str(tmp_path), [pattern]).paths == ([path] if fits else [])


@pytest.mark.parametrize(
    ("result", "found", "unsaved", "guest", "verdict"),
    [
        (GOOD, FOUND, [], False, ("succeeded", "")),
        (GOOD, FOUND._replace(missing=["b"]), [], False, ("failed", "output-missing")),
        (GOOD, FOUND, ["a: 403"], False, ("failed", "not-saved")),
        (GOOD._replace(timed_out=True), FOUND, [], False, ("timed-out", "")),
        (GOOD._replace(cancelled=True, exit=0), FOUND, [], False, ("cancelled", "cancelled")),
        (GOOD._replace(exit=3), FOUND._replace(missing=["b"]), ["a"], False, ("failed", "exit 3")),
        (GOOD._replace(exit=1, disk_full=True), FOUND, [], False, ("failed", "disk-full")),
        (GOOD._replace(disk_full=True), FOUND, [], False, ("succeeded", "")),
        (GOOD._replace(exit=None, signal=9, oom_kills=1), FOUND, [], False, ("failed", "out-of-memory")),
        (GOOD._replace(exit=137, oom_kills=1), FOUND, [], False, ("failed", "out-of-memory")),
        (GOOD._replace(exit=None, signal=9, oom_kills=1), FOUND, [], True, ("failed", "killed by signal 9")),
        (GOOD._replace(exit=None, signal=15), FOUND, [], False, ("failed", "killed by signal 15")),
        (GOOD._replace(exit=None), FOUND, [], False, ("failed", "unknown")),
        (None, FOUND, [], False, ("failed", "unknown")),
    ],
)
def test_outcome_follows_from_observations(
    result: job.Result | None, found: outputs.Matches, unsaved: list[str], guest: bool, verdict: tuple[str, str]
) -> None:
    judged = outcome.decide(result, None, found, unsaved, 60, guest)
    assert (judged.outcome, judged.reason) == verdict


@pytest.mark.parametrize(
    ("age", "seconds", "alive", "missing", "reason"),
    [
        (99.0, 100, True, 0, ""),
        (100.0, 100, True, 0, "past its deadline"),
        (599.0, None, None, 0, ""),
        (600.0, None, True, 0, "lifetime unknown"),
        (600.0, 900, None, 0, "the agent did not start within 10 min of boot"),
        (600.0, 900, True, 0, ""),
        (5.0, 900, False, 1, ""),
        (5.0, 900, False, 2, "agent gone"),
    ],
)
def test_switch_powers_off_for_each_reason(
    age: float, seconds: int | None, alive: bool | None, missing: int, reason: str
) -> None:
    assert switch.why(age, seconds, alive, missing) == reason


LAUNCH = datetime(2026, 11, 24, 22, 41, tzinfo=UTC).timestamp()
LATEST_LAUNCH_S = int(NORMAL.launch_for.total_seconds())
BOOT_S = 60


@pytest.mark.parametrize("clock_error", [0, -20 * 365 * 86400, -3600, -90, 90, 600, 3600, 365 * 86400])
@pytest.mark.parametrize("lifetime", [1, 60, 960, 86400, 2 * 366 * 86400])
@pytest.mark.parametrize("delay", [0, 1, 75, LATEST_LAUNCH_S, LATEST_LAUNCH_S + BOOT_S])
def test_switch_counts_to_the_deadline_and_no_clock_lengthens_a_life(
    delay: int, lifetime: int, clock_error: int
) -> None:
    """`delay`: between the intent and the kernel's boot. A right clock gives the deadline, any other at most the lifetime from boot."""
    deadline = core.utc_text(datetime.fromtimestamp(LAUNCH + lifetime, UTC))
    booted = LAUNCH + delay
    ends = booted + switch.count_down(lifetime, deadline, booted + clock_error)
    assert ends <= booted + lifetime
    assert ends <= LAUNCH + lifetime + LATEST_LAUNCH_S + BOOT_S
    if clock_error == 0:
        assert ends == max(booted + 1, LAUNCH + lifetime)


def test_switch_does_not_believe_a_clock_that_puts_the_boot_outside_the_launch() -> None:
    deadline = core.utc_text(datetime.fromtimestamp(LAUNCH + 86400, UTC))
    assert switch.count_down(86400, deadline, LAUNCH + 900) == 86400 - 900
    assert switch.count_down(86400, deadline, LAUNCH + 901) == 86400
    assert switch.count_down(86400, deadline, LAUNCH - 1) == 86400
    assert switch.count_down(86400, "soon", LAUNCH) == 86400


def test_first_systemd_timer_requires_lifetime_and_agent(tmp_path: Path) -> None:
    assert switch.check(str(tmp_path)) == "lifetime unknown"
    (tmp_path / "armed").write_text("900")
    assert switch.check(str(tmp_path)) == "the agent did not start within 10 min of boot"
    (tmp_path / "agent.lock").touch()
    assert switch.check(str(tmp_path)) is None


def test_second_boot_has_another_boot_id(tmp_path: Path) -> None:
    assert not switch.second_boot(str(tmp_path), "i-1", "machine")
    assert not switch.second_boot(str(tmp_path), "i-1", "machine")
    (tmp_path / "boots" / "i-1").write_text("the boot before")
    assert switch.second_boot(str(tmp_path), "i-1", "machine")
    assert not switch.second_boot(str(tmp_path), "i-2", "machine")


def test_unreachable_metadata_raises_after_patience() -> None:
    lost = metadata.Metadata({names.METADATA_ENDPOINT: "http://127.0.0.1:9"})
    with pytest.raises(OSError, match="instance metadata instance-id"):
        lost.get("instance-id", 0)
