"""Ticks that a person runs later: one that was missed, one that was skipped, or one that nothing ever delivered."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dayfly.core import names
from dayfly.core.event import LaunchAt
from dayfly.core.reasons import Source
from dayfly.core.versions import write_version
from dayfly.errors import NotFoundError
from dayfly.flows import calls
from dayfly.flows.launch import launch
from dayfly.project.deploy import plan
from model.cloud import TICK, TWO_MINUTES, ModelCloud, acting_as, cloud_with, version
from model.stepper import Stepper
from model.steps import RUN, closed, step_past, sweep, tick

NEXT = TICK + timedelta(minutes=1)


def asked(request: str = "b1", moment=TICK, **changes) -> LaunchAt:
    return LaunchAt(job="pi", tick=moment, source=Source.BACKFILL, request=request, by="ben", **changes)


def backfill(cloud: ModelCloud, request: str = "b1", moment=TICK, **changes):
    return cloud.run(launch(asked(request, moment, **changes), acting_as("launcher")))


def missed(**changes) -> ModelCloud:
    """Return a cloud on which the tick was delivered too late."""
    cloud = cloud_with(version(start_within_s=60, **changes))
    cloud.pass_time(3600)
    tick(cloud)
    assert names.done_key(RUN, 0, "missed") in cloud.objects
    return cloud


def finish(cloud: ModelCloud, exit_code: int = 0) -> None:
    for server in list(cloud.servers):
        cloud.run_agent(server, exit_code)
    sweep(cloud)


def test_missed_tick_runs_later_and_moves_latest():
    cloud = missed()
    result = backfill(cloud)
    assert (result.facts.claim.decision, result.facts.claim.source) == ("run", "backfill")
    assert "missed" in result.facts.claim.why
    [server] = cloud.servers
    assert cloud.go_of(server)["tick"] == names.utc_text(TICK)
    assert cloud.go_of(server)["day"] == "2026-11-24"
    finish(cloud)
    assert closed(cloud)["outcome"] == "succeeded"
    assert cloud.json("latest/pi.json")["run"] == str(RUN)
    assert cloud.json(names.claim_key(RUN))["decision"] == "missed", "a fact is written once"
    assert names.done_key(RUN, 1, "succeeded") in cloud.objects
    assert not [key for key in cloud.objects if key.startswith(("open/", "slots/"))]


def test_tick_that_nothing_delivered_runs_by_hand():
    cloud = cloud_with()
    cloud.pass_time(5 * 24 * 3600)
    result = backfill(cloud, env={"MODE": "small"})
    assert cloud.json(names.claim_key(RUN))["source"] == "backfill"
    assert cloud.go_of(next(iter(cloud.servers)))["env"]["MODE"] == "small"
    assert result.facts.claim.by == "ben"


def test_backfill_runs_what_is_deployed_now():
    cloud = missed()
    new = version(since=cloud.now, command="fixed", schedule=("0 5 * * *",))
    cloud.objects[new.key] = write_version(new)
    cloud.pass_time(5)
    backfill(cloud)
    assert cloud.go_of(next(iter(cloud.servers)))["command"] == "fixed"


def test_older_backfill_does_not_move_latest_back():
    cloud = cloud_with(version(schedule=TWO_MINUTES, start_within_s=60))
    cloud.pass_time(100)
    tick(cloud, tick=NEXT)
    finish(cloud)
    backfill(cloud)
    finish(cloud)
    assert closed(cloud)["outcome"] == "succeeded"
    assert cloud.json("latest/pi.json")["run"] == f"pi@{names.utc_text(NEXT)}"


@pytest.mark.parametrize(("exit_code", "words"), [(0, "succeeded already"), (3, "ran already")])
def test_tick_that_ran_is_refused_and_told_to_retry(exit_code, words):
    cloud = cloud_with()
    tick(cloud)
    finish(cloud, exit_code)
    with pytest.raises(NotFoundError, match=words) as refused:
        backfill(cloud)
    assert refused.value.hint == f"dayfly retry {RUN}"
    assert len(cloud.servers) == 1


def test_tick_that_is_running_is_refused():
    cloud = cloud_with()
    tick(cloud)
    with pytest.raises(NotFoundError, match="not over yet"):
        backfill(cloud)


def test_time_that_is_no_tick_is_refused():
    cloud = cloud_with()
    cloud.pass_time(3600)
    with pytest.raises(NotFoundError, match="not a tick of the schedule"):
        backfill(cloud, moment=TICK + timedelta(minutes=7))
    assert not [key for key in cloud.objects if key.startswith(("open/", "runs/"))]


def test_tick_of_a_removed_job_is_refused():
    cloud = missed()
    gone = plan.removed("pi", cloud.now, "ben")
    cloud.objects[gone.key] = write_version(gone)
    cloud.pass_time(5)
    with pytest.raises(NotFoundError, match="removed from the project"):
        backfill(cloud)


def test_coming_tick_is_refused():
    cloud = cloud_with(version(schedule=("0 23 * * *",)))
    with pytest.raises(NotFoundError, match="in the future"):
        backfill(cloud, moment=TICK.replace(hour=23, minute=0))


def test_same_backfill_delivered_twice_is_one_server():
    cloud = missed()
    first, again = backfill(cloud), backfill(cloud)
    assert again.run == first.run
    finish(cloud)
    backfill(cloud)
    assert len(cloud.servers) == 1


def test_second_request_for_a_missed_tick_is_refused():
    cloud = missed()
    backfill(cloud, "b1")
    with pytest.raises(NotFoundError, match="not over yet"):
        backfill(cloud, "b2")
    finish(cloud)
    with pytest.raises(NotFoundError, match="succeeded already"):
        backfill(cloud, "b2")
    assert len(cloud.servers) == 1


def test_late_delivery_of_a_backfilled_tick_starts_nothing():
    cloud = missed()
    backfill(cloud)
    again = tick(cloud, request="late")
    assert again.claim.decision == "run"
    finish(cloud)
    tick(cloud, request="later")
    sweep(cloud)
    assert len(cloud.servers) == 1


def test_backfill_waits_for_the_slot_and_then_runs():
    cloud = cloud_with(version(schedule=TWO_MINUTES, start_within_s=60))
    cloud.pass_time(100)
    tick(cloud, tick=NEXT)
    waiting = backfill(cloud)
    assert waiting.step.reason == f"the slot is held by pi@{names.utc_text(NEXT)}"
    assert names.claim_key(RUN) not in cloud.objects
    finish(cloud)
    sweep(cloud)
    finish(cloud)
    assert closed(cloud)["outcome"] == "succeeded"


def test_backfill_of_a_job_removed_meanwhile_stays_missed():
    cloud = missed()
    opening = Stepper(cloud, launch(asked(), acting_as("launcher")))
    step_past(
        opening, lambda call: isinstance(call, (calls.PutNew, calls.PutMatch)) and call.key == names.open_key(RUN)
    )
    gone = plan.removed("pi", cloud.now, "ben")
    cloud.objects[gone.key] = write_version(gone)
    cloud.pass_time(5)
    sweep(cloud)
    assert not cloud.servers
    assert names.backfill_key(RUN) not in cloud.objects
    assert not [key for key in cloud.objects if key.startswith(("open/", "slots/"))]


def test_sweep_that_claims_the_tick_as_missed_meanwhile_does_not_stop_it():
    cloud = cloud_with(version(start_within_s=60))
    cloud.pass_time(3600)
    opening = Stepper(cloud, launch(asked(), acting_as("launcher")))
    step_past(
        opening, lambda call: isinstance(call, (calls.PutNew, calls.PutMatch)) and call.key == names.open_key(RUN)
    )
    cloud.objects[names.claim_key(RUN)] = missed().objects[names.claim_key(RUN)]
    sweep(cloud)
    finish(cloud)
    assert closed(cloud)["outcome"] == "succeeded"
    assert len(cloud.servers) == 1


def test_retry_of_a_missed_tick_names_the_backfill():
    from model.steps import retry

    with pytest.raises(NotFoundError, match="never had a server") as refused:
        retry(missed())
    assert refused.value.hint == "dayfly run pi --tick 2026-11-24T22:41:00Z"
