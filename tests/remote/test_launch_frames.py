"""How deep a launch is: the frames from the launcher's handler to the client that sends CreateFleet, as ARCHITECTURE.md tells them."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cloud.wire import REFUSED, Wire
from dayfly.core import names
from dayfly.core.versions import write_version
from dayfly.errors import DayflyError
from dayfly.remote import environment, launcher
from model.cloud import version
from remote.frames import frames

ROOT = Path(__file__).parents[2]
MOST = 8
ENDPOINT = "http://127.0.0.1:9"
ENVIRONMENT = {
    "AWS_REGION": "eu-west-1",
    "AWS_ENDPOINT_URL": ENDPOINT,
    "AWS_ACCESS_KEY_ID": "a",
    "AWS_SECRET_ACCESS_KEY": "b",
    names.ENV_PROJECT: "pi",
    names.ENV_BUCKET: "b",
    names.ENV_GROUP: "g",
    names.ENV_KILL_ROLE: "r",
    names.ENV_DEAD_LETTERS: "q",
}


@pytest.fixture
def launched_by(monkeypatch: pytest.MonkeyPatch):
    """Return a function that handles an event of a job that is due each minute, and returns the frames at CreateFleet."""
    for key, value in ENVIRONMENT.items():
        monkeypatch.setenv(key, value)
    seen: list[list[str]] = []

    def refuse(_request: Any) -> tuple[int, str]:
        seen.append(frames())
        return REFUSED

    aws = environment.aws("eu-west-1", ENDPOINT)
    wire = Wire(aws, bucket="b", services=("s3", "ec2"), CreateFleet=refuse)
    deployed = version(datetime.now(UTC) - timedelta(hours=1), schedule=("* * * * *",), market="on-demand")
    wire.objects[deployed.key] = write_version(deployed)

    def launched(event: dict[str, str]) -> list[str]:
        with suppress(DayflyError):  # What follows the refusal is refused too.
            launcher.handler(event, SimpleNamespace(aws_request_id="x"))
        [found] = seen
        return found

    yield launched
    environment.aws.cache_clear()


def tick() -> dict[str, str]:
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    return {"job": "pi", "tick": names.utc_text(minute), "source": "schedule"}


def test_create_fleet_is_eight_frames_from_the_handler(launched_by):
    found = launched_by(tick())
    assert len(found) <= MOST, "\n".join(found)


def test_a_run_by_hand_has_one_frame_more(launched_by):
    found = launched_by({"job": "pi", "source": "hand"})
    assert len(found) <= MOST + 1, "\n".join(found)


def test_architecture_tells_the_launch_frame_by_frame(launched_by):
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    told = re.findall(
        r"^\d\. `(\S+)`, `(\w+)`", text.partition("## One launch, file by file")[2].partition("\n## ")[0], re.MULTILINE
    )
    assert [f"{file} {function}" for file, function in told] == launched_by(tick())
