"""Names that only the agent shares with core/names.py: keys of the log, variables of the job. No decisions live here.

The agent cannot import core/names.py; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping


def log_key(prefix: str, number: int) -> str:
    """Return the key of a piece of the log; pieces are numbered from 1."""
    return f"{prefix}log/{number:06d}"


def cancel_key(prefix: str) -> str:
    """Return the key of the object that cancels the run, for the server that writes below `prefix`."""
    return f"go/{prefix.rstrip('/').rpartition('/')[2]}/cancel.json"


def job_variables(go: Mapping[str, object], term_at: str, last: str, scratch: str) -> dict[str, str]:
    """Return the environment variables that tell a job which run it is, and where its folders are."""
    found = {"DAYFLY_" + name.upper(): str(go[name]) for name in ("tick", "day", "run", "job", "attempt", "region")}
    region = found["DAYFLY_REGION"]
    folders = {"DAYFLY_LAST": last, "DAYFLY_SCRATCH": scratch}
    return {**found, "DAYFLY_TERM_AT": term_at, **folders, "AWS_REGION": region, "AWS_DEFAULT_REGION": region}
