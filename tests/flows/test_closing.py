"""EC2's event about a server that ended: its run is closed at once; other projects' servers and unclear answers change nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dayfly.core import names
from dayfly.core.sweeper_event import ServerState, StateChange
from dayfly.errors import Unclear
from dayfly.flows import calls
from dayfly.flows.closing import BETWEEN_LOOKS_S, LOOKS, Closing, close_after
from model.cloud import OUTSIDE, ModelCloud, acting_as, cloud_with
from model.steps import RUN, closed, sweep, tick


def event_about(cloud: ModelCloud, server: str, state: ServerState = ServerState.TERMINATED) -> StateChange:
    return StateChange(server=server, state=state, at=cloud.now.replace(microsecond=0))


def tell(cloud: ModelCloud, event: StateChange) -> Closing:
    return cloud.run(close_after(event, acting_as("sweeper")))


def ended_run() -> tuple[ModelCloud, str]:
    """A run whose server did its job and is gone; EC2 gives no time of the end, as after a power-off from inside."""
    cloud = cloud_with()
    tick(cloud)
    [server] = cloud.servers
    cloud.run_agent(server)
    cloud.servers[server] = replace(cloud.servers[server], transition="")
    return cloud, server


def asked(cloud: ModelCloud, event: StateChange) -> list[str]:
    """The types of the calls that the flow of this event makes."""
    types: list[str] = []
    cloud.observe = types.append
    tell(cloud, event)
    return [each for each in types if each != OUTSIDE]


def test_event_of_the_end_does_every_step_of_the_close():
    cloud, server = ended_run()
    assert tell(cloud, event_about(cloud, server)) == Closing(run=str(RUN))
    assert closed(cloud)["outcome"] == "succeeded"
    assert cloud.json(names.attempt_key(RUN, 1, "receipt"))["outcome"] == "succeeded"
    assert cloud.json("latest/pi.json")["run"] == str(RUN)
    assert names.done_key(RUN, 1, "succeeded") in cloud.objects
    assert not cloud.kill_schedules
    assert names.open_key(RUN) not in cloud.objects


def test_event_writes_no_heartbeat():
    cloud, server = ended_run()
    tell(cloud, event_about(cloud, server))
    assert names.HEARTBEAT not in cloud.objects


def test_events_time_is_the_end_where_ec2_gives_no_other():
    cloud, server = ended_run()
    event = event_about(cloud, server)
    cloud.now += timedelta(minutes=3)
    tell(cloud, event)
    assert closed(cloud)["gone"] == "2026-11-24T22:41:01.000Z"
    assert cloud.json(names.attempt_key(RUN, 1, "receipt"))["times"]["server_gone"] == "2026-11-24T22:41:01.000Z"


def test_time_in_ec2s_answer_comes_before_the_events():
    cloud, server = ended_run()
    text = "User initiated (2026-11-24 22:41:09 GMT)"
    cloud.servers[server] = replace(cloud.servers[server], transition=text)
    tell(cloud, event_about(cloud, server))
    assert closed(cloud)["gone"] == "2026-11-24T22:41:09.000Z"


def test_sweep_without_an_event_leaves_the_end_unknown():
    cloud, _ = ended_run()
    sweep(cloud)
    assert closed(cloud)["gone"] is None
    times = cloud.json(names.attempt_key(RUN, 1, "receipt"))["times"]
    assert (times["server_gone"], times["closed"]) == (None, "2026-11-24T22:41:01.000Z")


def test_server_of_another_project_costs_one_question():
    cloud, server = ended_run()
    foreign = replace(cloud.servers[server], id="i-0f", tags={names.TAG_PROJECT: "other"})
    cloud.servers["i-0f"] = foreign
    before = dict(cloud.objects)
    assert asked(cloud, event_about(cloud, "i-0f")) == ["FindServer"]
    assert (cloud.objects, cloud.servers["i-0f"], cloud.terminate_calls) == (before, foreign, [])


def test_stopped_server_is_ended_and_closed_by_its_next_event():
    cloud = cloud_with(shutdown_s=20)
    tick(cloud)
    [server] = cloud.servers
    cloud.servers[server] = replace(cloud.servers[server], state="stopped")
    told = tell(cloud, event_about(cloud, server, ServerState.STOPPED))
    assert "stopped" in told.ended
    assert cloud.terminate_calls == [server]
    assert names.open_key(RUN) in cloud.objects
    cloud.pass_time(20)
    tell(cloud, event_about(cloud, server))
    assert closed(cloud)["ended_by"].startswith("sweeper")
    assert names.open_key(RUN) not in cloud.objects


def test_stopped_server_of_another_project_is_left_alone():
    cloud = cloud_with()
    tick(cloud)
    [server] = cloud.servers
    foreign = {**cloud.servers[server].tags, names.TAG_PROJECT: "other"}
    cloud.servers[server] = replace(cloud.servers[server], state="stopped", tags=foreign)
    assert tell(cloud, event_about(cloud, server, ServerState.STOPPED)) == Closing()
    assert cloud.terminate_calls == []


def test_event_alone_closes_no_run_whose_server_is_alive():
    cloud = cloud_with()
    tick(cloud)
    [server] = cloud.servers
    started = cloud.now
    tell(cloud, event_about(cloud, server))
    assert names.attempt_key(RUN, 1, "closed") not in cloud.objects
    assert cloud.terminate_calls == []
    assert cloud.now - started == timedelta(seconds=(LOOKS - 1) * BETWEEN_LOOKS_S)


def test_answer_that_is_behind_the_event_is_asked_again():
    cloud = cloud_with(shutdown_s=BETWEEN_LOOKS_S)
    tick(cloud)
    [server] = cloud.servers
    cloud.terminate_server(calls.TerminateServer(server))
    tell(cloud, event_about(cloud, server))
    assert closed(cloud)["outcome"] == "failed"


def test_second_event_about_one_end_changes_nothing():
    cloud, server = ended_run()
    tell(cloud, event_about(cloud, server))
    before = dict(cloud.objects)
    tell(cloud, event_about(cloud, server))
    assert cloud.objects == before


def test_end_of_a_surplus_server_leaves_the_run_open():
    cloud = cloud_with()
    tick(cloud)
    [server] = cloud.servers
    cloud.servers["i-0e"] = replace(cloud.servers[server], id="i-0e", state="terminated")
    cloud.kill_schedules["i-0e"] = cloud.now
    tell(cloud, event_about(cloud, "i-0e"))
    assert names.attempt_key(RUN, 1, "closed") not in cloud.objects
    assert not cloud.servers[server].gone


def test_sweep_closes_what_a_lost_event_left():
    cloud, server = ended_run()
    cloud.faults = {cloud.calls_answered + 3: "before"}
    with pytest.raises(Unclear):
        tell(cloud, event_about(cloud, server))
    cloud.faults = {}
    sweep(cloud)
    assert closed(cloud)["outcome"] == "succeeded"
    assert names.open_key(RUN) not in cloud.objects
