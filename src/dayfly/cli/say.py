"""The only place that prints: answers to stdout, progress and notes to stderr, one JSON document when asked.

Words and columns are made by core/screens*.py; here they only get out, with colour on a terminal and never as the only sign.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from dayfly.core import names
from dayfly.errors import DayflyError

_RED, _DIM, _OFF = "\033[31m", "\033[2m", "\033[0m"


def answer(line: str = "") -> None:
    """One line of the answer."""
    _write(sys.stdout, line)


def answers(lines: Iterable[str]) -> None:
    for line in lines:
        answer(line)


def note(line: str = "") -> None:
    """Progress or a note: never part of the answer."""
    _write(sys.stderr, line)


def document(content: Mapping[str, Any]) -> None:
    """The one JSON document of `--json`."""
    _write(sys.stdout, json.dumps({"format": names.FORMAT, **content}, ensure_ascii=False, default=str))


def labelled(label: str, text: str, indent: int = 0) -> str:
    """`target   AWS ...`: a label of one width, and its text."""
    return f"{' ' * indent}{label:<8} {text}".rstrip()


def refusal(error: DayflyError, *, as_json: bool) -> None:
    """What was refused: what, then why and what to do."""
    if as_json:
        lines = [{"label": label, "text": text} for label, text in error.lines]
        document({"error": error.message, "hint": error.hint, "lines": lines, "exit": error.exit_code})
        return
    # Config problems are whole messages of their own; the sum comes last.
    if error.lines and error.lines[0][0] in ("error", "warning"):
        for label, text in error.lines:
            indent = 0 if label in ("error", "warning") else 9
            note(
                _coloured(
                    f"{' ' * indent}{label:<8} {text}" if not indent else f"{' ' * indent}{label:<4} {text}", label
                )
            )
        note(error.message)
        return
    note(_coloured(labelled(error.label, error.message), error.label))
    for label, text in error.lines:
        note(f"{' ' * 9}{label:<8} {text}".rstrip())
    if error.hint:
        note(f"{' ' * 9}{'do':<8} {error.hint}")


def _coloured(line: str, label: str) -> str:
    if label == "error" and sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        return line.replace(label, f"{_RED}{label}{_OFF}", 1)
    return line


def _write(stream: Any, line: str) -> None:
    try:
        print(line, file=stream, flush=True)
    except BrokenPipeError:
        # Whoever read us has gone (`| head`): nothing more to say, and no traceback about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
