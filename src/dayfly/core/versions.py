"""A job's version to and from bytes: content-addressed, with the moment from which it holds. Nothing else."""

from __future__ import annotations

import json

from dayfly.core.model import Version, version_of, version_record


def read_version(body: bytes) -> Version:
    """Raises ValueError for what is no version."""
    try:
        return version_of(json.loads(body))
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a job version: {error}") from error


def write_version(version: Version) -> bytes:
    return json.dumps(version_record(version), sort_keys=True, ensure_ascii=False).encode()
