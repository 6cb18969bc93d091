"""The JSON schema of dayfly.toml, made from the keys, for editors that complete and check the file. No file is read here.

It covers names, types and forms. Rules that need two keys, and others that a schema cannot express, are in config.py, so only
`dayfly check` finds every problem. The package holds the schema as dayfly.schema.json, written by scripts/docs.
"""

from __future__ import annotations

import json
from typing import Any

from dayfly.core import names
from dayfly.project.file import disks, durations, keys

Schema = dict[str, Any]

_DIALECT = "http://json-schema.org/draft-07/schema#"
_STRING: Schema = {"type": "string"}
_FILLED: Schema = {"type": "string", "pattern": r"\S"}
_LIST: Schema = {"type": "array", "items": _FILLED, "uniqueItems": True}
_SIZE: Schema = {"type": "string", "pattern": f"^{disks.FORM}$"}
_DISK: Schema = {
    "type": "object",
    "additionalProperties": False,
    "required": ["size"],
    "properties": {
        "size": _SIZE,
        "throughput": {"type": "integer", "minimum": disks.THROUGHPUT[0], "maximum": disks.THROUGHPUT[1]},
        "iops": {"type": "integer", "minimum": disks.IOPS[0], "maximum": disks.IOPS[1]},
    },
}
_TYPES: dict[str, Schema] = {
    "string": _FILLED,
    "list": _LIST,
    "string or list": {"anyOf": [_FILLED, {"type": "array", "items": _STRING}]},
    "table": {"type": "object", "additionalProperties": _STRING},
    "bool": {"type": "boolean"},
    "duration": {"type": "string", "pattern": f"^{durations.FORM}$", "minLength": 1},
    "size or table": {"anyOf": [_SIZE, _DISK]},
    "path": _FILLED,
    "ARN": {"type": "string", "pattern": "^arn:"},
}
"""JSON schema of each type that keys.py names."""


def text() -> str:
    """Return the schema as the text of its file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def schema() -> Schema:
    """Return the JSON schema (draft 7) of a whole dayfly.toml."""
    job_name = {"pattern": f"^(?:{names.JOB_NAME.pattern})$"}
    tables = {
        "network": _table("network", {"type": "object", "additionalProperties": _reference("network")}),
        "defaults": _table("defaults", _reference("job")),
        "jobs": _table(
            "jobs",
            {
                "type": "object",
                "minProperties": 1,
                "propertyNames": job_name,
                "additionalProperties": _reference("job"),
            },
        ),
    }
    project = _object("project", tables)
    required = [key.name for key in keys.ALL if key.scope == "project" and key.default == "required"]
    return {
        "$schema": _DIALECT,
        "title": "dayfly.toml",
        **project,
        "required": [*required, "jobs"],
        "definitions": {"network": _object("network"), "job": _object("job")},
    }


def _object(scope: keys.Scope, tables: Schema | None = None) -> Schema:
    properties = {key.name: _property(key) for key in keys.ALL if key.scope == scope}
    return {"type": "object", "additionalProperties": False, "properties": {**properties, **(tables or {})}}


def _property(key: keys.Key) -> Schema:
    description = {"description": f"{key.text}. Default: {key.default}."}
    if key.default == "required":
        description = {"description": f"{key.text}. Required."}
    if key.choices:
        return {**description, "enum": list(key.choices)}
    return {**description, **_TYPES[key.type]}


def _table(name: str, content: Schema) -> Schema:
    # Draft 7 ignores what stands beside a $ref, so a reference goes into allOf.
    described = {"description": keys.TABLES[name]}
    if "$ref" in content:
        return {**described, "allOf": [content]}
    return {**described, **content}


def _reference(definition: str) -> Schema:
    return {"$ref": f"#/definitions/{definition}"}
