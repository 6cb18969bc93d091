"""The launcher's handler if AWS denies everything: it raises for a schedule's event, so that the event is kept, and answers others."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dayfly.errors import DayflyError
from dayfly.remote import launcher


@pytest.mark.usefixtures("denied")
def test_denied_event_of_a_schedule_raises():
    event = {"job": "pi", "tick": "2026-11-24T22:41:00Z", "source": "schedule"}
    with pytest.raises(DayflyError):
        launcher.handler(event, SimpleNamespace(aws_request_id="x"))


@pytest.mark.usefixtures("denied")
def test_denied_run_by_hand_answers_exit_code_3():
    assert launcher.handler({"job": "pi"}, SimpleNamespace(aws_request_id="x"))["exit"] == 3
