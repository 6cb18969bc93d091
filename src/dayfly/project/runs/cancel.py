"""Cancel a run: record the cancel, take the steps that are due, and wait until its server is gone.

A job that has started gets TERM, 30 s later KILL, and its server stores what it wrote. A server that does not end by then is ended.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from dayfly.core import names
from dayfly.core.facts import Facts
from dayfly.core.record_json import encode
from dayfly.core.records import Cancel, Closed, Started
from dayfly.errors import NotFoundError, UnfinishedError
from dayfly.flows.actor import Actor
from dayfly.flows.calls import Flow, Now, PutNew, ask
from dayfly.flows.gather import gather
from dayfly.flows.walk import WalkResult, walk
from dayfly.project.waiting import ask_until

GONE_WITHIN_S = 60.0
"""How long to wait until EC2 shows the server as gone. After that the sweeper takes over."""


def cancel(run: names.RunName, actor: Actor, by: str, poll_s: float, *, at_once: bool = False) -> Flow[Facts]:
    """Cancel the run's newest attempt and return its facts, closed. Its end may have come before the cancel.

    `at_once`: end the server without waiting for its job.
    Raises NotFoundError when the run is over, UnfinishedError when its server is still terminating.
    """
    facts = yield from gather(run)
    if not facts.is_open:
        raise NotFoundError(f"nothing to cancel: {run} is over already", hint=f"dayfly show {run}")
    record = Cancel(at=(yield from ask(Now())), by=by)
    yield from ask(PutNew(names.attempt_key(run, facts.attempt_number, record.file), encode(record)))
    within_s = GONE_WITHIN_S
    if isinstance(facts.attempt.started, Started) and not at_once:
        within_s += actor.intervals.after_cancel.total_seconds()
    if at_once:
        actor = replace(actor, intervals=replace(actor.intervals, after_cancel=timedelta(0)))
    walked = yield from ask_until(
        lambda walked: walked.step.settled,
        lambda: walk(run, actor),
        every_s=poll_s,
        within_s=within_s,
    )
    return _closed(run, walked)


def _closed(run: names.RunName, walked: WalkResult) -> Facts:
    match walked.facts.attempt.closed:
        case Closed():
            return walked.facts
    raise UnfinishedError(
        f"{run}: cancel requested; not over yet: {walked.step.reason}",
        hint="the sweeper finishes it within 5 minutes: dayfly ps",
    )
