"""The Python frames of dayfly that are under way: those on the stack, and the suspended flows that wait for an answer."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import dayfly

PACKAGE = Path(dayfly.__file__).parent


def frames() -> list[str]:
    """Return dayfly's frames from the entry to here, each as `room/file.py function`. A flow follows the frame that runs it."""
    found: list[str] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        flows = [value for value in frame.f_locals.values() if inspect.isgenerator(value) and _is_own(value.gi_code)]
        if _is_own(frame.f_code):
            found = [_named(frame.f_code), *(name for flow in flows for name in _chain(flow)), *found]
        frame = frame.f_back
    return found


def _chain(flow: Any) -> Iterator[str]:
    """Yield a suspended flow, and the flows that it waits for, innermost last."""
    while flow is not None:
        yield _named(flow.gi_code)
        flow = flow.gi_yieldfrom


def _is_own(code: CodeType) -> bool:
    return Path(code.co_filename).is_relative_to(PACKAGE)


def _named(code: CodeType) -> str:
    return f"{Path(code.co_filename).relative_to(PACKAGE).as_posix()} {code.co_name}"
