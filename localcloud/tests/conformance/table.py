"""Collects every row, and makes the generated part of docs/conformance.md from them.

Nothing in this module sends a request; test_conformance.py checks what the page states.
"""

import importlib
from collections.abc import Iterator
from pathlib import Path

from rows import AREAS, ROWS, Row

HERE = Path(__file__).parent
HEADS = ("AWS says", "source", "localcloud", "real account")


def all_rows() -> list[Row]:
    """Return every row, area by area, in the order of the files."""
    for path in sorted(HERE.glob("*_rows.py")):
        importlib.import_module(path.stem)
    return sorted(ROWS.values(), key=lambda one: AREAS.index(one.area))


def page() -> Iterator[str]:
    """Yield the generated part of the page: the counts, then a table for each area."""
    rows = all_rows()
    answer = sum(not one.not_on_aws for one in rows)
    unverified = sum(bool(one.unverified) for one in rows)
    yield f"{len(rows)} rows; {answer} of them can also be asked of a real account.\n"
    yield f"In {unverified} rows a part is on no page of AWS; the row marks it in brackets.\n"
    for area in AREAS:
        yield f"\n## {area}\n\n" + _line(*HEADS) + _line(*("---" for _ in HEADS))
        for one in rows:
            if one.area == area:
                yield _line(_says(one), one.source, "yes", _account(one))


def _says(one: Row) -> str:
    if not one.unverified:
        return one.says
    doubt = one.unverified.rstrip(".")
    return f"{one.says} [not verified: {doubt[0].lower()}{doubt[1:]}]"


def _account(one: Row) -> str:
    if one.not_on_aws:
        return f"cannot be asked: {one.not_on_aws}"
    return "can be asked"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"
