"""The sweeper's event: empty from its schedule, EC2's own shape for a state change, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from dayfly.core.sweeper_event import ScheduledSweep, ServerState, StateChange, sweeper_event
from dayfly.errors import FileError

# The example of the EC2 User Guide, State change events for your instances; but for the state.
EVENT: dict[str, Any] = {
    "id": "7bf73129-1428-4cd3-a780-95db273d1602",
    "detail-type": "EC2 Instance State-change Notification",
    "source": "aws.ec2",
    "account": "123456789012",
    "time": "2021-11-11T21:29:54Z",
    "region": "us-east-1",
    "resources": ["arn:aws:ec2:us-east-1:123456789012:instance/i-1234567890abcdef0"],
    "detail": {"instance-id": "i-1234567890abcdef0", "state": "terminated"},
}


def test_empty_event_is_the_schedules():
    assert sweeper_event({}) == ScheduledSweep()


def test_event_of_ec2_names_server_state_and_time():
    at = datetime(2021, 11, 11, 21, 29, 54, tzinfo=UTC)
    change = StateChange(server="i-1234567890abcdef0", state=ServerState.TERMINATED, at=at)
    assert sweeper_event(EVENT) == change


@pytest.mark.parametrize("more", [{"version": "0"}, {"replay-name": "again"}], ids=str)
def test_fields_that_are_not_used_are_ignored(more):
    assert sweeper_event({**EVENT, **more}) == sweeper_event(EVENT)


@pytest.mark.parametrize(
    ("event", "what"),
    [
        (None, "not a JSON object"),
        ([], "not a JSON object"),
        ("{}", "not a JSON object"),
        ({"job": "pi"}, "not an event of aws.ec2"),
        ({**EVENT, "source": "me"}, "not an event of aws.ec2"),
        ({**EVENT, "source": ["aws.ec2"]}, "not an event of aws.ec2"),
        ({**EVENT, "detail-type": "EC2 Spot Instance Interruption Warning"}, "not an event of aws.ec2"),
        ({**EVENT, "detail": "i-1234567890abcdef0"}, "detail is not"),
        ({**EVENT, "detail": {"state": "terminated"}}, "instance-id"),
        ({**EVENT, "detail": {"instance-id": ["i-1"], "state": "terminated"}}, "instance-id"),
        ({**EVENT, "detail": {"instance-id": "i-*", "state": "terminated"}}, "instance-id"),
        ({**EVENT, "detail": {"instance-id": "i-1234567890abcdef0", "state": "gone"}}, "state"),
        ({**EVENT, "detail": {"instance-id": "i-1234567890abcdef0", "state": ["terminated"]}}, "state"),
        ({**EVENT, "detail": {"instance-id": "i-1234567890abcdef0", "state": None}}, "state"),
        ({**EVENT, "time": None}, "time"),
        ({**EVENT, "time": "2021-11-11T21:29:54.000+01:00"}, "time"),
        ({**EVENT, "time": "2021-13-11T21:29:54Z"}, "time"),
    ],
)  # fmt: skip
def test_any_other_event_is_refused_and_says_why(event, what):
    with pytest.raises(FileError, match=what):
        sweeper_event(event)
