"""Lambda: time to sweep. Ends what should have ended, carries on what was left, leaves a heartbeat and a metric.

Travels in the function's zip. A sweep that was not whole is raised after it did all it could: its alarm hears the silence.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from dayfly.core import names
from dayfly.flows.actor import SWEEPER_MAY
from dayfly.flows.sweep import sweep_project
from dayfly.remote import environment

log = environment.json_log("sweeper", lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201


def handler(_event: Any, _context: Any) -> dict[str, Any]:
    """The sweeper's entry."""
    interpreter = environment.interpreter(os.environ, log)
    actor = environment.actor(os.environ, "sweeper", SWEEPER_MAY)
    swept = interpreter.run(sweep_project(actor, int(os.environ[names.ENV_KEEP])))
    # CloudWatch reads metrics out of the log in this form; no call and no right is needed.
    metric = {"Namespace": "dayfly", "Dimensions": [["Project"]], "Metrics": [{"Name": "GoodSweeps", "Unit": "Count"}]}
    beat = {"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metric]}, "GoodSweeps": 1}
    print(json.dumps({**beat, "Project": os.environ[names.ENV_PROJECT]}), flush=True)  # noqa: T201
    return {"ended": swept.ended, "walked": swept.walked, "removed": swept.removed}
