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


POLICY = """\
{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": ["athena:StartQueryExecution", "athena:GetQueryResults"],
      "Resource": "arn:aws:athena:eu-west-1:123456789012:workgroup/lake"
    }
  ]
}
"""


def read(text: str, *, allow_short_margin: bool = False, policy: str = POLICY) -> Project:
    """Return the project of this text. `policy`: the only other file of its folder, iam/ingest.json."""

    def files(path: str) -> str:
        if path != "iam/ingest.json":
            raise FileNotFoundError(2, "No such file or directory", path)
        return policy

    return config.read(text, zones=ZoneInfo, now=NOW, allow_short_margin=allow_short_margin, files=files)


def problems(text: str, **files: str) -> tuple[Problem, ...]:
    with pytest.raises(Problems) as caught:
        read(text, **files)
    return caught.value.problems


def only(text: str, **files: str) -> Problem:
    found = problems(text, **files)
    assert len(found) == 1, found
    return found[0]


def with_job_key(line: str) -> str:
    return LEAST + line + "\n"
