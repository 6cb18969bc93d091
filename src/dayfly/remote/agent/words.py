"""The agent's copy of the words that cross the server's border: tags, keys, variables.

The agent can not import dayfly's own; a test holds both alike. No rules and no I/O here, but for the clock's text form.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

FORMAT = 1

TAG_BUCKET = "dayfly:bucket"
TAG_ROLE = "dayfly:role"

ENDPOINT = "AWS_ENDPOINT_URL"
METADATA_ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"

GO_WAIT = 600.0
"""Seconds in which go.json must be there."""
GRACE = 30.0
"""Seconds from TERM to KILL."""


def go_key(role: str, instance: str) -> str:
    return f"go/{role}:{instance}/go.json"


def log_key(prefix: str, number: int) -> str:
    return f"{prefix}log/{number:06d}"


def output_key(prefix: str, path: str) -> str:
    return f"{prefix}output/{path}"


def started_key(prefix: str) -> str:
    return f"{prefix}started.json"


def ended_key(prefix: str) -> str:
    return f"{prefix}ended.json"


def job_variables(go: Mapping[str, object], term_at: str) -> dict[str, str]:
    """What tells a job which run it is."""
    region = str(go["region"])
    return {
        "DAYFLY_TICK": str(go["tick"]),
        "DAYFLY_DAY": str(go["day"]),
        "DAYFLY_RUN": str(go["run"]),
        "DAYFLY_JOB": str(go["job"]),
        "DAYFLY_ATTEMPT": str(go["attempt"]),
        "DAYFLY_REGION": region,
        "DAYFLY_TERM_AT": term_at,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }


def utc_text(seconds: float) -> str:
    """Seconds since 1970 -> `2026-11-24T22:41:00Z`; fractions are cut off."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def utc_millis(seconds: float) -> str:
    """Seconds since 1970 -> `2026-11-24T22:41:00.123Z`."""
    millis = int(seconds * 1000)
    return f"{utc_text(millis // 1000)[:-1]}.{millis % 1000:03d}Z"
