"""Answers the calls of a flow with boto3 and runs a flow to its end. No rule about runs lives here.

Launcher, sweeper and CLI all use it, against AWS and against the local cloud.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from dayfly.cloud import fleet, kills, objects
from dayfly.cloud.clients import raise_ours
from dayfly.cloud.context import Context
from dayfly.errors import DayflyError
from dayfly.flows import calls

T = TypeVar("T")


def _now(_context: Context, _call: calls.Now) -> datetime:
    return datetime.now(UTC)


def _log(context: Context, call: calls.Log) -> None:
    context.log(call.line, call.fields)


ANSWERS: dict[type[calls.Call[Any]], Callable[[Context, Any], Any]] = {
    calls.Now: _now,
    calls.Log: _log,
    calls.Get: objects.get,
    calls.PutNew: objects.put_new,
    calls.PutMatch: objects.put_match,
    calls.Put: objects.put,
    calls.Delete: objects.delete,
    calls.DeleteMany: objects.delete_many,
    calls.List: objects.list_all,
    calls.SignGet: objects.sign_get,
    calls.CreateFleet: fleet.create,
    calls.FleetServers: fleet.fleet_servers,
    calls.Servers: fleet.servers,
    calls.EndServer: fleet.end_server,
    calls.Console: fleet.console,
    calls.Arm: kills.arm,
    calls.IsArmed: kills.is_armed,
    calls.Disarm: kills.disarm,
}
"""Who answers which call: the only dispatch. Each function takes the context and a call of its type."""


@dataclass(frozen=True, kw_only=True)
class Interpreter(Context):
    """A context that answers calls."""

    def run(self, flow: Generator[calls.Call[Any], Any, T]) -> T:
        """Runs a flow and returns its result. An error is thrown into the flow, and raised when the flow does not catch it."""
        try:
            call = next(flow)
            while True:
                try:
                    answer = self.answer(call)
                except DayflyError as error:
                    call = flow.throw(error)
                else:
                    call = flow.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def answer(self, call: calls.Call[Any]) -> Any:
        """Answers one call. Raises Unclear when the outcome is unknown, RightsError when access was denied."""
        try:
            return ANSWERS[type(call)](self, call)
        except (ClientError, BotoCoreError) as error:
            raise_ours(error, type(call).__name__)
