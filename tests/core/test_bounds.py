"""The README's table of layers is true: each layer alone ends a server within the bound that the table gives for it."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from dayfly.cli.demo_result import BOUND_S
from dayfly.core import names
from dayfly.core.intervals import NORMAL
from dayfly.project.stack.functions import SWEEP_EVERY
from dayfly.remote.boot import switch
from model.cloud import TICK, ModelCloud, cloud_with
from model.steps import sweep, tick

README = (Path(__file__).parents[2] / "README.md").read_text()
SCHEDULER_LATE = timedelta(minutes=1)
"""EventBridge Scheduler invokes a target within a minute after the time of its schedule."""
DEADLINE = TICK + timedelta(seconds=1 + 60 + 900)


def bound(layer: str) -> timedelta:
    """Return the bound of a layer in the README's table."""
    [minutes] = re.findall(rf"\| {layer} \|.*\| deadline \+ (\d+) minutes \|", README)
    return timedelta(minutes=int(minutes))


def sweeps_every() -> timedelta:
    [minutes] = re.findall(r"rate\((\d+) minutes\)", SWEEP_EVERY)
    return timedelta(minutes=int(minutes))


def on_server(*, armed: bool) -> tuple[ModelCloud, str]:
    """Return a cloud with a server whose agent and switch do nothing."""
    cloud = cloud_with()
    tick(cloud)
    [name] = cloud.servers
    if not armed:
        cloud.kill_schedules.clear()
    return cloud, name


def test_kill_schedule_alone_keeps_its_bound():
    cloud, name = on_server(armed=True)
    assert cloud.kill_schedules[name] + SCHEDULER_LATE <= DEADLINE + bound("kill schedule")
    while cloud.servers[name].state == "running":
        cloud.pass_time(1)
    assert cloud.now == DEADLINE + NORMAL.kill_after


@pytest.mark.parametrize("phase_s", range(0, 300, 7))
def test_sweeper_alone_keeps_its_bound_in_any_phase(phase_s):
    """No kill schedule ever works, also none that a sweep creates."""
    cloud, name = on_server(armed=False)
    cloud.now = DEADLINE - timedelta(seconds=phase_s)
    while cloud.servers[name].state == "running":
        sweep(cloud)
        cloud.kill_schedules.clear()
        cloud.now += sweeps_every()
    assert cloud.now - sweeps_every() + timedelta(minutes=2) <= DEADLINE + bound("sweeper")


def test_readme_and_demo_give_the_bounds_of_the_code():
    assert f"a function that runs every {sweeps_every() // timedelta(minutes=1)} minutes" in README
    assert timedelta(seconds=BOUND_S) == bound("sweeper") == max(bound("kill schedule"), bound("sweeper"))
    assert f"at most {NORMAL.launch_for // timedelta(minutes=1)} minutes later" in README


@pytest.mark.parametrize("delay", [timedelta(0), timedelta(seconds=75), NORMAL.launch_for])
def test_switch_alone_keeps_its_bound(delay):
    """`delay`: from the intent to the request that EC2 answered. The server boots a minute later."""
    booted = (TICK + delay + timedelta(minutes=1)).timestamp()
    deadline = TICK + timedelta(seconds=960)
    right = switch.count_down(960, names.utc_text(deadline), booted)
    assert booted + right == deadline.timestamp()
    wrong = switch.count_down(960, names.utc_text(deadline), booted + 86400)
    assert (
        booted + wrong
        <= (deadline + NORMAL.launch_for + timedelta(minutes=1)).timestamp()
        <= (deadline + bound("sweeper")).timestamp()
    )
