"""Interpreter: answer the calls of a flow with boto3, and run a flow to its end. No rule about runs lives here.

Used by launcher, sweeper and CLI alike, against AWS and the local cloud alike.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from dayfly.cloud import fleet, kills, objects
from dayfly.cloud.clients import Aws, raise_ours
from dayfly.errors import DayflyError
from dayfly.flows import calls

T = TypeVar("T")

Say = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """What answers need: clients, the project and its bucket, the kill schedules' group and role, and an ear for the story."""

    aws: Aws
    project: str
    bucket: str
    group: str
    kill_role: str
    dead_letters: str
    say: Say

    def run(self, flow: Generator[calls.Call[Any], Any, T]) -> T:
        """Runs a flow to its end; errors go into the flow first, and out of it when it lets them."""
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
        """One answer. Raises Unclear when nobody knows, RightsError when it was refused."""
        try:
            return self._answer(call)
        except (ClientError, BotoCoreError) as error:
            raise_ours(error, type(call).__name__)

    def _answer(self, call: calls.Call[Any]) -> Any:
        match call:
            case calls.Now():
                return datetime.now(UTC)
            case calls.Say(line, facts):
                return self.say(line, facts)
            case (
                calls.Get()
                | calls.PutNew()
                | calls.PutMatch()
                | calls.Put()
                | calls.Delete()
                | calls.DeleteMany()
                | calls.List()
                | calls.SignGet()
            ):
                return objects.answer(self.aws.client("s3"), self.bucket, call)
            case calls.CreateFleet() | calls.FleetServers() | calls.Servers() | calls.EndServer() | calls.Console():
                return fleet.answer(self.aws.client("ec2"), self.project, call)
            case calls.Arm() | calls.IsArmed() | calls.Disarm():
                target = kills.Target(group=self.group, role=self.kill_role, dead_letters=self.dead_letters)
                return kills.answer(self.aws.client("scheduler"), target, call)
            case _:
                raise TypeError(f"nobody answers {type(call).__name__}")
