"""The sweeper function: runs the sweeper's flow and writes a metric for each whole sweep.

An error in any part is raised after all other parts were done; then there is no metric, and the alarm goes off.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from dayfly.core import names
from dayfly.flows.actor import SWEEPER_STATES
from dayfly.flows.sweep import sweep_project
from dayfly.remote import environment

log = environment.json_log("sweeper", lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201


def handler(_event: Any, _context: Any) -> dict[str, Any]:
    """The handler. Raises Unclear when any part of the sweep failed."""
    interpreter = environment.interpreter(os.environ, log)
    actor = environment.actor(os.environ, "sweeper", SWEEPER_STATES)
    swept = interpreter.run(sweep_project(actor, int(os.environ[names.ENV_KEEP])))
    # CloudWatch extracts metrics of this form from the log; that needs no call and no permission.
    metric = {"Namespace": "dayfly", "Dimensions": [["Project"]], "Metrics": [{"Name": "GoodSweeps", "Unit": "Count"}]}
    beat = {"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metric]}, "GoodSweeps": 1}
    print(json.dumps({**beat, "Project": os.environ[names.ENV_PROJECT]}), flush=True)  # noqa: T201
    return {"ended": swept.ended, "walked": swept.walked, "removed": swept.removed}
