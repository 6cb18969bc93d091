"""Actions on the model cloud that tests share: deliver a tick, sweep, retry, cancel, and run a flow up to a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dayfly.core import names
from dayfly.core.event import LaunchAt, Retry
from dayfly.core.record_json import encode
from dayfly.core.records import Cancel, FleetError
from dayfly.flows import calls
from dayfly.flows.launch import launch
from dayfly.flows.sweep import sweep_project
from model.cloud import TICK, ModelCloud, acting_as
from model.stepper import Stepper

RUN = names.RunName("pi", TICK)
DAY = 24 * 3600
HOOK, MAIL = "https://hooks.example/x", "data@acme.example"
NO_CAPACITY = (FleetError(code="InsufficientInstanceCapacity", message="none", pool="c8g.large eu-west-1a"),)


def due(**changes: Any) -> LaunchAt:
    """Return the launch request that the schedule sends for RUN."""
    return LaunchAt(**{"job": "pi", "tick": TICK, "source": "schedule", "request": "delivery-1", **changes})


def tick(cloud: ModelCloud, **changes: Any) -> Any:
    """Deliver an event to the launcher."""
    return cloud.run(launch(due(**changes), acting_as("launcher")))


def retry(cloud: ModelCloud, run: names.RunName = RUN, request: str = "retry-1") -> Any:
    return cloud.run(launch(Retry(run=run, request=request), acting_as("launcher")))


def cancel(cloud: ModelCloud, attempt: int = 1) -> None:
    """Write the record that a person's cancel of RUN writes."""
    cloud.objects[names.attempt_key(RUN, attempt, "cancel")] = encode(Cancel(at=cloud.now, by="ben"))


def sweep(cloud: ModelCloud, keep_s: int = 90 * DAY, notify: tuple[str, ...] = ()) -> Any:
    return cloud.run(sweep_project(acting_as("sweeper", notify), keep_s))


def closed(cloud: ModelCloud, run: names.RunName = RUN, attempt: int = 1) -> dict[str, Any]:
    return cloud.json(names.attempt_key(run, attempt, "closed"))


def step_past(stepper: Stepper, is_meant: Callable[[calls.Call[Any]], bool]) -> None:
    """Run a flow until it has the answer to the first call for which `is_meant` is true."""
    while stepper.call is None or not is_meant(stepper.call):
        stepper.step()
        assert not stepper.over
    stepper.step()


def number_of(cloud: ModelCloud, call: str) -> int:
    """Return the number of the first call of this type while a tick is delivered. Tests put faults there."""
    types: list[str] = []
    answer = cloud.answer

    def noting(asked: calls.Call[Any]) -> Any:
        types.append(type(asked).__name__)
        return answer(asked)

    cloud.answer = noting  # type: ignore[method-assign]
    tick(cloud)
    return types.index(call) + 1
