"""The agent's copy of the treaty's words is the treaty's; what it says to itself is judged without a server."""

from __future__ import annotations

import ast
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dayfly.core import names
from dayfly.remote.agent import ended, job, metadata, outputs, switch, words

AGENT = Path(words.__file__).parent
MOMENT = datetime(2026, 11, 24, 22, 41, 7, 123_999, UTC)
PREFIX = names.out_prefix(names.run_name("pi@2026-11-24T22:41:00Z"), 1, "AROAX", "i-1")
GO = {"tick": "t", "day": "d", "run": "r", "job": "j", "attempt": 1, "region": "eu-west-1"}
FOUND = outputs.Found(["a"], [], [])
GOOD = job.Course(1.0, 2.0, 0)


@pytest.mark.parametrize("word", ["FORMAT", "TAG_BUCKET", "TAG_ROLE", "TAG_LIFETIME"])
def test_the_agents_words_are_those_of_the_treaty(word: str) -> None:
    assert getattr(words, word) == getattr(names, word)


def test_the_agents_keys_are_those_of_the_treaty() -> None:
    assert words.go_key("AROAX", "i-1") == names.go_key("AROAX", "i-1")
    assert words.log_key(PREFIX, 12) == names.log_key(PREFIX, 12)


def test_a_job_finds_every_variable_of_the_treaty_and_no_other() -> None:
    assert tuple(words.job_variables(GO, "z")) == names.JOB_VARIABLES


def test_times_are_written_as_the_treaty_writes_them() -> None:
    assert words.utc_text(MOMENT.timestamp()) == names.utc_text(MOMENT)
    assert words.utc_millis(MOMENT.timestamp()) == "2026-11-24T22:41:07.123Z"


def test_the_agent_imports_only_the_standard_library_and_itself() -> None:
    for path in AGENT.glob("*.py"):
        for line in ast.walk(ast.parse(path.read_text(), feature_version=(3, 9))):
            modules = [line.module or ""] if isinstance(line, ast.ImportFrom) else []
            modules += [name.name for name in line.names] if isinstance(line, ast.Import) else []
            for module in modules:
                own = module == "dayfly.remote.agent" or module.startswith("dayfly.remote.agent.")
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
    ("course", "found", "unsaved", "guest", "verdict"),
    [
        (GOOD, FOUND, [], False, ("succeeded", "")),
        (GOOD, FOUND._replace(missing=["b"]), [], False, ("failed", "output-missing")),
        (GOOD, FOUND, ["a: 403"], False, ("failed", "not-saved")),
        (GOOD._replace(timed_out=True), FOUND, [], False, ("timed-out", "")),
        (GOOD._replace(exit=3), FOUND._replace(missing=["b"]), ["a"], False, ("failed", "exit 3")),
        (GOOD._replace(exit=1, disk_full=True), FOUND, [], False, ("failed", "disk-full")),
        (GOOD._replace(disk_full=True), FOUND, [], False, ("succeeded", "")),
        (GOOD._replace(exit=None, signal=9, memory_kills=1), FOUND, [], False, ("failed", "out-of-memory")),
        (GOOD._replace(exit=137, memory_kills=1), FOUND, [], False, ("failed", "out-of-memory")),
        (GOOD._replace(exit=None, signal=9, memory_kills=1), FOUND, [], True, ("failed", "killed by signal 9")),
        (GOOD._replace(exit=None, signal=15), FOUND, [], False, ("failed", "killed by signal 15")),
        (GOOD._replace(exit=None), FOUND, [], False, ("failed", "unknown")),
        (None, FOUND, [], False, ("failed", "unknown")),
    ],
)
def test_the_outcome_is_what_was_seen(
    course: job.Course | None, found: outputs.Found, unsaved: list[str], guest: bool, verdict: tuple[str, str]
) -> None:
    judged = ended.judge(course, None, found, unsaved, 60, guest)
    assert (judged.outcome, judged.reason) == verdict


@pytest.mark.parametrize(
    ("age", "seconds", "alive", "missing", "words_"),
    [
        (99.0, 100, True, 0, ""),
        (100.0, 100, True, 0, "lifetime of 100 s is over"),
        (599.0, None, None, 0, ""),
        (600.0, None, True, 0, "lifetime unknown"),
        (600.0, 900, None, 0, "the agent did not start within 10 min of boot"),
        (600.0, 900, True, 0, ""),
        (5.0, 900, False, 1, ""),
        (5.0, 900, False, 2, "agent gone"),
    ],
)
def test_the_switch_acts_when_it_must(
    age: float, seconds: int | None, alive: bool | None, missing: int, words_: str
) -> None:
    assert switch.why(age, seconds, alive, missing) == words_


def test_the_first_timer_of_systemd_asks_for_both_lifetime_and_agent(tmp_path: Path) -> None:
    assert switch.check(str(tmp_path)) == "lifetime unknown"
    (tmp_path / "armed").write_text("900")
    assert switch.check(str(tmp_path)) == "the agent did not start within 10 min of boot"
    (tmp_path / "agent.lock").touch()
    assert switch.check(str(tmp_path)) is None


def test_a_second_boot_of_a_machine_is_one_with_another_boot_id(tmp_path: Path) -> None:
    assert not switch.second_boot(str(tmp_path), "i-1", "machine")
    assert not switch.second_boot(str(tmp_path), "i-1", "machine")
    (tmp_path / "boots" / "i-1").write_text("the boot before")
    assert switch.second_boot(str(tmp_path), "i-1", "machine")
    assert not switch.second_boot(str(tmp_path), "i-2", "machine")


def test_metadata_that_nobody_serves_is_an_error_after_its_patience() -> None:
    lost = metadata.Metadata({words.METADATA_ENDPOINT: "http://127.0.0.1:9"})
    with pytest.raises(OSError, match="instance metadata instance-id"):
        lost.get("instance-id", 0)
