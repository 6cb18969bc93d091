"""Start or retry a run by sending an event (docs/event.md) to the launcher. So a user needs no permission to launch servers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dayfly.core import names
from dayfly.errors import DayflyError, FileError, NotFoundError, RightsError, SupplyError, Unclear, UnfinishedError
from dayfly.flows.calls import Flow, Invoke, Invoked, Sleep, ask
from dayfly.project.deploy.functions import refuse_stopped

PAUSES_S = (0, 5, 15, 30)
"""How long to wait before each sending of an event, while the answer is unclear: EC2 may take a minute to see what a deploy has made.

Events with the same `request` start only one run.
"""
_CLASSES: Mapping[int, type[DayflyError]] = {
    2: FileError,
    3: RightsError,
    4: NotFoundError,
    5: SupplyError,
    6: UnfinishedError,
}
"""The error to raise for each exit code in the launcher's answer."""


def send_event(project: str, event: Mapping[str, Any]) -> Flow[Mapping[str, Any]]:
    """Send the event, which must have a `request`, and return the launcher's answer.

    Raises the launcher's refusal as its error, NotFoundError if there is no launcher, UnfinishedError if it is stopped, Unclear if it
    did not finish.
    """
    call = Invoke(names.launcher_function(project), json.dumps(dict(event)))
    last = ""
    for pause_s in PAUSES_S:
        if pause_s:
            yield from ask(Sleep(pause_s))
        try:
            invoked = yield from ask(call)
        except Unclear as error:
            last = error.message
            continue
        if invoked is None:
            raise NotFoundError(f"{project} is not deployed here: no function {call.function}", hint="dayfly deploy")
        if not invoked.error:
            return _accepted(invoked)
        last = invoked.error
    yield from refuse_stopped(project)
    raise Unclear(
        f"the launcher did not finish ({last})", hint="the sweeper continues the run within 5 minutes: dayfly runs"
    )


def _accepted(invoked: Invoked) -> Mapping[str, Any]:
    """Return the launcher's answer if it accepted the event; otherwise raise its refusal."""
    answer = invoked.answer
    if answer.get("refused"):
        kind = _CLASSES.get(int(answer.get("exit") or 4), NotFoundError)
        raise kind(str(answer["refused"]), hint=str(answer.get("hint") or ""))
    return answer
