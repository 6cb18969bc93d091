"""Parse the text of dayfly.toml: return a project, or raise all problems at once.

project_table.py and job_table.py read the keys, reading.py notes problems with their lines, values.py reads one value, keys.py lists the
keys, and warnings.py finds valid values with surprising effects. The caller reads the files and supplies the time zones.
"""

from __future__ import annotations

import re
import tomllib
from datetime import datetime
from typing import Any

from dayfly.core.model import Project
from dayfly.project.file import bounds, toml_lines
from dayfly.project.file.job_table import MARGIN_LEAST_S
from dayfly.project.file.problems import Problem, Problems
from dayfly.project.file.project_table import read_project
from dayfly.project.file.reading import Files, Reading, Zones, quoted

_LONG_NUMBER = re.compile(r"[0-9_]{4300,}")
_AT = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)")


def no_files(path: str) -> str:
    """Raise FileNotFoundError: the text comes from no folder."""
    raise FileNotFoundError(2, "no such file", path)


def read(
    text: str,
    *,
    zones: Zones,
    file: str = "dayfly.toml",
    now: datetime | None = None,
    allow_short_margin: bool = False,
    files: Files = no_files,
) -> Project:
    """Return the project that this text describes, with all defaults filled in.

    Given `now` (with a time zone), remedies for a schedule show its next tick. `allow_short_margin` is for demos and tests. `files`
    reads the files that keys name. Raises Problems, which holds every problem with its line.
    """
    text = text.removeprefix("\ufeff")
    tables = _tables(text, file)
    reading = Reading(toml_lines.find(text), zones, now, 1 if allow_short_margin else MARGIN_LEAST_S, files)
    project = read_project(reading, tables)
    if reading.problems:
        raise Problems(file, sorted(reading.problems.values(), key=lambda problem: problem.line or 0))
    return project


def _tables(text: str, file: str) -> dict[str, Any]:
    """Return the file's tables, unread. Raises Problems for what is not TOML, or is beyond a bound."""
    if len(text) > bounds.CHARACTERS:
        message = f"the file has {len(text):,} characters; at most {bounds.CHARACTERS:,}"
        raise Problems(file, [Problem("", None, message)])
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Problems(file, [_invalid_toml(text, str(error))]) from None
    except RecursionError:
        raise Problems(file, [Problem("", None, bounds.TOO_DEEP)]) from None
    except ValueError:  # Python converts no text of more than 4,300 digits
        raise Problems(file, [Problem("", _line_of_long_number(text), bounds.TOO_MANY_DIGITS)]) from None
    fault = bounds.first_fault(tables)
    if fault is not None:
        named = ".".join(quoted(part) for part in fault.path if isinstance(part, str))
        raise Problems(file, [Problem(named, None, fault.message)])
    return tables


def _line_of_long_number(text: str) -> int | None:
    found = _LONG_NUMBER.search(text)
    if found is None:
        return None
    return text.count("\n", 0, found.start()) + 1


def _invalid_toml(text: str, message: str) -> Problem:
    reason = _AT.sub("", message)
    return Problem(
        "",
        _line_of_error(text, message),
        f"invalid TOML: {reason[:1].lower()}{reason[1:]}",
        remedies=('put strings in quotes: key = "value"',),
    )


def _line_of_error(text: str, message: str) -> int | None:
    """Return the line that a message of tomllib names; the last line for the end of the document."""
    found = _AT.search(message)
    if not found:
        return None
    if found[1]:
        return int(found[1])
    return text.removesuffix("\n").count("\n") + 1
