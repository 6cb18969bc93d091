"""The rows of the conformance table: what AWS documents, where, and the check that asks a target whether it is so.

The checks themselves are in the files `*_rows.py`; how a target is reached is in targets.py. Nothing here asks anything.
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

YES, NO, NOT_KNOWN, CANNOT = "yes", "no", "not known", "cannot ask"
AREAS = ("ec2", "metadata", "iam", "s3", "scheduler", "lambda", "events", "cloudformation", "endpoint")

Check = Callable[[Any], None]


@dataclass(frozen=True)
class Row:
    """One documented behaviour.

    `says` is what AWS does, `source` the page that says so. `differs` is why moto's answer is another one ("" when it is the
    same) and `shows` a part of what `told` says of that answer, so that no other failure passes for it. `unknown` is why moto
    cannot be asked, `unasked` why a real account is not asked. `unsure` says what of it no page
    of AWS's states.
    """

    name: str
    area: str
    says: str
    source: str
    check: Check
    differs: str = ""
    shows: str = ""
    unknown: str = ""
    unasked: str = ""
    unsure: str = ""

    def expected(self, target: str) -> str:
        """The outcome that the table states for a target, before anybody asks it."""
        if target == "moto" and self.unknown:
            return NOT_KNOWN
        if target == "aws" and self.unasked:
            return CANNOT
        return NO if target == "moto" and self.differs else YES


@dataclass(frozen=True)
class Verdict:
    """What a target was found to do: one of YES, NO, NOT_KNOWN and CANNOT, and why."""

    outcome: str
    detail: str = ""


ROWS: dict[str, Row] = {}


def told(difference: Exception) -> str:
    """One line on what went wrong: its first words, or the line of the row that was not so.

    Where pytest runs, its words hold the values that were compared.
    """
    words = str(difference).splitlines()
    if words and words[0]:
        return f"{type(difference).__name__}: {' / '.join(word.strip() for word in words[:3])}"
    where = [frame for frame in traceback.extract_tb(difference.__traceback__) if frame.filename.endswith("_rows.py")]
    return where[-1].line or "" if where else type(difference).__name__


def row(area: str, says: str, source: str, **more: str) -> Callable[[Check], Check]:
    """Register the decorated check as a row that is called like its area and the function."""
    if area not in AREAS:
        raise ValueError(f"no area is called {area}")

    def register(check: Check) -> Check:
        name = f"{area}-{check.__name__}".replace("_", "-")
        if name in ROWS:
            raise ValueError(f"two rows are called {name}")
        ROWS[name] = Row(name, area, says, source, check, **more)
        return check

    return register


def ask(one: Row, target: Any) -> Verdict:
    """Ask a target; whatever it made is removed again."""
    expected = one.expected(target.name)
    if expected in (NOT_KNOWN, CANNOT):
        return Verdict(expected, one.unknown if expected == NOT_KNOWN else one.unasked)
    try:
        one.check(target)
    except Exception as difference:
        # Whatever goes wrong is an answer: a page instead of XML, a member that is not there, an error.
        return Verdict(NO, told(difference))
    finally:
        target.tidy()
    return Verdict(YES)
