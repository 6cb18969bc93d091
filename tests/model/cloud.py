"""A cloud in memory that answers calls by AWS's documented rules: conditional writes, client tokens, one-shot schedules.

It is not a mock: it has state, a clock that tests set, and servers that run their job and terminate. Like AWS it can fail before
or after a call took effect, and the `Unclear` that the flow then gets does not say which.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from dayfly.core import names
from dayfly.core.facts import NotShown, Server
from dayfly.core.model import Agent, Code, Deployed, Job, LaunchSettings, Version
from dayfly.core.notification import Receivers
from dayfly.core.record_json import encode
from dayfly.core.records import Ended, Log, Output, Started
from dayfly.core.versions import write_version
from dayfly.errors import Unclear
from dayfly.flows import calls
from dayfly.flows.actor import CLI_STATES, LAUNCHER_STATES, SWEEPER_STATES, Actor
from model.bucket import ModelBucket
from model.fleets import START, ModelFleets
from model.people import ModelPeople
from model.stepper import Stepper

TICK = datetime(2026, 11, 24, 22, 41, tzinfo=UTC)
OUTSIDE = "a change from outside"
PROJECT, BUCKET, REGION, ROLE = "pi", "dayfly-pi-000000000000-eu-west-1", "eu-west-1", "AROAMODEL"
TWO_MINUTES = ("41-42 22 24 11 *",)
"""A schedule of two ticks, TICK and the minute after it. That of `job` has one."""


ANSWERS = {
    calls.Get: "get",
    calls.PutNew: "put_new",
    calls.PutMatch: "put_match",
    calls.Put: "put",
    calls.Delete: "delete",
    calls.DeleteMany: "delete_many",
    calls.List: "list_all",
    calls.ListFrom: "list_from",
    calls.ListOlder: "list_older",
    calls.ListSizes: "list_sizes",
    calls.SignGet: "sign_get",
    calls.Copy: "copy",
    calls.CreateFleet: "create_fleet",
    calls.FleetServers: "fleet_servers",
    calls.ListServers: "shown_servers",
    calls.FindServer: "find_server",
    calls.TerminateServer: "terminate_server",
    calls.ReadConsole: "console",
    calls.Arm: "arm",
    calls.IsArmed: "is_armed",
    calls.Disarm: "disarm",
    calls.Post: "post",
    calls.Publish: "publish",
    calls.ReadSecret: "read_secret",
    calls.Download: "download",
    calls.Now: "time",
    calls.Sleep: "sleep",
    calls.Log: "log",
    calls.ShowBytes: "emit",
}
"""Which method answers which call."""


PROCESSES = count(1)


def acting_as(who: str, notify: tuple[str, ...] = ()) -> Actor:
    acts_in = {"launcher": LAUNCHER_STATES, "sweeper": SWEEPER_STATES}.get(who, CLI_STATES)
    return Actor(
        project=PROJECT,
        bucket=BUCKET,
        region=REGION,
        who=who,
        acts_in=acts_in,
        zones=ZoneInfo,
        process=str(next(PROCESSES)),
        notify=Receivers(addresses=notify, topic="arn:topic"),
    )


@dataclass
class ModelCloud(ModelBucket, ModelFleets, ModelPeople):
    """State and clock. `faults` maps the number of a call to "before" or "after": then this call raises Unclear."""

    kill_schedules: dict[str, datetime] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)  # servers that EC2 does not list now
    orphans: set[str] = field(
        default_factory=set
    )  # servers whose launching process died, so only EC2's list names them
    consoles: dict[str, tuple[str, ...]] = field(default_factory=dict)
    faults: dict[int, str] = field(default_factory=dict)
    log_lines: list[str] = field(default_factory=list)
    emitted: list[bytes] = field(default_factory=list)
    terminate_calls: list[str] = field(default_factory=list)
    calls_answered: int = 0
    shutdown_s: float = 0  # how long a shutdown takes; on EC2 tens of seconds
    shutting_down: dict[str, datetime] = field(default_factory=dict)

    observe: Callable[[str], object] = bool
    """Called before and after each call takes effect, with the reason; see model/transitions.py."""

    # --- running flows -------------------------------------------------------------------------------------------------

    def run(self, flow: Generator[calls.Call[Any], Any, Any]) -> Any:
        """Run a flow to its end and return its result, or raise its error."""
        stepper = Stepper(self, flow)
        while not stepper.over:
            stepper.step()
        return stepper.outcome()

    def answer(self, call: calls.Call[Any]) -> Any:
        self.calls_answered += 1
        self.observe(OUTSIDE)
        fault = self.faults.get(self.calls_answered)
        if fault == "before":
            raise Unclear("model: not done, answer lost")
        result = self.take_effect(call)
        self.observe(type(call).__name__)
        if fault == "after":
            raise Unclear("model: done, answer lost")
        return result

    def take_effect(self, call: calls.Call[Any]) -> Any:
        """Change the state as the call says, and return its answer."""
        return getattr(self, ANSWERS[type(call)])(call)

    # --- EC2 -----------------------------------------------------------------------------------------------------------

    def shown_servers(self, call: calls.ListServers) -> tuple[Server, ...]:
        shown = [server for server in self.servers.values() if server.id not in self.hidden]
        mine = [server for server in shown if server.tags.get(names.TAG_PROJECT) == PROJECT]
        return tuple(server for server in mine if call.run is None or server.run == call.run)

    def find_server(self, call: calls.FindServer) -> Server | NotShown:
        if call.server in self.hidden:
            return NotShown()
        return self.servers.get(call.server, NotShown())

    def terminate_server(self, call: calls.TerminateServer) -> None:
        self.terminate_calls.append(call.server)
        there = self.servers[call.server]
        if not self.shutdown_s:
            self.terminate(call.server, "Client.UserInitiatedShutdown")
        elif there.state != "terminated":
            self.servers[call.server] = replace(
                there, state="shutting-down", reason_code="Client.UserInitiatedShutdown"
            )
            self.shutting_down.setdefault(call.server, self.now + timedelta(seconds=self.shutdown_s))

    def console(self, call: calls.ReadConsole) -> tuple[str, ...]:
        return self.consoles.get(call.server, ())

    def arm(self, call: calls.Arm) -> None:
        self.kill_schedules.setdefault(call.server, call.at)

    def is_armed(self, call: calls.IsArmed) -> bool:
        return call.server in self.kill_schedules

    def disarm(self, call: calls.Disarm) -> None:
        self.kill_schedules.pop(call.server, None)

    def time(self, _call: calls.Now) -> datetime:
        return self.now

    def sleep(self, call: calls.Sleep) -> None:
        self.pass_time(call.seconds)

    def log(self, call: calls.Log) -> None:
        self.log_lines.append(call.line)

    def emit(self, call: calls.ShowBytes) -> None:
        self.emitted.append(call.body)

    # --- changes from outside ------------------------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        """Move the clock forward. Kill schedules that are due fire, and shutdowns complete."""
        self.now += timedelta(seconds=seconds)
        for server, at in list(self.shutting_down.items()):
            if at <= self.now:
                self.terminate(server, "Client.UserInitiatedShutdown")
                del self.shutting_down[server]
        for server, at in list(self.kill_schedules.items()):
            if at <= self.now:
                self.terminate(server, "Client.UserInitiatedShutdown")
                del self.kill_schedules[server]

    def terminate(self, server: str, reason: str = "Client.InstanceInitiatedShutdown") -> None:
        shown = self.servers[server]
        if shown.state != "terminated":
            text = f"User initiated ({self.now:%Y-%m-%d %H:%M:%S} GMT)"
            self.servers[server] = replace(shown, state="terminated", reason_code=reason, transition=text)

    def go_of(self, server: str) -> dict[str, Any] | None:
        key = names.go_key(self.servers[server].tags.get(names.TAG_ROLE, ROLE), server)
        return self.json(key) if key in self.objects else None

    def start_job(self, server: str) -> None:
        """Store what the agent stores when the command starts."""
        go = self.go_of(server)
        assert go is not None
        self.objects[go["prefix"] + "started.json"] = encode(Started(at=self.now, python="3.13", machine="aarch64"))

    def obey_cancel(self, server: str) -> bool:
        """Do what the agent does with cancel.json. False when there is none, or the server is not running."""
        go = self.go_of(server)
        told = names.go_cancel_key(ROLE, server) in self.objects
        if go is None or not told or self.servers[server].state != "running":
            return False
        key = go["prefix"] + "output/out/part.txt"
        self.objects[key] = b"half"
        output = Output(path="out/part.txt", key=key, size=4, sha256=hashlib.sha256(b"half").hexdigest())
        log = Log(pieces=1, bytes=6, lines=1, last=("hello",))
        ended = Ended(at=self.now, outcome="cancelled", reason="cancelled", signal=15, outputs=(output,), log=log)
        self.objects[go["prefix"] + "ended.json"] = encode(ended)
        self.terminate(server)
        return True

    def run_agent(self, server: str, exit_code: int = 0, missing: tuple[str, ...] = ()) -> bool:
        """Do what the agent does with go.json. False when there is no go.json yet, or the server is not running."""
        go = self.go_of(server)
        if go is None or self.servers[server].state != "running":
            return False
        prefix = go["prefix"]
        self.objects[prefix + "started.json"] = encode(Started(at=self.now, python="3.13", machine="aarch64"))
        body = b"3.14\n"
        output = Output(
            path="out/pi.txt", key=prefix + "output/out/pi.txt", size=5, sha256=hashlib.sha256(body).hexdigest()
        )
        good = exit_code == 0 and not missing
        if not missing:
            self.objects[output.key] = body
        reason = f"exit {exit_code}"
        if good:
            reason = ""
        elif exit_code == 0:
            reason = "output-missing"
        ended = Ended(
            at=self.now,
            outcome="succeeded" if good else "failed",
            reason=reason,
            job_started=self.now,
            job_ended=self.now,
            stored_at=self.now,
            exit=exit_code,
            outputs=() if missing else (output,),
            missing=missing,
            log=Log(pieces=1, bytes=6, lines=1, last=("hello",)),
        )
        self.objects[prefix + "ended.json"] = encode(ended)
        self.terminate(server)
        return True


def job(**changes: Any) -> Job:
    """Return a job with every default filled in."""
    fields: dict[str, Any] = {
        "name": "pi",
        "command": "pie 10 out/pi.txt",
        "servers": ("c8g.large", "c7g.large"),
        "architecture": "arm64",
        "schedule": ("41 22 24 11 *",),
        "timezone": "UTC",
        "market": "spot-first",
        "time_limit_s": 60,
        "margin_s": 900,
        "outputs": ("out/pi.txt",),
        "disk_gb": 20,
        "image": "debian-13",
        "bundle": (".",),
        "python": "auto",
        "setup": None,
        "env": {},
        "overlap": "skip",
        "start_within_s": 3600,
    }
    return Job(**{**fields, **changes})


def version(since: datetime = START, **changes: Any) -> Deployed:
    one = job(**changes)
    code = Code(
        bundle="bundles/abc.zip", sha256="abc", size=3, files=1, wheels=(), python="3.13", commit="9f2c1ab", dirty=False
    )
    launch = LaunchSettings(
        template="lt-1",
        template_version="1",
        role_id=ROLE,
        image="debian-13",
        root_device="/dev/xvda",
        subnets=("subnet-1", "subnet-2"),
    )
    return Deployed(
        name=one.name,
        effective_from=since,
        job=one,
        code=code,
        agent=Agent(key="agents/def.zip", sha256="def", size=5),
        launch=launch,
        tags={"CostCenter": "lake"},
        deployed_by="ben",
    )


def cloud_with(*versions: Version, **state: Any) -> ModelCloud:
    """Return a cloud with these versions deployed; its clock is one second after the tick."""
    cloud = ModelCloud(now=TICK + timedelta(seconds=1), **state)
    for one in versions or (version(),):
        cloud.objects[one.key] = write_version(one)
    return cloud
