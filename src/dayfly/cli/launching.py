"""How a person starts or retries a run: the documented event, sent to the launcher; a person needs no right to launch."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from dayfly.cli.target import Target
from dayfly.cloud import invoke
from dayfly.core import names
from dayfly.errors import DayflyError, FileError, NotFoundError, RightsError, SupplyError, Unclear

TRIES = 3
"""The same event with the same request is one wish, so an unclear answer is simply asked again."""
_CLASSES: Mapping[int, type[DayflyError]] = {2: FileError, 3: RightsError, 4: NotFoundError, 5: SupplyError}


def send(where: Target, project: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """Sends the event and returns the launcher's answer. Raises what the launcher refused, NotFoundError without a launcher."""
    body = json.dumps({"request": uuid.uuid4().hex, "by": where.who, **event})
    last = ""
    for _ in range(TRIES):
        answer = _asked(where, names.launcher_function(project), body)
        if "error" not in answer:
            if answer.get("refused"):
                kind = _CLASSES.get(int(answer.get("exit") or 4), NotFoundError)
                raise kind(str(answer["refused"]), hint=str(answer.get("hint") or ""))
            return answer
        last = str(answer["error"])
    raise Unclear(
        f"the launcher did not finish ({last})", hint="the sweeper carries the run on within 5 minutes: dayfly runs"
    )


def _asked(where: Target, function: str, body: str) -> dict[str, Any]:
    answer = invoke.invoke(where.aws, function, body)
    if answer is None:
        raise NotFoundError(
            f"there is no {function}: this project is not deployed here",
            hint="dayfly deploy --local" if where.local else "dayfly deploy",
        )
    return answer
