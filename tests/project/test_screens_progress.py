"""The steps of a run and its closing block, compared whole, for every way a run can end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from dayfly.core.facts import NOT_STORED, Facts, NotStored, Server, WithEtag
from dayfly.core.records import (
    Cancel,
    Closed,
    Ended,
    EndOrder,
    FleetError,
    Latest,
    Log,
    NoServer,
    Opened,
    SpotRefused,
)
from dayfly.project.runs.state import state
from dayfly.project.screens.outcome import outcome_lines, outcome_of
from dayfly.project.screens.progress import progress_lines, step_lines
from project.sample_runs import RUN, SERVER, STARTED, TEXT, VERSION, WHOLE, at, attempt, claim, closed, ended


def test_demo_shows_every_step_with_tenths():
    assert "\n".join(progress_lines(WHOLE, UTC, tenths=True)) == (
        "  tick          22:41:00.0            due by its schedule\n"
        "  claimed       22:41:00.6   +0.6 s   pi@2026-11-24T22:41Z\n"
        "  server        22:41:01.3   +1.3 s   i-0c2f81d6a7e94b350, gone by 22:57:01 whatever happens\n"
        "  job started   22:41:02.1   +2.1 s   pie 10 out/pi.txt\n"
        "  job ended     22:41:12.0  +12.0 s   exit 0, peak memory 0.6 of 4 GB\n"
        "  stored        22:41:12.7  +12.7 s   2 files, 10.4 MB\n"
        "  server gone   22:41:13.0  +13.0 s   lived 11.7 s for a job of 9.9 s"
    )


def test_clock_and_distance_agree():
    late = replace(WHOLE, claim=claim(at=at(1.68)), attempts=())
    assert progress_lines(late, UTC, tenths=True)[1].startswith("  claimed       22:41:01.6   +1.6 s")
    assert progress_lines(late, UTC, tenths=False)[1].startswith("  22:41:01       +1s  claimed")


def test_run_by_hand_counts_from_its_claim():
    by_hand = replace(WHOLE, claim=claim(source="hand", at=at(0.2)))
    lines = progress_lines(by_hand, ZoneInfo("Europe/Berlin"), tenths=False)
    assert lines[0] == "  23:41:00            claimed"
    assert (
        lines[1]
        == "  23:41:01       +1s  server       i-0c2f81d6a7e94b350, c8g.large spot in eu-west-1a, gone by 23:57:01"
    )
    assert lines[-1] == "  23:41:13      +13s  gone         lived 11 s for a job of 9 s"


def test_new_facts_only_append_lines():
    def seen(**parts) -> Facts:
        return replace(WHOLE, attempts=(attempt(**parts),))

    opened = WithEtag(etag="e", record=Opened(run=str(RUN), source="schedule", at=at(0.5), request="r"))
    growing = [
        Facts(run=RUN, opened=opened),
        replace(WHOLE, attempts=()),
        seen(election=NOT_STORED),
        seen(),
        seen(started=STARTED),
        seen(started=STARTED, ended=ended()),
        WHOLE,
    ]
    views = [progress_lines(facts, UTC, tenths=True) for facts in growing]
    for before, after in pairwise(views):
        assert after[: len(before)] == before
    assert [state(facts) for facts in growing] == [
        "waiting",
        "starting",
        "starting",
        "starting",
        "running",
        "saving",
        "succeeded",
    ]


def test_server_is_not_shown_before_its_claim():
    early = replace(WHOLE, attempts=(attempt(election=replace(attempt().election, launched=at(0))),))
    assert [line.at for line in step_lines(early)] == [at(0), at(0.6), at(0.6)]


def test_server_is_not_gone_before_its_agents_report():
    early = replace(WHOLE, attempts=(replace(WHOLE.attempts[0], closed=closed(gone=at(12))),))
    assert progress_lines(early, UTC, tenths=True)[-1] == (
        "  server gone   22:41:12.8  +12.8 s   lived 11.5 s for a job of 9.9 s"
    )


def test_time_that_ec2_does_not_give_is_shown_as_seen():
    unknown = replace(WHOLE, attempts=(replace(WHOLE.attempts[0], closed=closed(gone=None, at=at(63))),))
    assert progress_lines(unknown, UTC, tenths=True)[-1] == (
        "  seen gone     22:42:03.0   +1m03s   lived at most 1m01s for a job of 9.9 s"
    )
    assert progress_lines(unknown, UTC, tenths=False)[-1] == (
        "  22:42:03    +1m03s  seen gone    lived at most 1m01s for a job of 9 s"
    )


def test_success_ends_with_the_fetch_command():
    moved = WithEtag(etag="e", record=Latest(run=str(RUN), attempt=1, at=at(14), prefix="p/", outputs=()))
    assert outcome_lines(replace(WHOLE, latest=moved), UTC, receipt_stored=True, local=True) == (
        "succeeded  pi@2026-11-24T22:41:00Z",
        "next       dayfly fetch pi@2026-11-24T22:41Z --local",
    )
    assert outcome_of(WHOLE, local=True).exit_code == 0


def failed(end: Ended | NotStored, shut: Closed, **parts) -> Facts:
    return replace(WHOLE, attempts=(attempt(started=STARTED, ended=end, closed=shut, **parts),))


def test_failed_command_shows_log_kept_files_and_remedy():
    end = ended(
        outcome="failed",
        reason="exit 3",
        exit=3,
        outputs=(),
        missing=("out/pi.txt",),
        log=Log(pieces=1, bytes=99, lines=41, last=TEXT),
        job_peak_memory_mb=None,
    )
    facts = failed(end, closed(outcome="failed", reason="exit 3", exit=3))
    assert progress_lines(facts, UTC, tenths=False)[4:6] == (
        "  22:41:12      +12s  job ended    exit 3 after 9 s",
        "  22:41:12      +12s  stored       log 41 lines; outputs: out/pi.txt matched nothing",
    )
    assert outcome_lines(facts, UTC, receipt_stored=True) == (
        "last 2 of 41 lines",
        '  |   File "ingest/load.py", line 88, in load',
        "  | KeyError: 'customer_id'",
        "failed     pi@2026-11-24T22:41:00Z: the command exited with 3",
        "kept       the log; `latest` is unchanged",
        "next       dayfly logs pi@2026-11-24T22:41Z      after a fix: dayfly deploy, then dayfly retry pi@2026-11-24T22:41Z",
    )
    assert outcome_lines(facts, UTC, receipt_stored=True, local=True)[-1] == (
        "next       dayfly logs pi@2026-11-24T22:41Z --local      after a fix: dayfly run pi --wait --local"
    )
    assert outcome_of(facts, local=False).exit_code == 1


def test_missing_output_is_named():
    end = ended(outcome="failed", reason="output-missing", outputs=(), missing=("out/*.txt",), log=Log())
    facts = failed(end, closed(outcome="failed", reason="output-missing"))
    assert outcome_lines(facts, UTC, receipt_stored=True)[0] == (
        "failed     pi@2026-11-24T22:41:00Z: the command exited with 0, but out/*.txt matched nothing"
    )
    assert outcome_lines(facts, UTC, receipt_stored=True)[1] == "kept       nothing; `latest` is unchanged"


def test_timed_out_run_says_how_far_its_deadline_was():
    end = ended(outcome="timed-out", exit=None, signal=9, job_ended=at(92.5), stored_at=at(93), at=at(93), log=Log())
    facts = failed(end, closed(outcome="timed-out", exit=None, gone=at(94)))
    assert progress_lines(facts, UTC, tenths=False)[4] == (
        "  22:42:32    +1m32s  job ended    TERM at the time limit of 1m, gone after 1m30s, peak memory 0.6 of 4 GB"
    )
    assert outcome_lines(facts, UTC, receipt_stored=True)[:3] == (
        "timed out  pi@2026-11-24T22:41:00Z: the command did not end within its time_limit of 1m",
        "kept       2 files; `latest` is unchanged",
        "server     gone 22:42:34, 14m27s before its deadline of 22:57:01",
    )


def test_lost_server_says_what_ended_it():
    console = ("[ 20.1] dayfly switch: powering off: the agent is gone",)
    shut = closed(
        outcome="failed",
        reason="lost",
        detail="its server went away without reporting an end (switch: the agent is gone); the job had started",
        ended_by="switch: the agent is gone",
        console=console,
    )
    facts = failed(NOT_STORED, shut)
    assert progress_lines(facts, UTC, tenths=False)[-1] == (
        "  22:41:13      +13s  gone         lived 11 s; ended by switch: the agent is gone"
    )
    assert outcome_lines(facts, UTC, receipt_stored=False) == (
        "dayfly's last lines on the server's console",
        "  | [ 20.1] dayfly switch: powering off: the agent is gone",
        "failed     pi@2026-11-24T22:41:00Z: its server went away without reporting an end"
        " (switch: the agent is gone); the job had started",
        "kept       the log so far; `latest` is unchanged",
        "ended by   switch: the agent is gone",
        "server     gone 22:41:13, 15m48s before its deadline of 22:57:01",
        "receipt    not written yet; the sweeper writes it in seconds, at most 5 min",
        "next       dayfly retry pi@2026-11-24T22:41Z",
    )


def test_what_ec2_said_is_shown_once_with_the_remedy():
    errors = (FleetError(code="InsufficientInstanceCapacity", message="none", pool="spot c8g.large eu-west-1a"),)
    none = NoServer(
        at=at(2),
        cause="refused",
        reason="no-capacity",
        detail="spot c8g.large eu-west-1a: InsufficientInstanceCapacity",
        errors=errors,
    )
    shut = closed(
        outcome="failed",
        reason="no-capacity",
        detail=none.detail,
        server=None,
        gone=None,
        ended_by="there was no server",
    )
    facts = replace(
        WHOLE,
        attempts=(
            attempt(election=none, spot_refused=SpotRefused(at=at(1.5), errors=errors), closed=shut, receipt=True),
        ),
    )
    assert progress_lines(facts, UTC, tenths=False)[2:] == (
        "  22:41:01       +1s  no spot      InsufficientInstanceCapacity in 1 pool; on-demand is next",
        "  22:41:02       +2s  no server    EC2 had no capacity in any of the pools asked",
    )
    assert outcome_lines(facts, UTC, receipt_stored=True) == (
        "failed     pi@2026-11-24T22:41:00Z: EC2 had no capacity in any of the pools asked",
        "EC2 said   spot c8g.large eu-west-1a: InsufficientInstanceCapacity: none",
        "do         name more types in `servers`, or smaller ones, or more subnets",
        "kept       nothing; `latest` is unchanged",
        "next       dayfly retry pi@2026-11-24T22:41Z",
    )
    assert outcome_of(facts, local=False).document()["ec2_said"] == [
        "spot c8g.large eu-west-1a: InsufficientInstanceCapacity: none"
    ]
    assert outcome_of(facts, local=False).exit_code == 5
    new = (FleetError(code="NewCodeOfTheirs", message="Never seen."),)
    odd = replace(none, reason="unknown", detail="NewCodeOfTheirs: Never seen.", errors=new)
    facts = replace(
        facts,
        attempts=(replace(facts.attempts[0], election=odd, closed=replace(shut, reason="unknown", detail=odd.detail)),),
    )
    assert outcome_of(facts, local=False).why == "EC2 refused the launch"
    assert outcome_of(facts, local=False).said == ("NewCodeOfTheirs: Never seen.",)
    facts = replace(facts, attempts=(attempt(election=none, closed=shut, receipt=True),))
    assert outcome_lines(facts, UTC, receipt_stored=True)[-1] == "next       dayfly retry pi@2026-11-24T22:41Z"


@pytest.mark.parametrize(
    ("code", "reason", "do"),
    [
        ("SsmAccessDenied", "no-rights", "ssm:GetParameters"),
        ("UnauthorizedOperation", "no-rights", "permissions boundary"),
        ("MaxFleetCountExceeded", "quota", "EC2 Fleet"),
        ("MaxSpotInstanceCountExceeded", "quota", 'market = "on-demand"'),
        ("InvalidFleetConfiguration", "not-offered", "dayfly deploy"),
        ("InvalidParameterCombination", "free-plan", "t4g.small"),
    ],
)
def test_refusal_has_a_remedy(code, reason, do):
    none = NoServer(
        at=at(2), cause="refused", reason=reason, detail=code, errors=(FleetError(code=code, message="no"),)
    )
    shut = closed(outcome="failed", reason=reason, detail=code, server=None, gone=None, ended_by="there was no server")
    facts = replace(WHOLE, attempts=(attempt(election=none, closed=shut, receipt=True),))
    assert do in outcome_of(facts, local=False).do


def test_launch_that_ec2_never_decided_says_what_it_said():
    errors = (FleetError(code="InvalidGroup.NotFound", message="The security group does not exist"),)
    detail = "EC2 gave no clear answer in time; it is not asked again"
    none = NoServer(at=at(301), cause="unanswered", reason="unknown", detail=detail, errors=errors)
    shut = closed(outcome="failed", reason="unknown", detail=detail, server=None, gone=None, ended_by="")
    facts = replace(WHOLE, attempts=(attempt(election=none, closed=shut, receipt=True),))
    assert outcome_lines(facts, UTC, receipt_stored=True)[:3] == (
        f"failed     pi@2026-11-24T22:41:00Z: {detail}",
        "EC2 said   InvalidGroup.NotFound: The security group does not exist",
        "do         dayfly deploy, if something of the stack was deleted by hand; or retry",
    )


def test_server_that_died_of_its_disks_key_says_what_ec2_said():
    shut = closed(
        outcome="failed",
        reason="disk-key",
        detail="EC2 ended its server before it booted: Client.InternalError: Client error on launch",
        ended_by="EC2: Client.InternalError: Client error on launch",
        ec2_code="Client.InternalError",
        ec2_message="Client error on launch",
    )
    facts = replace(WHOLE, attempts=(attempt(closed=shut, receipt=True),))
    lines = outcome_lines(facts, UTC, receipt_stored=True)
    assert lines[1] == "EC2 said   Client.InternalError: Client error on launch"
    assert lines[2].startswith("do         let the launcher's role and EC2 use the key: kms:CreateGrant")
    assert outcome_of(facts, local=False).exit_code == 3


def test_cancelled_run_shows_when_and_by_whom():
    end = ended(
        outcome="failed", reason="killed by signal 15", exit=None, signal=15, job_ended=at(8), outputs=(), log=Log()
    )
    shut = closed(outcome="cancelled", reason="cancelled", detail="")
    order = EndOrder(at=at(5.2), by="cli:anna", why="cancelled", server=SERVER)
    facts = replace(failed(end, shut, end_order=order), cancel=Cancel(at=at(5), by="cli:anna"))
    assert progress_lines(facts, UTC, tenths=False)[4:6] == (
        "  22:41:05       +5s  cancelled    by cli:anna",
        "  22:41:08       +8s  job ended    killed by signal 15 after 5 s, peak memory 0.6 of 4 GB",
    )
    assert outcome_lines(facts, UTC, receipt_stored=True)[0] == "cancelled  pi@2026-11-24T22:41:00Z: cancelled"


@pytest.mark.parametrize(
    ("decision", "reason", "why", "last"),
    [
        ("skipped", "overlap", "pi@2026-11-24T22:40:00Z was still running", "dayfly run pi --tick 2026-11-24T22:41Z"),
        (
            "missed",
            "late",
            "delivered 7200.0 s after the tick; start_within is 3600 s",
            "dayfly run pi --tick 2026-11-24T22:41Z",
        ),
    ],
)
def test_tick_that_was_not_run_says_why(decision, reason, why, last):
    facts = Facts(run=RUN, claim=claim(decision=decision, reason=reason, why=why), versions=(VERSION,))
    lines = outcome_lines(facts, UTC, receipt_stored=False)
    assert lines[0].startswith(f"{decision:<10} pi@2026-11-24T22:41:00Z: ")
    assert why in lines[0]
    assert lines[-1] == f"next       {last}"
    assert outcome_of(facts, local=False).exit_code == 1


def test_second_attempt_counts_from_its_own_start():
    again = attempt(number=2, started=STARTED)
    again = replace(
        again, intent=replace(again.intent, attempt=2, at=at(100)), election=replace(again.election, launched=at(101))
    )
    facts = replace(WHOLE, attempts=(WHOLE.attempts[0], replace(again, started=replace(STARTED, at=at(103)))))
    assert progress_lines(facts, UTC, tenths=False, attempt=2) == (
        "  22:42:40            retry        attempt 2",
        "  22:42:41       +1s  server       i-0c2f81d6a7e94b350, c8g.large spot in eu-west-1a, gone by 22:57:01",
        "  22:42:43       +3s  job started  pie 10 out/pi.txt",
    )
    assert progress_lines(facts, UTC, tenths=False)[:7] == progress_lines(WHOLE, UTC, tenths=False)


def test_live_run_has_no_outcome_yet():
    facts = replace(WHOLE, attempts=(attempt(started=STARTED, servers=(_server(),)),))
    assert outcome_lines(facts, UTC, receipt_stored=False) == (
        "running    pi@2026-11-24T22:41:00Z",
        "next       dayfly logs pi@2026-11-24T22:41Z -f",
    )


def _server() -> Server:
    return Server(
        id=SERVER,
        state="running",
        launched=at(1),
        type="c8g.large",
        zone="eu-west-1a",
        market="spot",
        image="",
        tags={},
    )
