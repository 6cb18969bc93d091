"""The sweeper function: run the sweeper's flow, and write a metric for each sweep without errors.

If a part of the sweep fails, the other parts are still done; then the error is raised. The metric is missing, so the alarm goes off.
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
    """Sweep the project once. Raises Unclear if any part of the sweep failed."""
    interpreter = environment.interpreter(os.environ, log)
    actor = environment.actor(os.environ, "sweeper", SWEEPER_STATES)
    swept = interpreter.run(sweep_project(actor, int(os.environ[names.ENV_KEEP])))
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
    return {"ended": swept.ended, "walked": swept.walked, "removed": swept.removed}
