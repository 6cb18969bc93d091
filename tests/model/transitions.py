"""Records how the states of runs change on a model cloud, by calls and from outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from dayfly.core import names
from dayfly.core.advance import next_step
from dayfly.core.states import State
from dayfly.flows.gather import gather
from model.cloud import OUTSIDE, ModelCloud

Transition = tuple[State | None, State]
"""The states before and after; None before the first."""

LISTED_WITHIN = timedelta(minutes=5)
"""EC2 lists a new server within this time. Until then the process that launched it knows it from EC2's answer."""


_READS = {
    "Get",
    "List",
    "ListFrom",
    "ListOlder",
    "ListSizes",
    "SignGet",
    "ListServers",
    "FindServer",
    "FleetServers",
    "ReadConsole",
    "IsArmed",
    "Now",
    "Log",
}


@dataclass
class Transitions:
    """All transitions seen on some model clouds."""

    seen: dict[Transition, str] = field(default_factory=dict)

    def watch(self, cloud: ModelCloud) -> ModelCloud:
        """Record the transitions on this cloud from now on."""
        cloud.observe = _Observer(cloud, self.seen).look
        return cloud


@dataclass
class _Observer:
    cloud: ModelCloud
    seen: dict[Transition, str]
    before: dict[names.RunName, tuple[State, int, str]] = field(default_factory=dict)
    last: tuple[Any, ...] = ()

    def look(self, why: str) -> None:
        """Compare each run's state with the last one, if anything changed."""
        if why in _READS:
            return
        cloud = self.cloud
        states = tuple(server.state for server in cloud.servers.values())
        now = (cloud.now, len(cloud.objects), states, tuple(cloud.kill_schedules), frozenset(cloud.hidden))
        if why == OUTSIDE and now == self.last:
            return
        self.last = now
        for run in {*self.before, *_runs(cloud)}:
            after = self._state(run)
            before = self.before.get(run)
            if after is None:
                continue
            if before is None:
                self.seen.setdefault((None, after[0]), f"{run}: {why}")
            elif before != after:
                self.seen.setdefault((before[0], after[0]), f"{run}: {why}")
            self.before[run] = after

    def _state(self, run: names.RunName) -> tuple[State, int, str] | None:
        cloud = self.cloud
        new = [
            server
            for server in cloud.servers.values()
            if cloud.now - server.launched < LISTED_WITHIN and server.id not in cloud.orphans
        ]
        flow = gather(run, tuple(server for server in new if server.run == str(run)))
        call = next(flow)
        try:
            while True:
                call = flow.send(cloud.take_effect(call))
        except StopIteration as stop:
            step = next_step(stop.value, cloud.now)
            return step.state, step.attempt, step.subject
        except ValueError:
            return None  # a test stored a broken record


def _runs(cloud: ModelCloud) -> set[names.RunName]:
    found = set()
    for key in cloud.objects:
        if key.startswith(names.OPEN):
            found.add(names.run_name(key.removeprefix(names.OPEN)))
        if key.startswith("runs/") and key.endswith("/claim.json"):
            job, tick = key.split("/")[1:3]
            found.add(names.run_name(f"{job}@{tick}"))
    return found
