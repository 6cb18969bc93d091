"""Destroy on the model account: nothing is launched while it works, and no run stays open in a bucket that is kept."""

from __future__ import annotations

import pytest

from dayfly.core import names
from dayfly.core.event import LaunchAt, LaunchNow
from dayfly.errors import DayflyError, Refused
from dayfly.flows import calls
from dayfly.flows.launch import launch
from dayfly.flows.sweep import sweep_project
from dayfly.project.deploy.destroy import destroy
from model.account import ModelAccount
from model.cloud import acting_as
from model.deploying import SCOPE, deploy, end, file, repeat
from model.destroying import LAUNCHER, in_use, live, not_closed, start
from model.stepper import Stepper
from model.steps import DAY


def outcomes(account: ModelAccount) -> list[str]:
    return sorted(key.rpartition("~")[2] for key in account.objects if key.startswith("done/"))


def test_kept_results_have_no_open_run_and_no_slot():
    account = in_use()
    assert not_closed(account) != []
    done = end(account, keep=True)
    assert not_closed(account) == []
    assert outcomes(account) == ["cancelled"]
    assert done.left.open_runs == ()


def test_run_that_succeeded_before_the_destroy_is_recorded_as_such():
    account = in_use()
    [server] = live(account)
    assert account.run_agent(server)
    end(account, keep=True)
    assert not_closed(account) == []
    assert outcomes(account) == ["succeeded"]


def test_scheduled_run_that_succeeded_before_the_destroy_becomes_latest():
    account = ModelAccount()
    deploy(account)
    account.pass_time(3600)
    tick = account.now.replace(minute=0, second=0)
    account.run(launch(LaunchAt(job="pi", tick=tick, source="schedule", request="d"), acting_as("launcher")))
    assert account.run_agent(live(account)[0])
    end(account, keep=True)
    assert account.json(names.latest_key("pi"))["run"] == str(names.RunName("pi", tick))
    assert not_closed(account) == []


def test_run_that_was_cut_off_anywhere_in_its_launch_is_closed():
    ready = in_use()
    ready.calls_answered = 0
    for number in range(1, 16):
        account = in_use()
        [server] = live(account)
        account.terminate(server)
        account.run(sweep_project(acting_as("sweeper"), 90 * DAY))
        launching = Stepper(account, launch(LaunchNow(job="pi", request="second"), acting_as("launcher")))
        for _ in range(number):
            if not launching.over:
                launching.step()
        end(account, keep=True)
        assert not_closed(account) == [], f"cut off after call {number}"
        assert not live(account)


def test_run_whose_server_ec2_does_not_show_is_reported_as_open():
    account = in_use()
    account.hidden = set(live(account))
    done = end(account, keep=True)
    assert any(left.startswith("open run pi@") for left in done.left.remains(keep=True))
    assert "unknown, not gone" in done.why
    account.hidden.clear()
    assert end(account, keep=True).left.remains(keep=True) == ()
    assert not_closed(account) == []


def test_run_that_cannot_be_read_keeps_no_other_open():
    account = in_use()
    account.objects["open/broken@2026-11-24T22:41:00Z"] = b"{"
    account.objects["open/stray"] = b""
    end(account, keep=True)
    assert [key for key in not_closed(account) if "broken" not in key and "stray" not in key] == []


# --- nothing is launched ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [True, False])
def test_launch_in_progress_during_a_destroy_leaves_no_server_and_no_open_run(keep):
    """The launcher was called before it was stopped, and goes on `ahead` calls after the destroy began."""
    launched = 0
    for ahead in range(0, 60, 2):
        account = in_use()
        # A second run starts beside the first.
        deploy(account, file('overlap = "allow"'))
        launching = Stepper(account, launch(LaunchNow(job="pi", request="second"), acting_as("launcher")))
        destroying = Stepper(account, destroy(SCOPE, keep=keep))
        before = len(account.servers)
        for _ in range(15):
            launching.step()
            if isinstance(launching.call, (calls.CreateFleet, calls.PutNew)) and ahead % 4:
                break
        for _ in range(ahead):
            if not destroying.over:
                destroying.step()
        while not (launching.over and destroying.over):
            for each in (launching, destroying):
                if not each.over:
                    each.step()
        launched += len(account.servers) > before
        assert destroying.error is None or isinstance(destroying.error, DayflyError), destroying.error
        account.pass_time(60)
        done = repeat(lambda account: end(account, keep=keep), account)
        assert done.left.remains(keep=keep) == (), f"launched after {ahead} calls"
        assert not live(account)
    assert launched > 3


def test_destroy_stops_the_functions_before_anything_else():
    account = in_use()
    stepper = Stepper(account, destroy(SCOPE, keep=True))
    for _ in range(3):
        stepper.step()
    assert account.leftovers() == in_use().leftovers()
    assert LAUNCHER in account.stopped
    with pytest.raises(Refused):
        start(account, "second")


def test_deploy_after_a_destroy_that_was_cut_off_starts_the_functions():
    account = in_use()
    stepper = Stepper(account, destroy(SCOPE, keep=True))
    for _ in range(5):
        stepper.step()
    stepper.flow.close()
    assert account.stopped
    deploy(account)
    assert not account.stopped


def test_functions_that_cannot_be_stopped_do_not_stop_a_destroy():
    account = in_use()

    def refuse(_call):
        raise Refused("InvalidParameterValueException")

    account.stop_function = refuse  # type: ignore[method-assign]
    assert end(account, keep=False).left.is_empty
    assert account.leftovers() == {}
