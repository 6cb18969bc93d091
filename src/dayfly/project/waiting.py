"""Repeat a question in a flow until the answer is accepted or the time is up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from dayfly.errors import Unclear
from dayfly.flows.calls import Flow, Now, Sleep, ask

T = TypeVar("T")


def ask_until(done: Callable[[T], bool], look: Callable[[], Flow[T]], *, every_s: float, within_s: float) -> Flow[T]:
    """Repeat `look` until `done` accepts its answer or `within_s` seconds are over; return the last answer.

    If `look` raises Unclear it is repeated too; Unclear is raised only when the time is up.
    """
    until = (yield from ask(Now())) + timedelta(seconds=within_s)
    while True:
        try:
            answer = yield from look()
        except Unclear:
            if (yield from ask(Now())) >= until:
                raise
        else:
            if done(answer) or (yield from ask(Now())) >= until:
                return answer
        yield from ask(Sleep(every_s))
