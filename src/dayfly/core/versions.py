"""A job version as JSON. The launcher reads what a deploy wrote, so every format written must stay readable."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from dayfly.core import names
from dayfly.core.model import Agent, Code, Deployed, Job, LaunchSettings, Removed, Version


def write_version(version: Version) -> bytes:
    """Return a version as JSON. A removed job's version has `removed` and no `job`."""
    content = asdict(version)
    content["format"] = names.FORMAT
    content["effective_from"] = names.utc_text(version.effective_from)
    if isinstance(version, Removed):
        content["removed"] = True
    return json.dumps(content, sort_keys=True, ensure_ascii=False).encode()


def read_version(body: bytes) -> Version:
    """Return a version from its JSON. Raises ValueError."""
    try:
        return _version(json.loads(body))
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a job version: {error}") from error


def _version(content: Mapping[str, Any]) -> Version:
    since = names.utc_moment(content["effective_from"])
    if content.get("removed"):
        return Removed(name=content["name"], effective_from=since, deployed_by=content["deployed_by"])
    return Deployed(
        name=content["name"],
        effective_from=since,
        job=_job(content["job"]),
        code=_code(content["code"]),
        agent=_agent(content.get("agent")),
        launch=LaunchSettings(**{**content["launch"], "subnets": tuple(content["launch"]["subnets"])}),
        tags=dict(content["tags"]),
        deployed_by=content["deployed_by"],
    )


def _job(content: Mapping[str, Any]) -> Job:
    lists = {key: tuple(content[key]) for key in ("servers", "schedule", "outputs", "bundle")}
    command = content["command"]
    if isinstance(command, list):
        command = tuple(command)
    return Job(**{**content, **lists, "command": command})


def _code(content: Mapping[str, Any] | None) -> Code | None:
    if content is None:
        return None
    return Code(**{**content, "wheels": tuple(content["wheels"])})


def _agent(content: Mapping[str, Any] | None) -> Agent | None:
    if content is None:
        return None
    return Agent(**content)
