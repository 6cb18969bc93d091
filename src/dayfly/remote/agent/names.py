"""Tags, keys and environment variables that the server shares with dayfly's core/names.py; and lines for the console.

The agent cannot import core/names.py; a test compares the two. No decisions live here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

FORMAT = 1

TAG_BUCKET = "dayfly:bucket"
TAG_ROLE = "dayfly:role"
TAG_LIFETIME = "dayfly:lifetime"

ENDPOINT = "AWS_ENDPOINT_URL"
METADATA_ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"


def go_key(role: str, instance: str) -> str:
    """Return the key of the server's go.json."""
    return f"go/{role}:{instance}/go.json"


def log_key(prefix: str, number: int) -> str:
    """Return the key of a piece of the log; pieces are numbered from 1."""
    return f"{prefix}log/{number:06d}"


def job_variables(go: Mapping[str, object], term_at: str) -> dict[str, str]:
    """Return the environment variables that tell a job which run it is."""
    found = {"DAYFLY_" + name.upper(): str(go[name]) for name in ("tick", "day", "run", "job", "attempt", "region")}
    region = found["DAYFLY_REGION"]
    return {**found, "DAYFLY_TERM_AT": term_at, "AWS_REGION": region, "AWS_DEFAULT_REGION": region}


def utc_text(seconds: float) -> str:
    """Format seconds since 1970 as `2026-11-24T22:41:00Z`; fractions are cut off."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def utc_millis(seconds: float) -> str:
    """Format seconds since 1970 as `2026-11-24T22:41:00.123Z`."""
    return f"{utc_text(seconds)[:-1]}.{int(seconds * 1000) % 1000:03d}Z"


def say(line: str, program: str = "agent") -> None:
    """Write one line to the console."""
    sys.stderr.write(f"dayfly {program}: {line}\n")
    sys.stderr.flush()
