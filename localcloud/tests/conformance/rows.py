"""Registers the rows of the conformance table: what AWS documents, where, and the check that asks a target for it.

The checks are in the files `*_rows.py`; targets.py says how a target is reached. Nothing in this module sends a request.
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

AREAS = ("ec2", "metadata", "iam", "s3", "scheduler", "lambda", "events", "cloudformation", "endpoint")

Check = Callable[[Any], None]


@dataclass(frozen=True)
class Row:
    """One documented behavior.

    `says` is what AWS does and `source` the page that says so. `check` takes a target and raises when the target does
    something else. `not_on_aws` is the reason why a real account is not asked ("" when it can be). `unverified` is the
    part of `says` that no page of AWS states ("" when there is none).
    """

    name: str
    area: str
    says: str
    source: str
    check: Check
    not_on_aws: str = ""
    unverified: str = ""


ROWS: dict[str, Row] = {}


def row(area: str, says: str, source: str, **more: str) -> Callable[[Check], Check]:
    """Register the decorated check as a row. The row's name is its area and the function's name."""
    if area not in AREAS:
        raise ValueError(f"unknown area {area!r}; the areas are {', '.join(AREAS)}")

    def register(check: Check) -> Check:
        name = f"{area}-{check.__name__}".replace("_", "-")
        if name in ROWS:
            raise ValueError(f"two rows are called {name}")
        ROWS[name] = Row(name, area, says, source, check, **more)
        return check

    return register


def difference(one: Row, target: Any) -> str:
    """Ask a target and return one line on how its answer differs from the row, or "" when it does not."""
    try:
        one.check(target)
    except Exception as error:
        # Any failure is an answer: a missing member, a page instead of XML, an error code.
        return _one_line(error)
    finally:
        target.clean_up()
    return ""


def _one_line(error: Exception) -> str:
    """Return the first words of an error, or the source line of the row where it was raised."""
    words = str(error).splitlines()
    if words and words[0]:
        return f"{type(error).__name__}: {' / '.join(word.strip() for word in words[:3])}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.endswith("_rows.py") and frame.line:
            return frame.line
    return type(error).__name__
