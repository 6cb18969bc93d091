"""The sweeper's entry: which event it sweeps for, closes for, refuses, and leaves to the next sweep."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cloud.answering import Client, error
from dayfly.cloud.interpreter import Interpreter
from dayfly.core.sweeper_event import ServerState, StateChange
from dayfly.errors import FileError, RightsError, Unclear
from dayfly.flows.actor import SWEEPER_STATES, Actor
from dayfly.remote import sweeper

EVENT = {
    "source": "aws.ec2",
    "detail-type": "EC2 Instance State-change Notification",
    "time": "2026-11-24T22:41:00Z",
    "detail": {"instance-id": "i-0123456789abcdef0", "state": "terminated"},
}
CHANGE = StateChange(
    server="i-0123456789abcdef0", state=ServerState.TERMINATED, at=datetime(2026, 11, 24, 22, 41, tzinfo=UTC)
)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def close_where_ec2_answers(answer: Any) -> dict[str, Any]:
    client = Client(describe_instances=answer)
    aws: Any = SimpleNamespace(client=lambda _service: client, region="eu-west-1")
    given: dict[str, str] = dict.fromkeys(("bucket", "group", "kill_role", "dead_letters"), "")
    interpreter = Interpreter(aws=aws, project="pi", log=lambda _line, _fields: None, **given)
    actor = Actor(project="pi", bucket="", region="eu-west-1", who="sweeper", acts_in=SWEEPER_STATES, zones=ZoneInfo)
    return sweeper.close(interpreter, actor, CHANGE)


@pytest.mark.usefixtures("denied")
def test_empty_event_is_a_sweep():
    with pytest.raises((Unclear, RightsError)):
        sweeper.handler({}, None)


@pytest.mark.usefixtures("denied")
def test_event_of_a_foreign_server_is_answered_without_a_line(capsys):
    answer = sweeper.handler(EVENT, None)
    assert (answer["server"], answer["run"], answer["ended"]) == ("i-0123456789abcdef0", "", "")
    assert lines(capsys) == []


@pytest.mark.usefixtures("denied")
def test_event_that_cannot_be_read_is_logged_and_raised(capsys):
    event = {**EVENT, "time": "now"}
    with pytest.raises(FileError, match="time"):
        sweeper.handler(event, None)
    [line] = lines(capsys)
    assert line["event"] == event
    assert line["message"].startswith("refused: not an event for the sweeper: time")


def test_unclear_answer_leaves_the_event_to_the_next_sweep(capsys):
    answer = close_where_ec2_answers(error("RequestLimitExceeded", status=503))
    assert "RequestLimitExceeded" in answer["left"]
    assert lines(capsys)[0]["message"].startswith("left to the next sweep")


def test_denied_answer_is_raised():
    with pytest.raises(RightsError):
        close_where_ec2_answers(error("UnauthorizedOperation", status=403))
