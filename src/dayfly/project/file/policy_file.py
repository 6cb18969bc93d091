"""Read the policy file that the key `policy` of a job names, and note what is refused, with the file's lines.

What is refused is decided in core/own_policy.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dayfly.core import own_policy
from dayfly.project.file import job_values, json_lines, toml_lines, values
from dayfly.project.file.reading import Reading

MOST_CHARACTERS = 65_536
"""The longest file; it may have much white space, which IAM does not count."""


class _Twice(ValueError):
    """A key that an object has twice."""


def path(value: Any) -> str:
    """Return the path of a policy file."""
    text = job_values.path(value)
    if not text.endswith(".json"):
        raise values.Invalid(f'"{text}" is not a JSON file', '"iam/NAME.json"')
    return text


def read_policy(reading: Reading, place: toml_lines.Path, file: str) -> Mapping[str, Any] | None:
    """Return the document in this file; None if it is refused, after noting why. `place`: the key that names it."""
    try:
        text = reading.files(file).removeprefix("\ufeff")
        document = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except OSError as error:
        reading.note(
            place, f"{file} cannot be read: {error.strerror or error}", "a JSON file in the folder of dayfly.toml"
        )
        return None
    except json.JSONDecodeError as error:
        reading.note(place, f"{file}, line {error.lineno}: invalid JSON: {error.msg}")
        return None
    except (ValueError, RecursionError) as error:
        reading.note(place, f"{file} is not JSON: {error}")
        return None
    refused = own_policy.refusals(document)
    lines = json_lines.find(text)
    for each in refused:
        reading.note(place, f"{file}, line {_line(lines, each.path)}: {each.message}", *each.remedies, why=each.why)
    return None if refused else document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Twice(f'an object has "{twice}" twice')
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _line(lines: Mapping[json_lines.Path, int], path: json_lines.Path) -> int:
    """Return the line of the part of a document, or of the nearest part around it that the file has."""
    while path not in lines and path:
        path = path[:-1]
    return lines[path]
