"""What a server reported about itself, as far as dayfly uses it. A job can write its own reports, so nothing here is believed.

Texts are bounded and printable, reasons come from a closed set, and an output must be below the server's own prefix. Whether it is
stored is seen in the listing of that prefix, not in the report.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from dayfly.core.patterns import matches
from dayfly.core.reasons import AgentReason, Outcome
from dayfly.core.records import Ended, Log, Output, Started

_REASON = re.compile(r"exit [0-9]{1,3}|killed by signal [0-9]{1,3}")
_DETAIL, _LINE, _WORD = 2000, 500, 100
_LINES = 50


def started(record: Started) -> Started:
    """Return what a server reported about its start, bounded."""
    return replace(
        record,
        python=_text(record.python, _WORD),
        machine=_text(record.machine, _WORD),
        user=_text(record.user, _WORD),
    )


def ended(record: Ended, prefix: str) -> Ended:
    """Return what a server reported about its end, bounded. `prefix`: of all that the server may write."""
    outputs = tuple(output for output in record.outputs if _is_own(output, prefix))
    return replace(
        record,
        reason=_reason(record),
        detail=_text(record.detail, _DETAIL),
        outputs=tuple({output.path: output for output in outputs}.values()),
        missing=_texts(record.missing),
        log=Log(
            pieces=max(0, record.log.pieces),
            bytes=max(0, record.log.bytes),
            lines=max(0, record.log.lines),
            last=_texts(record.log.last),
        ),
    )


def why_not_saved(record: Ended, declared: Iterable[str], stored: Mapping[str, int]) -> str:
    """Return which outputs are not stored as reported, or declared and not reported; empty if all are there.

    `stored`: sizes by key, as S3 lists them.
    """
    lacking = []
    for output in record.outputs:
        if stored.get(output.key) != output.size:
            size = stored.get(output.key, "no")
            lacking.append(f"{output.path}: {output.size} bytes reported, {size} bytes stored")
    for pattern in declared:
        if not any(matches(output.path, pattern) for output in record.outputs):
            lacking.append(f"{pattern}: nothing was stored")
    return _text("; ".join(lacking), _DETAIL)


def _reason(record: Ended) -> str:
    if record.outcome in (Outcome.SUCCEEDED, Outcome.TIMED_OUT):
        return AgentReason.NONE
    if record.outcome == Outcome.CANCELLED:
        return AgentReason.CANCELLED
    if _REASON.fullmatch(record.reason) or record.reason in tuple(AgentReason):
        return record.reason
    return AgentReason.UNKNOWN


def _is_own(output: Output, prefix: str) -> bool:
    """Return whether this is a file below the server's prefix, with a path that is safe to write below a folder."""
    parts = output.path.split("/")
    return (
        output.key == f"{prefix}output/{output.path}" and "\0" not in output.path and not {"", ".", ".."} & set(parts)
    )


def _texts(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(_text(line, _LINE) for line in tuple(lines)[-_LINES:])


def _text(text: str, longest: int) -> str:
    """Return a text in one line, without characters that control a terminal."""
    return "".join(char if char.isprintable() else " " for char in text[:longest])
