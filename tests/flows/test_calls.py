"""How many calls to AWS a launch and a visit make."""

from __future__ import annotations

from datetime import timedelta

from dayfly.core import names
from dayfly.flows import calls
from model.cloud import TICK, ModelCloud, cloud_with, version
from model.steps import RUN, retry, sweep, tick

LOCAL = (calls.Now, calls.Log, calls.SignGet)
"""Calls that ask nobody."""


class CountingCloud(ModelCloud):
    """Notes the calls to AWS."""

    def take_effect(self, call):
        if not isinstance(call, LOCAL):
            self.counted = [*getattr(self, "counted", []), type(call).__name__]
        return super().take_effect(call)

    def since(self, action) -> list[str]:
        """Return the calls that an action makes."""
        self.counted: list[str] = []
        action(self)
        return self.counted


def counting(**changes) -> CountingCloud:
    there = cloud_with(version(**changes))
    return CountingCloud(now=there.now, objects=there.objects)


def test_first_delivery_makes_13_calls_eight_before_create_fleet():
    made = counting().since(tick)
    assert made.index("CreateFleet") <= 8
    assert len(made) <= 13


def test_second_delivery_makes_three_calls():
    cloud = counting()
    tick(cloud)
    assert cloud.since(tick) == ["List", "Get", "Get"]


def test_a_retry_needs_at_most_45_calls():
    cloud = counting()
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)), exit_code=3)
    sweep(cloud)
    assert len(cloud.since(retry)) <= 45


def open_runs(cloud: CountingCloud, count: int) -> None:
    for number in range(count):
        tick(cloud, tick=TICK + timedelta(minutes=number), request=f"d{number}")


def test_a_visit_with_nothing_to_do_makes_three_calls():
    totals = []
    for runs in (5, 10):
        cloud = counting(overlap="allow", schedule=("41-59 22 24 11 *",))
        cloud.now = TICK + timedelta(minutes=runs, seconds=1)
        open_runs(cloud, runs)
        sweep(cloud)
        cloud.pass_time(30)
        totals.append(len(cloud.since(sweep)))
    assert totals[1] - totals[0] == 5 * 3


def test_calls_of_a_sweep_do_not_grow_with_the_jobs():
    totals = []
    for jobs in (1, 30):
        cloud = cloud_with(*(version(name=f"job{number}", schedule=("0 3 * * *",)) for number in range(jobs)))
        cloud = CountingCloud(now=cloud.now, objects=cloud.objects)
        sweep(cloud)
        cloud.pass_time(300)
        totals.append(len(cloud.since(sweep)))
    assert totals[0] == totals[1] <= 8


def test_a_run_whose_marker_was_lost_is_looked_at_again():
    cloud = counting()
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)))
    sweep(cloud)
    del cloud.objects[names.done_key(RUN, 1, "succeeded")]
    cloud.pass_time(3800)
    sweep(cloud)
    assert names.done_key(RUN, 1, "succeeded") in cloud.objects
