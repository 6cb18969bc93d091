"""Runs a flow one call at a time, against whatever answers its calls. The model cloud is in cloud.py."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol

from dayfly.errors import DayflyError
from dayfly.flows import calls


class AnswersCalls(Protocol):
    """What a stepper needs of a cloud."""

    def answer(self, call: calls.Call[Any]) -> Any: ...


@dataclass
class Stepper:
    """Runs one flow call by call, so that tests can interleave several. `call` is its next call."""

    cloud: AnswersCalls
    flow: Generator[calls.Call[Any], Any, Any]
    over: bool = False
    result: Any = None
    error: Exception | None = None
    call: calls.Call[Any] | None = None
    _begun: bool = False
    watch: Callable[[], object] = bool

    def step(self) -> None:
        """Answer one call of the flow."""
        self.watch()
        try:
            if not self._begun:
                self._begun = True
                self.call = next(self.flow)
                return
            assert self.call is not None
            try:
                answer = self.cloud.answer(self.call)
            except DayflyError as error:
                self.call = self.flow.throw(error)
            else:
                self.call = self.flow.send(answer)
        except StopIteration as stop:
            self.over, self.result = True, stop.value
        except Exception as error:
            self.over, self.error = True, error

    def outcome(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.result
