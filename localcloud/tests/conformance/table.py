"""The table as a whole: every row collected, and its page, as docs/conformance.md shows it.

Nothing is asked here; the page states what the tests hold true.
"""

import collections
import importlib
from collections.abc import Iterator
from pathlib import Path

from rows import AREAS, CANNOT, NO, NOT_KNOWN, ROWS, YES, Row

HERE = Path(__file__).parent
HEADS = ("AWS says", "said in", "localcloud", "moto", "a real account")


def all_rows() -> list[Row]:
    """Every row, area by area, in the order of its file."""
    for path in sorted(HERE.glob("*_rows.py")):
        importlib.import_module(path.stem)
    return sorted(ROWS.values(), key=lambda one: AREAS.index(one.area))


def counted(rows: list[Row], target: str) -> str:
    """How many rows a target answers how, such as "yes 48, no 108, not known 49"."""
    found = collections.Counter(one.expected(target) for one in rows)
    return ", ".join(f"{outcome} {found[outcome]}" for outcome in (YES, NO, NOT_KNOWN, CANNOT) if found[outcome])


def page() -> Iterator[str]:
    """The page's part that is made: the counts, and a table per area."""
    rows = all_rows()
    yield f"{len(rows)} rows. localcloud: {counted(rows, 'localcloud')}. moto: {counted(rows, 'moto')}.\n"
    unsure = sum(bool(one.unsure) for one in rows)
    yield f"Of {unsure} of them a part stands on no page of AWS's; it is said in brackets.\n"
    for area in AREAS:
        yield f"\n## {area}\n\n" + _line(*HEADS) + _line(*("---" for _ in HEADS))
        for one in rows:
            if one.area == area:
                yield _line(*_cells(one))


def _cells(one: Row) -> tuple[str, ...]:
    doubt = one.unsure.rstrip(".")
    says = one.says + (f" [not verified: {doubt[0].lower()}{doubt[1:]}]" if doubt else "")
    moto = {NO: f"no: {one.differs}", NOT_KNOWN: f"not known: {one.unknown}"}.get(one.expected("moto"), YES)
    account = f"not asked: {one.unasked}" if one.unasked else "can be asked"
    return says, one.source, one.expected("localcloud"), moto, account


def _line(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"
