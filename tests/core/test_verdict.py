"""The outcome of an attempt: what is known, never a guess."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dayfly.core import verdict
from dayfly.core.election import elect, elect_none
from dayfly.core.facts import NOT_STORED, Attempt, NotStored, Server
from dayfly.core.reasons import Cause, Outcome
from dayfly.core.records import Cancel, Ended, FleetError, Intent, Started
from dayfly.core.step import Close

NOW = datetime(2026, 11, 24, 22, 41, tzinfo=UTC)
SERVER = Server(id="i-1", state="terminated", launched=NOW, type="", zone="", market="spot", image="", tags={})
INTENT = Intent(
    attempt=1,
    version="jobs/pi/1",
    at=NOW,
    launch=NOW,
    launch_until=NOW,
    deadline=NOW,
    time_limit_s=1,
    margin_s=1,
    markets=("spot",),
    requests={},
    role_id="AROA",
)


def closed(
    ended: Ended | NotStored = NOT_STORED,
    cancel: Cancel | NotStored = NOT_STORED,
    election=None,
    console=(),
    reason_code="",
    reason_text="",
    started=NOT_STORED,
):
    shown = replace(SERVER, reason_code=reason_code, reason_text=reason_text)
    attempt = Attempt(
        number=1,
        intent=INTENT,
        election=elect(shown, INTENT, NOW),
        started=started,
        ended=ended,
        servers=(shown,),
    )
    step = Close(
        closing=attempt, election=election or attempt.election, cancel=cancel, console_of="", reason="", attempt=1
    )
    return verdict.close(step, console, {}, NOW, "sweeper")


@pytest.mark.parametrize(("exit_code", "missing"), [(3, ()), (None, ()), (0, ("out",))])
def test_success_without_exit_0_and_every_output_is_not_saved(exit_code, missing):
    end = closed(Ended(at=NOW, outcome="succeeded", reason="", exit=exit_code, missing=missing))
    assert (end.outcome, end.reason) == ("failed", "not-saved")


def test_a_job_killed_after_a_cancel_is_cancelled():
    end = closed(Ended(at=NOW, outcome="failed", reason="killed", signal=15), Cancel(at=NOW, by="ben"))
    assert end.outcome == "cancelled"


def test_a_cancel_that_the_agent_reports_counts_if_a_person_asked():
    report = Ended(at=NOW, outcome=Outcome.CANCELLED, reason="cancelled", detail="kept", exit=0)
    end = closed(report, Cancel(at=NOW, by="ben"), reason_code="Client.InstanceInitiatedShutdown")
    assert (end.outcome, end.reason, end.detail, end.ended_by) == ("cancelled", "cancelled", "kept", "agent: cancelled")
    forged = closed(report)
    assert (forged.outcome, forged.reason) == ("failed", "unknown")


def test_a_job_that_succeeded_before_the_cancel_stays_succeeded():
    end = closed(Ended(at=NOW, outcome="succeeded", reason="", exit=0), Cancel(at=NOW, by="ben"))
    assert end.outcome == "succeeded"


@pytest.mark.parametrize(
    ("cause", "outcome"), [(Cause.CANCELLED, "cancelled"), (Cause.UNANSWERED, "failed"), (Cause.REFUSED, "failed")]
)
def test_an_attempt_without_a_server_ends_by_its_cause(cause, outcome):
    none = elect_none(cause, (FleetError(code="VcpuLimitExceeded", message=""),), NOW)
    end = closed(election=none)
    assert (end.outcome, end.server, end.ended_by) == (outcome, None, "there was no server")
    assert end.reason == none.reason


def test_newest_switch_line_on_console_says_what_ended_server():
    lines = (f"{verdict.SWITCH_LINE} second boot", f"{verdict.SWITCH_LINE} the agent is gone")
    end = closed(console=lines, reason_code="Client.InstanceInitiatedShutdown")
    assert (end.reason, end.ended_by) == ("lost", "switch: the agent is gone")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("Client.InternalError", "disk-key"),
        ("Client.InvalidKMSKey.InvalidState", "disk-key"),
        ("Client.InvalidSnapshot.NotFound", "image-gone"),
        ("Client.VolumeLimitExceeded", "quota"),
        ("Server.InsufficientInstanceCapacity", "no-capacity"),
    ],
)
def test_server_that_died_before_it_booted_keeps_what_ec2_said(code, reason):
    end = closed(reason_code=code, reason_text=f"{code}: Client error on launch")
    assert (end.reason, end.ec2_code, end.ec2_message) == (reason, code, "Client error on launch")
    assert end.ended_by == f"EC2: {code}: Client error on launch"
    assert f"{code}: Client error on launch" in end.detail


def test_server_that_ran_the_job_did_not_die_of_its_disks_key():
    assert closed(reason_code="Client.InternalError", started=Started(at=NOW)).reason == "lost"
