"""The sweeper function: sweep by its schedule, close a run when EC2 says that its server ended, and send a test message.

If a part of a sweep fails, the other parts are still done; then the error is raised. A sweep without errors writes a metric; if it
is missing, the alarm goes off.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from dayfly.cloud.interpreter import Interpreter
from dayfly.core import names
from dayfly.core.sweeper_event import ScheduledSweep, StateChange, TrialNotice, sweeper_event
from dayfly.errors import FileError, Unclear
from dayfly.flows.actor import SWEEPER_STATES, Actor
from dayfly.flows.closing import close_after
from dayfly.flows.sweep import sweep_project
from dayfly.flows.telling import tell_trial
from dayfly.remote import environment

log = environment.json_log("sweeper", lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Sweep the project, close the run of a server that ended, or send a test message. Raises Unclear if part of a sweep failed.

    Raises FileError for an event that it cannot read. Lambda does not retry the sweeper: what was raised becomes one dead letter.
    """
    interpreter = environment.interpreter(os.environ, log)
    actor = environment.actor(os.environ, "sweeper", SWEEPER_STATES, str(getattr(context, "aws_request_id", "")))
    try:
        asked = sweeper_event(event)
    except FileError as error:
        log(f"refused: {error.message}", {"event": event, "kind": type(error).__name__})
        raise
    match asked:
        case ScheduledSweep():
            return _sweep(interpreter, actor)
        case StateChange() as change:
            return close(interpreter, actor, change)
        case TrialNotice(by=by):
            sent = interpreter.run(tell_trial(actor, by))
            return {"took": list(sent.took), "failed": dict(sent.failed)}


def _sweep(interpreter: Interpreter, actor: Actor) -> dict[str, Any]:
    own = tuple(os.environ.get(names.ENV_ZIPS, "").split())
    swept = interpreter.run(sweep_project(actor, int(os.environ[names.ENV_KEEP]), own))
    # CloudWatch extracts this form (embedded metric format) from the log, without a call or a permission.
    metric = {
        "Namespace": names.METRIC_NAMESPACE,
        "Dimensions": [[names.METRIC_DIMENSION]],
        "Metrics": [{"Name": names.METRIC_SWEEPS, "Unit": "Count"}],
    }
    entry = {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metric]},
        names.METRIC_SWEEPS: 1,
        names.METRIC_DIMENSION: os.environ[names.ENV_PROJECT],
    }
    print(json.dumps(entry), flush=True)  # noqa: T201
    return {"ended": swept.ended, "walked": swept.walked, "removed": swept.removed, "files": swept.files}


def close(interpreter: Interpreter, actor: Actor, change: StateChange) -> dict[str, Any]:
    """Close the run of a server that ended. An unclear answer of AWS is left to the next sweep, and is no failure."""
    story = {"server": change.server, "state": change.state, "at": names.utc_text(change.at)}
    try:
        closing = interpreter.run(close_after(change, actor))
    except Unclear as error:
        log(f"left to the next sweep: {error.message}", story)
        return {**story, "run": "", "ended": "", "left": error.message}
    answer = {**story, "run": closing.run, "ended": closing.ended, "left": ""}
    if closing.run or closing.ended:  # Servers of other projects, perhaps thousands a day, leave no line.
        log("state change", answer)
    return answer
