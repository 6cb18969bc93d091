"""A job version as JSON. The launcher reads what a deploy wrote, so every format written must stay readable."""

from __future__ import annotations

import json
from dataclasses import asdict

from dayfly.core import names
from dayfly.core.model import Deployed, Removed, Version
from dayfly.core.record_json import read_json, typed


def write_version(version: Version) -> bytes:
    """Return a version as JSON. A removed job's version has `removed` and no `job`."""
    content = asdict(version)
    content["format"] = names.FORMAT
    content["effective_from"] = names.utc_text(version.effective_from)
    if isinstance(version, Removed):
        content["removed"] = True
    return json.dumps(content, sort_keys=True, ensure_ascii=False).encode()


def read_version(body: bytes) -> Version:
    """Return a version from its JSON. Raises BadRecord."""
    content = read_json(body)
    if content.get("removed"):
        return typed(Removed, content)
    return typed(Deployed, content)
