"""A model cloud with two jobs, one of which gets bad objects while the other one stays healthy; and what must hold then."""

from __future__ import annotations

from dayfly.core import names
from model.cloud import ROLE, TICK, TWO_MINUTES, ModelCloud, cloud_with, version
from model.steps import RUN, closed, sweep, tick

OTHER = names.RunName("zz", TICK)


def two_jobs(**changes) -> ModelCloud:
    """Return a cloud with the job that gets a bad object, and a healthy one beside it."""
    return cloud_with(version(schedule=TWO_MINUTES, **changes), version(name="zz", start_within_s=4 * 3600))


def noted(cloud: ModelCloud) -> list[str]:
    """Return the keys of the objects that were logged as unreadable."""
    return [line.partition(" is unreadable")[0] for line in cloud.log_lines if " is unreadable" in line]


def key_of(cloud: ModelCloud, what: str) -> str:
    [server, *_] = cloud.servers
    keys = {
        "open": names.open_key(RUN),
        "slot": names.slot_key("pi"),
        "latest": names.latest_key("pi"),
        "heartbeat": names.HEARTBEAT,
        "version": next(key for key in cloud.objects if key.startswith("jobs/pi/")),
        "cancel": names.attempt_key(RUN, 1, "cancel"),
        "started": names.started_key(names.out_prefix(RUN, 1, ROLE, server)),
        "ended": names.ended_key(names.out_prefix(RUN, 1, ROLE, server)),
    }
    return keys.get(what) or f"{names.run_prefix(RUN)}{what}.json"


def assert_healthy(cloud: ModelCloud) -> None:
    """Run the other job to its end, and check that sweeps do all they should."""
    tick(cloud, job="zz", request="healthy")
    [server] = [server.id for server in cloud.servers.values() if server.run == str(OTHER)]
    cloud.run_agent(server)
    sweep(cloud)
    assert closed(cloud, OTHER)["outcome"] == "succeeded"
    assert cloud.json("latest/zz.json")["run"] == str(OTHER)
    assert cloud.json(names.HEARTBEAT)["at"].startswith(names.utc_text(cloud.now)[:-1])


def assert_over(cloud: ModelCloud) -> None:
    assert all(server.gone for server in cloud.servers.values())
    assert [key for key in cloud.objects if key.startswith(("open/", "slots/"))] == []
    assert [key for key in cloud.objects if key.startswith(names.done_prefix(RUN))] != []
    assert not cloud.kill_schedules
