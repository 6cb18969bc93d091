"""Ticks that were delivered too late, or never: every expected tick ends as a claim."""

from __future__ import annotations

from datetime import timedelta

from dayfly.core import names
from dayfly.core.record_json import encode
from dayfly.core.records import Opened
from dayfly.core.versions import write_version
from dayfly.flows import calls
from dayfly.flows.sweep import sweep_project
from dayfly.project.deploy import plan
from model.cloud import TICK, acting_as, cloud_with, version
from model.stepper import Stepper
from model.steps import DAY, RUN, step_past, sweep, tick


def test_tick_delivered_after_start_within_is_missed():
    cloud = cloud_with(version(start_within_s=60))
    cloud.pass_time(61)
    tick(cloud)
    assert not cloud.servers
    assert cloud.json(names.claim_key(RUN))["decision"] == "missed"
    assert names.done_key(RUN, 0, "missed") in cloud.objects
    assert "slots/pi.json" not in cloud.objects


def test_sweep_claims_an_undelivered_tick_as_missed():
    cloud = cloud_with(version(schedule=("41 22 * * *",), timezone="UTC", start_within_s=600))
    sweep(cloud)
    assert names.claim_key(RUN) not in cloud.objects
    cloud.pass_time(1200)
    sweep(cloud)
    claim = cloud.json(names.claim_key(RUN))
    assert (claim["decision"], claim["reason"]) == ("missed", "not-delivered")
    assert names.done_key(RUN, 0, "missed") in cloud.objects
    assert cloud.run(sweep_project(acting_as("sweeper"), DAY)).missed == []


def test_delivered_tick_is_not_claimed_as_missed():
    cloud = cloud_with(version(schedule=("41 22 * * *",), timezone="UTC", start_within_s=600))
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)))
    cloud.pass_time(1200)
    assert sweep(cloud).missed == []
    assert cloud.json(names.claim_key(RUN))["decision"] == "run"


def test_every_tick_is_claimed_after_sweeper_downtime():
    cloud = cloud_with(version(schedule=("* * * * *",), start_within_s=60))
    cloud.now = TICK + timedelta(hours=20)
    missed: list[str] = []
    for _ in range(4):
        missed += sweep(cloud).missed
        cloud.pass_time(1)
    assert len(missed) == len(set(missed))
    # 22:41 to 18:38, one each minute. At 18:41 later ticks may still start: start_within is 1 min, the grace 2 min.
    assert len(missed) == 20 * 60 - 2


def test_open_run_of_a_removed_job_is_missed_and_stops_no_other():
    cloud = cloud_with()
    one = version(name="zz")
    cloud.objects[one.key] = write_version(one)
    tick(cloud, job="zz")
    [server] = cloud.servers
    cloud.run_agent(server)
    cloud.objects[names.open_key(RUN)] = encode(Opened(run=str(RUN), source="hand", at=cloud.now, request="r"))
    gone = plan.removed("pi", cloud.now, "ben")
    cloud.objects[gone.key] = write_version(gone)
    cloud.pass_time(10)
    sweep(cloud)
    assert names.done_key(names.RunName("zz", TICK), 1, "succeeded") in cloud.objects
    assert names.done_key(RUN, 0, "missed") in cloud.objects


def test_sweep_delivers_an_undelivered_tick_while_it_may_start():
    """S3 was away at the tick, so no delivery could open the run; start_within still lasts."""
    cloud = cloud_with()
    cloud.pass_time(180)
    assert sweep(cloud).missed == []
    [server] = cloud.servers
    assert cloud.go_of(server) is not None
    assert cloud.json(names.claim_key(RUN))["why"] == "the sweeper delivered it 181.0 s after the tick"


def test_claim_without_its_other_records_is_finished_by_the_next_sweep():
    """The sweeper claimed the tick as missed and stopped there."""
    cloud = cloud_with(version(start_within_s=60))
    cloud.pass_time(400)
    sweeping = Stepper(cloud, sweep_project(acting_as("sweeper"), DAY))
    step_past(sweeping, lambda call: isinstance(call, calls.PutNew) and call.key == names.claim_key(RUN))
    assert names.done_key(RUN, 0, "missed") not in cloud.objects
    sweep(cloud)
    assert names.done_key(RUN, 0, "missed") in cloud.objects
