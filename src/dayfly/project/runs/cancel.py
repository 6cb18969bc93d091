"""Cancel a run: record the cancel, take the steps that are due, and wait until its server is gone."""

from __future__ import annotations

from dayfly.core import names
from dayfly.core.record_json import encode
from dayfly.core.records import Cancel, Closed
from dayfly.core.states import State
from dayfly.errors import NotFoundError, UnfinishedError
from dayfly.flows.actor import Actor
from dayfly.flows.calls import Flow, Now, PutNew, ask
from dayfly.flows.gather import gather
from dayfly.flows.walk import WalkResult, walk
from dayfly.project.waiting import ask_until

GONE_WITHIN_S = 60
"""How long to wait until EC2 shows the server as gone. After that the sweeper takes over."""


def cancel(run: names.RunName, actor: Actor, by: str, poll_s: float) -> Flow[Closed]:
    """Cancel the run's newest attempt and return its end, which may have come before the cancel.

    Raises NotFoundError when the run is over, UnfinishedError when its server is still terminating.
    """
    facts = yield from gather(run)
    if not facts.is_open:
        raise NotFoundError(f"nothing to cancel: {run} is over already", hint=f"dayfly show {run}")
    record = Cancel(at=(yield from ask(Now())), by=by)
    yield from ask(PutNew(names.attempt_key(run, facts.attempt_number, record.file), encode(record)))
    walked = yield from ask_until(
        lambda walked: walked.step.state is State.FINISHED,
        lambda: walk(run, actor),
        every_s=poll_s,
        within_s=GONE_WITHIN_S,
    )
    return _closed(run, walked)


def _closed(run: names.RunName, walked: WalkResult) -> Closed:
    match walked.facts.attempt.closed:
        case Closed() as closed:
            return closed
    raise UnfinishedError(
        f"{run}: cancel requested; not over yet: {walked.step.reason}",
        hint="the sweeper finishes it within 5 minutes: dayfly ps",
    )
