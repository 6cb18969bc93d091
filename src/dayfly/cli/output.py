"""The only module that prints: answers to stdout, progress and errors to stderr, with `--json` one JSON document to stdout.

What a screen says is made in project/screens. Color appears only on a terminal, and no meaning depends on it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import TextIO

from dayfly.core import names, texts
from dayfly.errors import DayflyError
from dayfly.project.formatting import labelled as labelled

_RED, _OFF = "\033[31m", "\033[0m"
_INDENT = 9


def line(text: str = "") -> None:
    """Print one line of the answer."""
    _write(sys.stdout, _printable(text))


def lines(texts: Iterable[str]) -> None:
    """Print these lines of the answer."""
    for text in texts:
        line(text)


def note(text: str = "") -> None:
    """Print progress, a note or an error; it is not part of the answer."""
    _write(sys.stderr, _printable(text))


def status(text: str, *, as_json: bool) -> None:
    """Print a line of the screen. With `--json` it goes to stderr, because stdout holds one document."""
    if as_json:
        note(text)
    else:
        line(text)


def document(content: Mapping[str, object]) -> None:
    """Print the JSON document of `--json`."""
    _write(sys.stdout, json.dumps({"format": names.FORMAT, **content}, ensure_ascii=False, default=str))


def error(refused: DayflyError, *, as_json: bool) -> None:
    """Print an error: what is wrong, why, and what to do."""
    if as_json:
        further = [{"label": label, "text": text} for label, text in refused.lines]
        document({"error": refused.message, "hint": refused.hint, "lines": further, "exit": refused.exit_code})
        return
    if refused.lines and refused.lines[0][0] in ("error", "warning"):
        _print_problems(refused)
        return
    _headline(refused.label, refused.message)
    for label, text in refused.lines:
        note(labelled(label, text, indent=_INDENT))
    if refused.hint:
        note(labelled("do", refused.hint, indent=_INDENT))


def _print_problems(refused: DayflyError) -> None:
    """Print the problems of a file, each with its reason and remedies; their number comes last."""
    for label, text in refused.lines:
        if label in ("error", "warning"):
            _headline(label, text)
        else:
            note(labelled(label, text, width=4, indent=_INDENT))
    note(refused.message)


def _headline(label: str, text: str) -> None:
    """Print the first line of an error, its label in red on a terminal."""
    line = _printable(labelled(label, text))
    if label == "error" and sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        line = line.replace(label, f"{_RED}{label}{_OFF}", 1)
    _write(sys.stderr, line)


def _printable(text: str) -> str:
    """Return the text with control characters and surrogates escaped: names, logs and records of a server may hold any."""
    return "\n".join("\t".join(map(texts.escaped, line.split("\t"))) for line in text.split("\n"))


def _write(stream: TextIO, text: str) -> None:
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        # The reader is gone (`| head`). Discard the rest, and show no traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
