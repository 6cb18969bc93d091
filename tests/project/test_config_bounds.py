"""A dayfly.toml of any content is a project or a list of problems, in a short time: never another exception."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dayfly.core import texts
from dayfly.project.file.problems import Problems
from dayfly.project.file.warnings import find_warnings
from fuzz import files
from project.texts import LEAST, only, read, with_job_key

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize("value", ["[" * 5000 + "]" * 5000, "{a=" * 5000 + "1" + "}" * 5000, "[" * 9 + "]" * 9])
def test_deep_nesting_is_a_problem(value):
    assert only(with_job_key(f"env = {value}")).message == "tables and lists nest more than 8 levels deep"


def test_long_dotted_key_is_a_problem():
    assert "nest more than" in only(f"{'.'.join('a' * 3000)} = 1\n{LEAST}").message


@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 5000, "0x" + "f" * 5000, "9223372036854775808"])
@pytest.mark.parametrize("key", ["disk", "time_limit", "image", "setup"])
def test_number_beyond_64_bits_is_a_problem(key, number):
    assert only(with_job_key(f"{key} = {number}")).message == "a number has too many digits"


def test_long_number_is_reported_with_its_line():
    assert only(with_job_key("disk = " + "9" * 5000)).line == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#" * 1_000_001, "the file has 1,000,001 characters; at most 1,000,000"),
        (with_job_key(f"env = {{{', '.join(f'A{n} = 1' for n in range(1001))}}}"), "has 1,001 entries; at most 1,000"),
        (with_job_key(f"outputs = [{', '.join('1' * 1001)}]"), "has 1,001 entries; at most 1,000"),
        (with_job_key("k" * 257 + " = 1"), "a key has more than 256 characters"),
        (with_job_key('"\\u001b[31m" = 1'), "a key has the control character \\x1b"),
        (with_job_key('"\ud800" = 1'), "a key has half of a surrogate pair, which is no character"),
        (with_job_key('setup = "\ud800"'), "a string has half of a surrogate pair, which is no character"),
        (with_job_key(f'setup = "{"é" * 40_000}"'), "a string has more than 65,536 bytes"),
        (with_job_key(f'outputs = ["{"x" * 257}"]'), "a path has more than 256 characters"),
        (with_job_key('outputs = ["a\\nb"]'), "a path has the control character \\n"),
    ],
    ids=range(10),
)
def test_what_is_too_large_or_odd_is_a_problem(text, message):
    assert only(text).message == message


def test_message_shows_control_characters_escaped():
    with pytest.raises(Problems) as refused:
        read(LEAST.replace('"pi"', '"p\\u000ai"'))
    assert [line for line in refused.value.lines if line[0] == "error"] == [
        ("error", 'project (line 1): "p\\ni" is not 2 to 24 of a-z 0-9 -, without - at the ends')
    ]


@given(st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_any_file_is_a_project_or_problems(chance: random.Random) -> None:
    is_project_or_problems(files.text(chance))


@given(
    st.text(max_size=200),
    st.sampled_from(["project", "account", "timezone", "schedule", "disk", "env", "tags", "image"]),
)
@settings(max_examples=150, deadline=None)
def test_any_string_as_value_is_a_project_or_problems(text: str, key: str) -> None:
    quoted = "".join(f"\\U{ord(character):08x}" for character in text)
    is_project_or_problems(with_job_key(f'{key} = "{quoted}"') + f'[jobs."{quoted}"]\n')


def is_project_or_problems(text: str) -> None:
    lines = [("ok", "no problem")]
    try:
        find_warnings(read(text), NOW, ZoneInfo)
    except Problems as problems:
        lines = list(problems.lines)
    assert lines
    assert all(words == texts.escaped(words) for _, words in lines)
