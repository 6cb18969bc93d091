"""What follows from the close of an attempt: receipt, `latest`, a retry, and the last steps of a run. Pure functions.

Each effect follows from `N/closed.json` alone, so anyone may repeat it. core/advance.py asks here; what comes before the close is there.
"""

from __future__ import annotations

from datetime import datetime

from dayfly.core import notification, publication, receipt, step, ticks
from dayfly.core.facts import Attempt, Facts, NotStored, Unreadable, WithEtag
from dayfly.core.intervals import NORMAL, Intervals
from dayfly.core.model import Deployed
from dayfly.core.names import out_prefix, output_prefix, run_name
from dayfly.core.reasons import Notice, Outcome, Source
from dayfly.core.records import Claim, Closed, Ended, Latest, Opened, Slot
from dayfly.core.step import Step


def needs_slot(version: Deployed) -> bool:
    """Return whether runs need the job's slot: the lock that keeps runs of a job from overlapping."""
    return version.job.overlap == "skip"


def after_close(
    facts: Facts, claim: Claim, attempt: Attempt, closed: Closed, now: datetime, intervals: Intervals = NORMAL
) -> Step:
    number, reason = attempt.number, f"closed: {closed.outcome}"
    if not attempt.receipt:
        return write_receipt(facts, attempt, closed)
    match attempt.ended:
        case Ended() as ended if _becomes_latest(facts, claim, attempt, closed):
            latest = _latest(facts, attempt, ended, now)
            return step.MoveLatest(latest=latest, before=facts.latest, reason="a newer good result", attempt=number)
    match facts.opened:
        case WithEtag(record=Opened(retry=retry) as opened) if retry == number + 1:
            return _retry(facts, opened, attempt, now, intervals)
    return finish(facts, number, closed.outcome, reason, now, intervals)


def write_receipt(facts: Facts, attempt: Attempt, closed: Closed) -> Step:
    document = receipt.build(facts, attempt, closed)
    return step.WriteReceipt(receipt=document, reason=f"closed: {closed.outcome}", attempt=attempt.number)


def _becomes_latest(facts: Facts, claim: Claim, attempt: Attempt, closed: Closed) -> bool:
    """Return whether this result becomes the job's `latest`: it succeeded and is newer than the current one."""
    if closed.outcome != Outcome.SUCCEEDED:
        return False
    if claim.source == Source.HAND and not claim.publish:
        return False
    match facts.latest:
        case WithEtag(record=Latest() as current):
            return (facts.run.tick, attempt.number) > (run_name(current.run).tick, current.attempt)
    return True


def outputs_prefix(facts: Facts, attempt: Attempt) -> str:
    return output_prefix(out_prefix(facts.run, attempt.number, attempt.intent.role_id, attempt.elected_id))


def _latest(facts: Facts, attempt: Attempt, ended: Ended, now: datetime) -> Latest:
    return Latest(
        run=str(facts.run),
        attempt=attempt.number,
        at=now,
        prefix=outputs_prefix(facts, attempt),
        outputs=ended.outputs,
    )


def _retry(facts: Facts, opened: Opened, last: Attempt, now: datetime, intervals: Intervals) -> Step:
    """Return the step that begins another attempt, with the version in force now or, for `same_code`, the last attempt's."""
    number, key = last.number + 1, last.intent.version
    newest = ticks.in_force(facts.versions, now)
    # Whether runs may overlap is in the version in force; when the job was removed, in the one that the last attempt ran.
    rules: Deployed | NotStored | Unreadable = facts.version(key)
    if isinstance(newest, Deployed):
        rules = newest
        if not opened.same_code:
            key = newest.key
    if isinstance(rules, Deployed) and needs_slot(rules):
        for free in free_unreadable_slot(facts, number):
            return free
        if not facts.holder:
            return step.TakeSlot(reason="a retry of a job whose runs do not overlap", attempt=number)
        if facts.holder != str(facts.run):
            return step.WaitForSlot(reason=f"the slot is held by {facts.holder}", attempt=number)
    if not isinstance(facts.version(key), Deployed):
        reason = f"the version {key} for attempt {number} cannot be read"
        return finish(facts, last.number, Outcome.FAILED, reason, now, intervals)
    return step.Intend(version=key, request=opened.request, reason="a retry was requested", attempt=number)


def finish(facts: Facts, attempt: int, outcome: str, reason: str, now: datetime, intervals: Intervals = NORMAL) -> Step:
    """Return the next of a run's last steps: free the slot, mark it done, tell, remove kill schedules, and at last the open key.

    While a message waits for its next try, the steps after it are taken, except that the run stays listed as open.
    """
    match facts.slot:
        case WithEtag(record=Slot(holder=holder)) as slot if holder == str(facts.run):
            return step.FreeSlot(slot=slot, reason=reason, attempt=attempt)
    for free in free_unreadable_slot(facts, attempt):
        return free
    if not any(name.attempt == attempt for name in facts.done):
        return step.MarkDone(outcome=outcome, reason=reason, attempt=attempt)
    match notification.due(facts, outcome, now, intervals):
        case Notice() as notice:
            return step.Tell(notice=notice, reason=f"nobody was told: {notice}", attempt=attempt)
    match publication.wanted(facts), facts.attempt:
        case str(results), Attempt() as newest if results:
            return step.Publish(
                results=results,
                publishing=newest,
                prefix=outputs_prefix(facts, newest),
                reason=f"results = {results}",
                attempt=attempt,
            )
    disarmable = tuple(server for each in facts.attempts for server in _to_disarm(each))
    if disarmable:
        return step.Disarm(servers=disarmable, reason=f"{disarmable[0]} is gone", attempt=attempt)
    match notification.untold(facts, outcome):
        case Notice() as notice:
            return step.WaitToTell(reason=f"told, or to be told again: {notice}", attempt=attempt)
    match facts.opened:
        case WithEtag() as opened:
            return step.RemoveOpen(opened=opened, reason="nothing is left to do", attempt=attempt)
        case NotStored():
            return step.Finished(reason=reason, attempt=attempt)


def free_unreadable_slot(facts: Facts, attempt: int) -> tuple[Step, ...]:
    """Return the step that frees a slot which cannot be read. Its holder is open, so none holds it if no other run is open."""
    match facts.slot:
        case WithEtag(record=Unreadable() as unreadable) as slot if not facts.others_open:
            reason = f"{unreadable}; no other run of the job is open"
            return (step.FreeSlot(slot=slot, reason=reason, attempt=attempt),)
    return ()


def _to_disarm(attempt: Attempt) -> list[str]:
    """Return the servers that need no kill schedule any more: EC2 shows them as terminated, now or when the attempt closed.

    Every other server keeps it, also one that EC2 does not show: it may be alive.
    """
    disarmable = {server.id for server in attempt.servers if server.gone}
    match attempt.closed:
        case Closed(terminated=True):
            disarmable.add(attempt.elected_id)
    return sorted(disarmable & attempt.armed)
