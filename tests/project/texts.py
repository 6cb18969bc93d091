"""Texts of dayfly.toml that tests of the configuration change, and functions that read them."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files
from zoneinfo import ZoneInfo

import pytest

from dayfly.core.model import Project
from dayfly.project.file import config
from dayfly.project.file.problems import Problem, Problems

NOW = datetime(2026, 11, 24, 13, 0, tzinfo=UTC)
EXAMPLE = (files("dayfly") / "example.toml").read_text(encoding="utf-8")

LEAST = """\
project = "pi"
regions = ["eu-west-1"]

[jobs.pi]
command = "pie 600 out/pi.txt"
servers = ["c8g.large"]
"""


def read(text: str, *, allow_short_margin: bool = False) -> Project:
    return config.read(text, zones=ZoneInfo, now=NOW, allow_short_margin=allow_short_margin)


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(Problems) as caught:
        read(text)
    return caught.value.problems


def only(text: str) -> Problem:
    found = problems(text)
    assert len(found) == 1, found
    return found[0]


def with_job_key(line: str) -> str:
    return LEAST + line + "\n"
