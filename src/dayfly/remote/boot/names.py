"""Names that the server shares with core/names.py, which it cannot import (a test compares them); times; the console."""

from __future__ import annotations

import calendar
import sys
import time

FORMAT = 1

TAG_BUCKET = "dayfly:bucket"
TAG_ROLE = "dayfly:role"
TAG_LIFETIME = "dayfly:lifetime"
TAG_DEADLINE = "dayfly:deadline"

ENDPOINT = "AWS_ENDPOINT_URL"
METADATA_ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"


def go_key(role: str, instance: str) -> str:
    """Return the key of the server's go.json."""
    return f"go/{role}:{instance}/go.json"


def utc_text(seconds: float) -> str:
    """Format seconds since 1970 as `2026-11-24T22:41:00Z`; fractions are cut off."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def seconds_of(text: str) -> int:
    """Read what `utc_text` writes. Raises ValueError."""
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))


def utc_millis(seconds: float) -> str:
    """Format seconds since 1970 as `2026-11-24T22:41:00.123Z`."""
    return f"{utc_text(seconds)[:-1]}.{int(seconds * 1000) % 1000:03d}Z"


def say(line: str, program: str = "agent") -> None:
    """Write one line to the console."""
    sys.stderr.write(f"dayfly {program}: {line}\n")
    sys.stderr.flush()
