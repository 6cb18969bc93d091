"""Run a flow to its end, and answer each call that it yields by botocore. No rule about runs lives here.

Launcher, sweeper and CLI all use it, against AWS and against the local cloud.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from dayfly.cloud import (
    bucket,
    copying,
    discovery,
    fleet,
    functions,
    inspection,
    kills,
    notices,
    objects,
    schedules,
    stack,
)
from dayfly.cloud.clients import ERRORS, raise_translated
from dayfly.cloud.context import Context
from dayfly.errors import DayflyError
from dayfly.flows import calls

T = TypeVar("T")


def _now(_context: Context, _call: calls.Now) -> datetime:
    return datetime.now(UTC)


def _sleep(_context: Context, call: calls.Sleep) -> None:
    time.sleep(call.seconds)


def _emit(context: Context, call: calls.ShowBytes) -> None:
    context.emit(call.body)


def _log(context: Context, call: calls.Log) -> None:
    context.log(call.line, call.fields)


ANSWERS: dict[type[calls.Call[Any]], Callable[[Context, Any], Any]] = {
    calls.Now: _now,
    calls.Sleep: _sleep,
    calls.Log: _log,
    calls.ShowBytes: _emit,
    calls.Get: objects.get,
    calls.PutNew: objects.put_new,
    calls.PutMatch: objects.put_match,
    calls.Put: objects.put,
    calls.Delete: objects.delete,
    calls.DeleteMany: objects.delete_many,
    calls.List: objects.list_all,
    calls.ListFrom: objects.list_from,
    calls.ListOlder: objects.list_older,
    calls.ListSizes: objects.list_sizes,
    calls.SignGet: objects.sign_get,
    calls.Copy: copying.copy,
    calls.CreateFleet: fleet.create,
    calls.FleetServers: fleet.fleet_servers,
    calls.ListServers: fleet.servers,
    calls.FindServer: fleet.find_server,
    calls.TerminateServer: fleet.end_server,
    calls.ReadConsole: fleet.console,
    calls.Arm: kills.arm,
    calls.IsArmed: kills.is_armed,
    calls.Disarm: kills.disarm,
    calls.Post: notices.post,
    calls.Publish: notices.publish,
    calls.ReadSecret: notices.read_secret,
    calls.MakeSecret: notices.make_secret,
    calls.RemoveSecret: notices.remove_secret,
    calls.FindBucket: bucket.find,
    calls.CreateBucket: bucket.make,
    calls.SetUpBucket: bucket.set_up,
    calls.MeasureBucket: bucket.measure,
    calls.DeleteSomeObjects: bucket.delete_some,
    calls.AbortSomeUploads: bucket.abort_some,
    calls.DeleteBucket: bucket.delete,
    calls.ObjectUrl: bucket.object_url,
    calls.Upload: bucket.upload,
    calls.Download: bucket.download,
    calls.FindStack: stack.find,
    calls.CreateStack: stack.create,
    calls.UpdateStack: stack.update,
    calls.DeleteStack: stack.delete,
    calls.ContinueRollback: stack.continue_rollback,
    calls.StackEvents: stack.events,
    calls.ListSchedules: schedules.list_all,
    calls.GetSchedule: schedules.get,
    calls.CreateSchedule: schedules.create,
    calls.UpdateSchedule: schedules.update,
    calls.DeleteSchedule: schedules.delete,
    calls.FindSubnets: discovery.subnets,
    calls.FindOffers: discovery.offers,
    calls.ListTypes: discovery.types,
    calls.FindParameter: discovery.parameter,
    calls.FindImage: discovery.image,
    calls.HasPolicy: discovery.has_policy,
    calls.HasLinkedRole: discovery.has_linked_role,
    calls.CreateLinkedRole: discovery.make_linked_role,
    calls.Invoke: functions.invoke,
    calls.IsStopped: functions.is_stopped,
    calls.StopFunction: functions.stop,
    calls.StartFunction: functions.start,
    calls.FindQuota: inspection.quota,
    calls.FindPlan: inspection.plan,
    calls.FindVcpus: inspection.vcpus,
    calls.FindRoutes: inspection.routes,
    calls.FindClock: inspection.clock,
    calls.FindDenied: inspection.denied,
    calls.FindAlarms: inspection.alarms,
    calls.CountDeadLetters: inspection.dead_letters,
    calls.FindSubscriptions: inspection.subscriptions,
    calls.FindStrays: inspection.strays,
}
"""The function that answers each type of call. Each takes the context and a call of that type."""


@dataclass(frozen=True, kw_only=True)
class Interpreter(Context):
    """A context that answers calls."""

    def run(self, flow: Generator[calls.Call[Any], Any, T]) -> T:
        """Run a flow and return its result. A call's DayflyError is thrown into the flow, which may catch it."""
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
        """Answer one call. Raises Unclear when the outcome is unknown or the answer cannot be read, RightsError when access was denied."""
        try:
            return ANSWERS[type(call)](self, call)
        except ERRORS as error:
            raise_translated(error, type(call).__name__)
