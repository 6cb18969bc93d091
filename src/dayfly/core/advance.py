"""`next_step(facts, now)` chooses the next step of a run, with its reason. Pure functions.

Launcher, sweeper and CLI all take these steps, so each step must be safe to do twice, safe to lose, and safe beside another
process that does it at the same time. The table of states is core/states.py; what follows from a close is
core/effects.py; how a step is done is flows/steps.py.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dayfly.core import claim as claims
from dayfly.core import effects, election, step
from dayfly.core.facts import (
    UNKNOWN_HOLDER,
    Attempt,
    Facts,
    NoAttempt,
    NotShown,
    NotStored,
    Server,
    Unreadable,
    WithEtag,
)
from dayfly.core.intervals import NORMAL, Intervals
from dayfly.core.model import Deployed
from dayfly.core.names import RunName, run_name
from dayfly.core.reasons import Cause, ClaimReason, Decision, Outcome
from dayfly.core.records import Absent, Claim, Closed, Elected, Ended, NoServer, Opened, Slot
from dayfly.core.standing import Cancelling, cancelling, must_arm, standing
from dayfly.core.states import State
from dayfly.core.step import Step

REMOVAL_LASTS = timedelta(minutes=15)
"""The sweep that marked a run as being removed lives no longer. Only after that another one may continue the removal."""


def next_step(facts: Facts, now: datetime, intervals: Intervals = NORMAL) -> Step:
    """Return the next step of a run."""
    match facts.opened:
        case WithEtag(record=Opened(removing=True, at=at)) if now - at <= REMOVAL_LASTS:
            return step.AwaitRemoval(reason="another sweep removes it")
        case WithEtag(record=Opened(removing=True)) as opened:
            return step.RemoveRun(opened=opened, reason="older than `keep`")
        case WithEtag(record=Opened(retry=int())) as opened if isinstance(facts.claim, NotStored):
            return step.RemoveRun(opened=opened, reason="a retry opened it after it was removed")
    for unreadable in facts.broken[:1]:
        return _broken(facts, unreadable, now, intervals)
    match facts.claim:
        case Claim(decision=Decision.RUN) as claim:
            return _claimed(facts, claim, now, intervals)
        case Claim() as claim if not facts.asked_for_later:
            return _not_run(facts, claim, now, intervals)
    return _before_claim(facts, now, intervals)


def _not_run(facts: Facts, claim: Claim, now: datetime, intervals: Intervals) -> Step:
    return effects.finish(facts, 0, claim.decision, f"{claim.decision}: {claim.why}", now, intervals)


def _claimed(facts: Facts, claim: Claim, now: datetime, intervals: Intervals) -> Step:
    match facts.attempt:
        case NoAttempt():
            return step.Intend(version=claim.version, request=claim.request, reason="claimed, to run", attempt=1)
        case Attempt(closed=Closed() as closed) as attempt:
            return effects.after_close(facts, claim, attempt, closed, now, intervals)
        case Attempt(election=Elected() as elected) as attempt:
            return _after_election(facts, claim, attempt, elected, now, intervals)
        case Attempt(election=NoServer() as no_server) as attempt:
            return _close(facts, attempt, no_server, f"it has no server: {no_server.reason}")
        case Attempt() as attempt:
            return _before_election(facts, attempt, now, intervals)


def blocking_run(facts: Facts, upcoming: Step) -> RunName | None:
    """Return the run that holds the slot which this run needs. It is walked first, because it may be over and not closed yet."""
    if not isinstance(upcoming, (step.Decide, step.WaitForSlot)):
        return None
    if facts.holder in ("", UNKNOWN_HOLDER, str(facts.run)):
        return None
    return run_name(facts.holder)


def has_freed_slot(facts: Facts, upcoming: Step) -> bool:
    """Return whether a run is finished, or only waits for the sweeper, and no longer holds the slot."""
    return upcoming.settled and facts.holder != str(facts.run)


# --- before the claim ---------------------------------------------------------------------------------------------------


def _before_claim(facts: Facts, now: datetime, intervals: Intervals) -> Step:
    match facts.opened:
        case WithEtag(record=Opened() as opened):
            return _undecided(facts, opened, now, intervals)
        case WithEtag(record=Unreadable() as unreadable):
            return step.Decide(claim=claims.not_opened(facts.run, unreadable, now), reason=str(unreadable))
    match facts.slot:
        case WithEtag(record=Slot(holder=holder)) as slot if holder == str(facts.run):
            return step.FreeSlot(slot=slot, reason="never opened, but it holds the slot")
    return step.Finished(reason="never opened")


def _undecided(facts: Facts, opened: Opened, now: datetime, intervals: Intervals) -> Step:
    version = claims.version_for(facts, opened, now)
    decided = claims.decide(facts, opened, now)
    if decided.reason == ClaimReason.PAUSED:
        return step.Decide(claim=decided, reason="the job is paused")
    if isinstance(version, Deployed) and effects.needs_slot(version):
        for free in effects.free_unreadable_slot(facts, 0):
            return free
        if not facts.holder:
            # No two slots of a run are alike: the first claim, if there is one, took it as attempt 0.
            attempt = int(isinstance(facts.claim, Claim))
            return step.TakeSlot(reason="runs of this job do not overlap", attempt=attempt)
        if facts.asked_for_later and facts.holder != str(facts.run):
            return step.WaitForSlot(reason=f"the slot is held by {facts.holder}")
    match facts.claim:
        case Claim() as claim if decided.decision == Decision.RUN:
            return step.Decide(claim=decided, again=True, reason=f"{claim.decision}, and asked for by a person")
        case Claim() as claim:
            return _not_run(facts, claim, now, intervals)
    return step.Decide(claim=decided, reason="open, without a claim")


# --- before the election ------------------------------------------------------------------------------------------------


def _before_election(facts: Facts, attempt: Attempt, now: datetime, intervals: Intervals) -> Step:
    number, intent = attempt.number, attempt.intent
    if attempt.servers:
        first = min(attempt.servers, key=lambda server: (server.launched, server.id))
        if must_arm(first, intent.deadline, armed=first.id in attempt.armed, now=now):
            reason = f"{first.id} has no kill schedule yet"
            return step.Arm(server=first, at=intent.deadline + intervals.kill_after, reason=reason, attempt=number)
        record = election.elect(first, intent, now)
        return step.Elect(server=first, record=record, reason=f"{first.id} was launched", attempt=number)
    if facts.cancelled:
        no_server = election.elect_none(Cause.CANCELLED, election.heard(attempt), now)
        return step.ElectNone(record=no_server, reason="cancelled", attempt=number)
    if now > intent.launch_until:
        no_server = election.elect_none(Cause.UNANSWERED, election.heard(attempt), now)
        return step.ElectNone(record=no_server, reason="EC2 gave no clear answer in time", attempt=number)
    market = intent.markets[0]
    if attempt.spot_errors:
        market = intent.markets[-1]
    reason = f"no {market} server yet"
    return step.AskEc2(
        intent=intent,
        market=market,
        spot_errors=attempt.spot_errors,
        asks=attempt.asks,
        reason=reason,
        attempt=number,
    )


# --- from the election to the close -------------------------------------------------------------------------------------


def _after_election(
    facts: Facts, claim: Claim, attempt: Attempt, elected: Elected, now: datetime, intervals: Intervals
) -> Step:
    match attempt.server:
        case NotShown():
            close = _close(facts, attempt, elected, f"EC2 did not show {elected.server} twice")
            return _not_shown(attempt, elected.server, elected.launched, close, now, intervals)
        case Server() as server:
            return _shown(facts, claim, attempt, elected, server, now, intervals)


def _shown(
    facts: Facts, claim: Claim, attempt: Attempt, elected: Elected, server: Server, now: datetime, intervals: Intervals
) -> Step:
    number, deadline = attempt.number, attempt.intent.deadline
    armed = server.id in attempt.armed
    cancel = cancelling(facts, attempt, now, intervals)
    found = standing(server, deadline, armed=armed, sent=attempt.go_sent, cancel=cancel, now=now)
    match found.state:
        case State.SERVER_GONE:
            return _close(facts, attempt, elected, found.reason)
        case State.MUST_END:
            return step.End(server=server, reason=found.reason, attempt=number)
        case State.NEEDS_KILL_SCHEDULE:
            return step.Arm(server=server, at=deadline + intervals.kill_after, reason=found.reason, attempt=number)
        case State.NEEDS_JOB:
            return step.SendJob(
                server=server, intent=attempt.intent, env=claim.env, reason=found.reason, attempt=number
            )
        case State.NEEDS_CANCEL:
            return step.SendCancel(server=server, intent=attempt.intent, reason=found.reason, attempt=number)
    return step.Wait(reason=found.reason, attempt=number)


def _not_shown(attempt: Attempt, name: str, since: datetime, close: Step, now: datetime, intervals: Intervals) -> Step:
    """Return the step for a server that EC2 does not show: `close` when it did not show it twice, long after `since`."""
    number = attempt.number
    if now - since <= intervals.absent_after:
        return step.Wait(reason=f"EC2 does not show {name}: unknown, not gone", attempt=number)
    match attempt.absent:
        case WithEtag(record=Absent(at=first)) if timedelta(0) <= now - first < intervals.between_sightings:
            return step.Wait(reason=f"EC2 did not show {name} once; to be confirmed", attempt=number)
        case WithEtag(record=Absent(at=first)) if (
            intervals.between_sightings <= now - first <= intervals.sighting_expires
        ):
            return close
    reason = f"EC2 does not show {name}, {intervals.absent_after} after its launch"
    return step.RecordAbsence(server=name, expired=attempt.absent, reason=reason, attempt=number)


def _close(facts: Facts, attempt: Attempt, elected: Elected | NoServer, reason: str) -> step.Close:
    console_of = ""
    match attempt.ended, attempt.server:
        case NotStored(), Server(id=id):
            console_of = id
    declared: tuple[str, ...] = ()
    outputs_at = ""
    match attempt.ended, facts.version(attempt.intent.version):
        case Ended(outcome=Outcome.SUCCEEDED), Deployed(job=job):
            declared, outputs_at = job.outputs, effects.outputs_prefix(facts, attempt)
    return step.Close(
        closing=attempt,
        election=elected,
        cancel=facts.cancel,
        console_of=console_of,
        declared=declared,
        outputs_at=outputs_at,
        reason=reason,
        attempt=attempt.number,
    )


# --- without a record that the run needs --------------------------------------------------------------------------------


def _broken(facts: Facts, unreadable: Unreadable, now: datetime, intervals: Intervals) -> Step:
    """Return the step of a run without a record that it needs. Its servers end as always; then it closes as unknown."""
    for server in facts.servers:
        if not server.gone:
            return _until_gone(facts, unreadable, server, now, intervals)
    match facts.attempt:
        case NoAttempt():
            return effects.finish(facts, 0, Outcome.FAILED, str(unreadable), now, intervals)
        case Attempt(closed=Closed() as closed) as attempt:
            if not attempt.receipt:
                return effects.write_receipt(facts, attempt, closed)
            return effects.finish(facts, attempt.number, closed.outcome, str(unreadable), now, intervals)
        case Attempt() as attempt:
            return _close_unknown(facts, attempt, unreadable, now, intervals)


def _until_gone(facts: Facts, unreadable: Unreadable, server: Server, now: datetime, intervals: Intervals) -> Step:
    deadlines = {attempt.number: attempt.intent.deadline for attempt in facts.attempts}
    deadline, number = deadlines.get(server.attempt, server.deadline or now), server.attempt
    armed = server in facts.unassigned or any(server.id in attempt.armed for attempt in facts.attempts)
    cancel = Cancelling.NONE
    if facts.cancelled:
        cancel = Cancelling.END
    found = standing(server, deadline, armed=armed, sent=True, cancel=cancel, now=now)
    reason = f"{unreadable}; {found.reason}"
    match found.state:
        case State.MUST_END:
            return step.End(server=server, reason=reason, attempt=number)
        case State.NEEDS_KILL_SCHEDULE:
            return step.Arm(server=server, at=deadline + intervals.kill_after, reason=reason, attempt=number)
    return step.Wait(reason=reason, attempt=number)


def _close_unknown(facts: Facts, attempt: Attempt, unreadable: Unreadable, now: datetime, intervals: Intervals) -> Step:
    close = step.CloseUnknown(closing=attempt, detail=str(unreadable), reason=str(unreadable), attempt=attempt.number)
    since = [attempt.intent.launch, attempt.intent.launch_until]
    match facts.opened:
        case WithEtag(record=Opened(at=at)):
            since.append(at)
    match attempt.election:
        case NoServer():
            return close
        case Elected(server=server, launched=launched) if isinstance(attempt.server, NotShown):
            return _not_shown(attempt, server, launched, close, now, intervals)
    if attempt.servers:
        return close
    return _not_shown(attempt, "a server of this attempt", max(since), close, now, intervals)
