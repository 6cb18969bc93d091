"""`next_step(facts, now)`: the next step of a run, with its reason. Pure.

Launcher, sweeper and CLI all take these steps, so each step must be safe to do twice, safe to lose, and safe beside another
process that does it at the same time. The table of states is core/step.py; how a step is done is flows/steps.py.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dayfly.core import claim as claims
from dayfly.core import election, receipt, step, ticks
from dayfly.core.facts import Attempt, Facts, Server
from dayfly.core.model import Deployed
from dayfly.core.names import RunName, out_prefix, run_name
from dayfly.core.records import (
    Cause,
    Claim,
    Closed,
    Decision,
    Elected,
    Latest,
    NoServer,
    Opened,
    Outcome,
    Source,
)
from dayfly.core.step import Step

ABSENT_AFTER = timedelta(hours=1)
"""EC2 shows a terminated server for about an hour. A server that it does not show before that may still run."""
BETWEEN_SIGHTINGS = timedelta(minutes=4)
"""Two sightings this far apart come from two sweeps, which run every 5 minutes."""
SIGHTING_EXPIRES = timedelta(minutes=15)
"""A first sighting expires after this long: either EC2 showed the server again, or nothing looked."""
KILL_AFTER = timedelta(minutes=1)
"""The kill schedule fires this long after the deadline, so that usually the agent or the switch was first."""


def next_step(facts: Facts, now: datetime) -> Step:
    """The next step. A run that is neither open nor claimed is finished: it never started."""
    claim, attempt = facts.claim, facts.attempt
    if claim is None:
        return _before_claim(facts, now)
    if claim.decision != Decision.RUN:
        return _over(facts, 0, claim.decision, f"{claim.decision}: {claim.why}")
    if attempt is None:
        return step.Intend(version=claim.version, request=claim.request, reason="claimed, to run", attempt=1)
    if attempt.closed is not None:
        return _after_close(facts, claim, attempt, attempt.closed, now)
    match attempt.election:
        case Elected() as elected:
            return _after_election(facts, claim, attempt, elected, now)
        case NoServer(reason=reason):
            return _close(facts, attempt, attempt.election, f"it has no server: {reason}")
        case None:
            return _before_election(facts, attempt, now)


def run_in_the_way(facts: Facts, found: Step) -> RunName | None:
    """The run that holds the slot which this run needs. Its steps come first: it may be over and not closed yet."""
    if not isinstance(found, (step.Decide, step.WaitForSlot)):
        return None
    if facts.holder is None or facts.holder == str(facts.run):
        return None
    return run_name(facts.holder)


def has_left_the_slot(facts: Facts, found: Step) -> bool:
    """Whether a run is finished and no longer holds the slot."""
    return isinstance(found, step.Finished) and facts.holder != str(facts.run)


# --- before the claim ---------------------------------------------------------------------------------------------------


def _before_claim(facts: Facts, now: datetime) -> Step:
    opened = facts.open_record
    if opened is None:
        if facts.slot is not None and facts.holder == str(facts.run):
            return step.FreeSlot(slot=facts.slot, reason="never opened, but it holds the slot")
        return step.Finished(reason="never opened")
    version = claims.version_for(facts, opened, now)
    if isinstance(version, Deployed) and _needs_slot(version) and facts.holder is None:
        return step.TakeSlot(free=facts.slot, reason="runs of this job do not overlap")
    return step.Decide(claim=claims.decide(facts, opened, now), reason="open, without a claim")


def _needs_slot(version: Deployed) -> bool:
    return version.job.overlap == "skip"


# --- before the election ------------------------------------------------------------------------------------------------


def _before_election(facts: Facts, attempt: Attempt, now: datetime) -> Step:
    number, intent = attempt.number, attempt.intent
    if attempt.servers:
        first = min(attempt.servers, key=lambda server: (server.launched, server.id))
        if _must_arm(attempt, first, now):
            reason = "no job starts on a server without its kill schedule"
            return step.Arm(server=first, at=intent.deadline + KILL_AFTER, reason=reason, attempt=number)
        record = election.elect(first, now)
        return step.Elect(server=first, record=record, reason=f"{first.id} was launched", attempt=number)
    if facts.cancel is not None:
        none = election.elect_none(Cause.CANCELLED, attempt.spot_errors, now)
        return step.ElectNone(record=none, reason="cancelled", attempt=number)
    if now > intent.launch_until:
        none = election.elect_none(Cause.UNANSWERED, attempt.spot_errors, now)
        return step.ElectNone(record=none, reason="EC2 gave no clear answer in time", attempt=number)
    market = intent.markets[0]
    if attempt.spot_errors:
        market = intent.markets[-1]
    reason = f"no {market} server yet"
    return step.AskEc2(intent=intent, market=market, spot_errors=attempt.spot_errors, reason=reason, attempt=number)


def _must_arm(attempt: Attempt, server: Server, now: datetime) -> bool:
    # Scheduler refuses a one-shot schedule in the past; the sweeper ends a server past its deadline at once.
    return server.id not in attempt.armed and not server.gone and now < attempt.intent.deadline


# --- from the election to the close -------------------------------------------------------------------------------------


def _after_election(facts: Facts, claim: Claim, attempt: Attempt, elected: Elected, now: datetime) -> Step:
    number, server, deadline = attempt.number, attempt.server, attempt.intent.deadline
    if server is None:
        return _not_shown(facts, attempt, elected, now)
    if server.gone:
        return _close(facts, attempt, elected, f"{server.id} is terminated")
    if server.state == "shutting-down":
        return step.Wait(reason=f"{server.id} is shutting down", attempt=number)
    if facts.cancel is not None:
        return step.End(server=server, reason="cancelled", attempt=number)
    if server.state in ("stopped", "stopping"):
        return step.End(server=server, reason=f"it is {server.state}", attempt=number)
    if _must_arm(attempt, server, now):
        return step.Arm(server=server, at=deadline + KILL_AFTER, reason="its kill schedule is missing", attempt=number)
    if not attempt.go_sent and now < deadline:
        reason = f"{server.id} is elected and armed"
        return step.Go(server=server, intent=attempt.intent, env=claim.env, reason=reason, attempt=number)
    return step.Wait(reason=f"{server.id} is {server.state}", attempt=number)


def _not_shown(facts: Facts, attempt: Attempt, elected: Elected, now: datetime) -> Step:
    number, name = attempt.number, elected.server
    if now - elected.launched <= ABSENT_AFTER:
        return step.Wait(reason=f"EC2 does not show {name}: unknown, not gone", attempt=number)
    seen = attempt.absent
    if seen is None or now - seen.record.at > SIGHTING_EXPIRES:
        reason = f"EC2 does not show {name}, {ABSENT_AFTER} after its launch"
        return step.LookAgain(server=name, expired=seen, reason=reason, attempt=number)
    if now - seen.record.at < BETWEEN_SIGHTINGS:
        return step.Wait(reason=f"EC2 did not show {name} once; to be confirmed", attempt=number)
    return _close(facts, attempt, elected, f"EC2 did not show {name} twice")


def _close(facts: Facts, attempt: Attempt, elected: Elected | NoServer, reason: str) -> step.Close:
    console_of = None
    if attempt.ended is None and attempt.server is not None:
        console_of = attempt.server.id
    return step.Close(
        ended=attempt,
        election=elected,
        cancel=facts.cancel,
        console_of=console_of,
        reason=reason,
        attempt=attempt.number,
    )


# --- after the close ----------------------------------------------------------------------------------------------------


def _after_close(facts: Facts, claim: Claim, attempt: Attempt, closed: Closed, now: datetime) -> Step:
    number, reason = attempt.number, f"closed: {closed.outcome}"
    if not attempt.receipt:
        return step.WriteReceipt(receipt=receipt.build(facts, claim, attempt, closed), reason=reason, attempt=number)
    latest = new_latest(facts, claim, attempt, closed, now)
    if latest is not None:
        return step.MoveLatest(latest=latest, before=facts.latest, reason="a newer good result", attempt=number)
    opened = facts.open_record
    if opened is not None and opened.retry == number + 1:
        return _retry(facts, opened, attempt, now)
    return _over(facts, number, closed.outcome, reason)


def new_latest(facts: Facts, claim: Claim, attempt: Attempt, closed: Closed, now: datetime) -> Latest | None:
    """The job's last good result, if this attempt's result becomes it: only a newer one, only a whole one."""
    if closed.outcome != Outcome.SUCCEEDED or attempt.ended is None or closed.server is None:
        return None
    if claim.source == Source.HAND and not claim.publish:
        return None
    if facts.latest is not None:
        there = facts.latest.record
        if (run_name(there.run).tick, there.attempt) >= (facts.run.tick, attempt.number):
            return None
    prefix = out_prefix(facts.run, attempt.number, attempt.intent.role_id, closed.server)
    return Latest(
        run=str(facts.run),
        attempt=attempt.number,
        at=now,
        prefix=f"{prefix}output/",
        outputs=attempt.ended.outputs,
    )


def _retry(facts: Facts, opened: Opened, last: Attempt, now: datetime) -> Step:
    """The first steps of another attempt: with the version in force now, or with the last attempt's (`same_code`)."""
    number, key = last.number + 1, last.intent.version
    newest = ticks.in_force(facts.versions, now)
    if isinstance(newest, Deployed):
        if _needs_slot(newest) and facts.holder is None:
            return step.TakeSlot(free=facts.slot, reason="a retry of a job whose runs do not overlap", attempt=number)
        if _needs_slot(newest) and facts.holder != str(facts.run):
            return step.WaitForSlot(reason=f"the slot is held by {facts.holder}", attempt=number)
        if not opened.same_code:
            key = newest.key
    return step.Intend(version=key, request=opened.request, reason="a retry was requested", attempt=number)


def _over(facts: Facts, attempt: int, outcome: str, reason: str) -> Step:
    """The last steps of every run: free the slot, mark it done, remove kill schedules, and remove the open key last."""
    if facts.slot is not None and facts.holder == str(facts.run):
        return step.FreeSlot(slot=facts.slot, reason=reason, attempt=attempt)
    if not any(name.attempt == attempt for name in facts.done):
        return step.MarkDone(outcome=outcome, reason=reason, attempt=attempt)
    spent = tuple(server for each in facts.attempts for server in _to_disarm(each))
    if spent:
        return step.Disarm(servers=spent, reason=f"{spent[0]} is gone", attempt=attempt)
    if facts.opened is not None:
        return step.RemoveOpen(opened=facts.opened, reason="nothing is left to do", attempt=attempt)
    return step.Finished(reason=reason, attempt=attempt)


def _to_disarm(attempt: Attempt) -> list[str]:
    """Servers that no longer need their kill schedule: the elected one of a closed attempt, and those that are terminated.

    A surplus server that is alive keeps its kill schedule.
    """
    spent = {server.id for server in attempt.servers if server.gone}
    if attempt.elected is not None and attempt.closed is not None:
        spent.add(attempt.elected.server)
    return sorted(spent & attempt.armed)
