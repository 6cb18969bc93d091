"""Names that only the agent shares with core/names.py: keys of the log, variables of the job. No decisions live here.

The agent cannot import core/names.py; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping


def log_key(prefix: str, number: int) -> str:
    """Return the key of a piece of the log; pieces are numbered from 1."""
    return f"{prefix}log/{number:06d}"


def job_variables(go: Mapping[str, object], term_at: str) -> dict[str, str]:
    """Return the environment variables that tell a job which run it is."""
    found = {"DAYFLY_" + name.upper(): str(go[name]) for name in ("tick", "day", "run", "job", "attempt", "region")}
    region = found["DAYFLY_REGION"]
    return {**found, "DAYFLY_TERM_AT": term_at, "AWS_REGION": region, "AWS_DEFAULT_REGION": region}
