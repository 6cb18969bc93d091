"""Runs about which people are told, and whose results are copied, for the test of the table of states."""

from __future__ import annotations

from datetime import timedelta

from dayfly.core import names
from dayfly.core.record_json import encode
from dayfly.core.records import FleetError, Slot
from dayfly.flows import calls
from dayfly.flows.walk import walk
from model.cloud import TICK, TWO_MINUTES, acting_as, cloud_with, version
from model.stepper import Stepper
from model.steps import HOOK, RUN, retry, step_past, sweep, tick
from model.transitions import Transitions

FULL = (FleetError(code="InsufficientInstanceCapacity", message=""),)
NEXT = TICK + timedelta(minutes=1)


def failed_run_is_told_at_the_second_try(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with(down={HOOK: "it answered 503"}))
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)), exit_code=3)
    sweep(cloud, notify=(HOOK,))
    cloud.pass_time(241)
    cloud.answer(calls.Now())
    cloud.down.clear()
    sweep(cloud, notify=(HOOK,))


def sweep_is_cut_off_after_it_told(seen: Transitions) -> None:
    """The kill schedule is gone already when another sweep tells."""
    cloud = seen.watch(cloud_with(down={HOOK: "it answered 503"}))
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)), exit_code=3)
    sweep(cloud, notify=(HOOK,))
    cloud.pass_time(241)
    telling = Stepper(cloud, walk(RUN, acting_as("sweeper")))
    step_past(telling, lambda call: isinstance(call, calls.PutNew) and call.key.endswith("/told.json"))
    cloud.answer(calls.Now())


def untold_run_is_given_the_slot(seen: Transitions) -> None:
    """A slow process takes the slot for a run that is over, and of which nobody was told yet."""
    cloud = seen.watch(cloud_with(refuse={"spot": FULL, "on-demand": FULL}))
    tick(cloud)
    cloud.objects[names.slot_key("pi")] = encode(Slot(holder=str(RUN), attempt=0, at=cloud.now))
    cloud.answer(calls.Now())
    sweep(cloud)


def retried_before_anybody_is_told(seen: Transitions) -> None:
    for overlap in ("skip", "allow"):
        for tried in (False, True):
            cloud = seen.watch(cloud_with(version(overlap=overlap), down={HOOK: "it answered 503"}))
            tick(cloud)
            cloud.run_agent(next(iter(cloud.servers)), exit_code=3)
            cloud.run(walk(RUN, acting_as("cli:ben")))
            if tried:
                sweep(cloud, notify=(HOOK,))
            retry(cloud)


def retried_beside_the_next_tick_before_anybody_is_told(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with(version(schedule=TWO_MINUTES)))
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)), exit_code=3)
    cloud.run(walk(RUN, acting_as("cli:ben")))
    cloud.pass_time(60)
    tick(cloud, tick=NEXT)
    retry(cloud)


def result_is_copied(seen: Transitions) -> None:
    for overlap in ("skip", "allow"):
        for answers in (True, False):
            cloud = seen.watch(cloud_with(version(overlap=overlap, results="s3://acme/lake/"), denied={"acme"}))
            tick(cloud)
            cloud.run_agent(next(iter(cloud.servers)))
            sweep(cloud)
            if answers:
                cloud.denied.clear()
                cloud.kill_schedules.clear()
                cloud.answer(calls.Now())
            sweep(cloud)
            retry(cloud)


def result_is_copied_after_a_recovery(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with(version(results="s3://acme/lake/"), down={HOOK: "it answered 503"}))
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)), exit_code=3)
    sweep(cloud, notify=(HOOK,))
    retry(cloud)
    cloud.run_agent(list(cloud.servers)[-1])
    cloud.run(walk(RUN, acting_as("cli:ben")))
    sweep(cloud, notify=(HOOK,))


def result_is_copied_before_the_slot_is_given_away(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with(version(results="s3://acme/lake/"), denied={"acme"}))
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)))
    sweep(cloud)
    cloud.objects[names.slot_key("pi")] = encode(Slot(holder=str(RUN), attempt=0, at=cloud.now))
    cloud.answer(calls.Now())
    sweep(cloud)


SCENARIOS_OF_TELLING = (
    result_is_copied,
    result_is_copied_after_a_recovery,
    result_is_copied_before_the_slot_is_given_away,
    failed_run_is_told_at_the_second_try,
    sweep_is_cut_off_after_it_told,
    untold_run_is_given_the_slot,
    retried_before_anybody_is_told,
    retried_beside_the_next_tick_before_anybody_is_told,
)
