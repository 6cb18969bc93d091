"""People hear each fact once: failed, timed out, missed, recovered; also beside another sweep, a crash and a dead receiver."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from random import Random

import pytest

from dayfly.core import names
from dayfly.core.event import LaunchAt, LaunchNow
from dayfly.core.notification import MOST_TRIES, Receivers
from dayfly.core.sweeper_event import ServerState, StateChange
from dayfly.errors import Unclear
from dayfly.flows import calls
from dayfly.flows.closing import close_after
from dayfly.flows.launch import launch
from dayfly.flows.sweep import sweep_project
from dayfly.flows.walk import walk
from model.cloud import TICK, TWO_MINUTES, ModelCloud, acting_as, cloud_with, version
from model.stepper import Stepper
from model.steps import DAY, HOOK, MAIL, RUN, retry, step_past, sweep, tick

BOTH = (MAIL, HOOK)


def failed_run(cloud: ModelCloud, exit_code: int = 3) -> str:
    tick(cloud)
    server = list(cloud.servers)[-1]
    cloud.run_agent(server, exit_code)
    return server


def types(cloud: ModelCloud) -> list[str]:
    return [json.loads(each.body)["type"] for each in cloud.posted]


def ids(cloud: ModelCloud) -> list[str]:
    return [each.headers["webhook-id"] for each in cloud.posted]


def told(cloud: ModelCloud, run: names.RunName = RUN, attempt: int = 1) -> dict:
    return cloud.json(names.attempt_key(run, attempt, "told"))


def test_failed_run_is_told_once_to_every_address():
    cloud = cloud_with()
    failed_run(cloud)
    for _ in range(3):
        sweep(cloud, notify=BOTH)
        cloud.pass_time(300)
    assert types(cloud) == ["run.failed"]
    [mail] = cloud.published
    assert mail.subject == "failed: pi, Tue 24 Nov 2026 22:41"
    assert told(cloud)["took"] == [MAIL, HOOK]
    assert told(cloud)["id"] == ids(cloud)[0]


def test_a_person_understands_the_mail():
    cloud = cloud_with()
    server = failed_run(cloud)
    sweep(cloud, notify=(MAIL,))
    assert cloud.published[0].text.splitlines() == [
        "failed: pi, due Tue 24 Nov 2026 22:41 UTC",
        "why    exit 3",
        f"run    {RUN}, attempt 1 on {server}",
        "last   no good result yet",
        f"next   dayfly logs {RUN}; after a fix: dayfly deploy, then dayfly retry {RUN}",
        "where  project pi, AWS account 000000000000, eu-west-1",
        "",
        "This is told once. The next good result is told as recovered.",
        "",
        told(cloud)["id"],
    ]


def test_the_event_of_the_end_tells_at_once():
    cloud = cloud_with()
    server = failed_run(cloud)
    event = StateChange(server=server, state=ServerState.TERMINATED, at=cloud.now)
    cloud.run(close_after(event, acting_as("sweeper", BOTH)))
    assert types(cloud) == ["run.failed"]
    assert names.open_key(RUN) not in cloud.objects


def test_missed_tick_is_told_with_its_reason():
    cloud = cloud_with(version(start_within_s=60))
    cloud.pass_time(600)
    sweep(cloud, notify=BOTH)
    sweep(cloud, notify=BOTH)
    assert types(cloud) == ["run.missed"]
    assert json.loads(cloud.posted[0].body)["data"]["why"] == "never delivered; start_within is 60 s"
    assert told(cloud, attempt=0)["notice"] == "missed"
    assert json.loads(cloud.posted[0].body)["data"]["next"].endswith(
        "to run it now: dayfly run pi --tick 2026-11-24T22:41:00Z"
    )
    assert names.open_key(RUN) not in cloud.objects


def test_missed_tick_is_told_after_a_crash_of_its_sweep():
    cloud = cloud_with(version(start_within_s=60))
    cloud.pass_time(600)
    sweeping = Stepper(cloud, sweep_project(acting_as("sweeper", BOTH), 90 * DAY))
    step_past(sweeping, lambda call: isinstance(call, calls.PutNew) and call.key.startswith("done/"))
    cloud.pass_time(300)
    sweep(cloud, notify=BOTH)
    assert types(cloud) == ["run.missed"]


def test_late_delivery_is_told_as_missed():
    cloud = cloud_with(version(start_within_s=60))
    cloud.pass_time(61)
    tick(cloud)
    sweep(cloud, notify=BOTH)
    assert types(cloud) == ["run.missed"]


def next_run(cloud: ModelCloud, exit_code: int) -> None:
    """Let the tick after RUN's run and end."""
    cloud.pass_time(60)
    tick(cloud, tick=TICK + timedelta(minutes=1), request="d2")
    cloud.run_agent(list(cloud.servers)[-1], exit_code)


def test_first_good_result_after_a_failure_is_told_as_recovered():
    cloud = cloud_with(version(schedule=TWO_MINUTES))
    failed_run(cloud)
    sweep(cloud, notify=BOTH)
    next_run(cloud, exit_code=0)
    sweep(cloud, notify=BOTH)
    sweep(cloud, notify=BOTH)
    assert types(cloud) == ["run.failed", "run.recovered"]
    assert names.trouble_key("pi") not in cloud.objects


def test_good_retry_is_told_as_recovered():
    cloud = cloud_with()
    failed_run(cloud)
    sweep(cloud, notify=BOTH)
    retry(cloud)
    cloud.run_agent(list(cloud.servers)[-1])
    sweep(cloud, notify=BOTH)
    assert types(cloud) == ["run.failed", "run.recovered"]


def test_good_runs_are_not_told():
    cloud = cloud_with(version(schedule=TWO_MINUTES))
    failed_run(cloud, exit_code=0)
    sweep(cloud, notify=BOTH)
    next_run(cloud, exit_code=0)
    sweep(cloud, notify=BOTH)
    assert (types(cloud), cloud.published) == ([], [])


@pytest.mark.parametrize(("publish", "expected"), [(False, []), (True, ["run.failed"])])
def test_run_by_hand_is_told_only_if_others_wait_for_it(publish, expected):
    cloud = cloud_with()
    cloud.run(launch(LaunchNow(job="pi", request="h", publish=publish), acting_as("launcher")))
    cloud.run_agent(next(iter(cloud.servers)), 3)
    sweep(cloud, notify=BOTH)
    assert types(cloud) == expected


def test_without_addresses_the_record_says_that_nobody_was_told():
    cloud = cloud_with()
    failed_run(cloud)
    sweep(cloud)
    assert (told(cloud)["took"], told(cloud)["failed"]) == ([], {})
    assert names.open_key(RUN) not in cloud.objects


def test_two_sweeps_at_once_send_one_message():
    for seed in range(30):
        cloud, chance = cloud_with(), Random(seed)
        failed_run(cloud)
        sweeps = [Stepper(cloud, sweep_project(acting_as("sweeper", BOTH), 90 * DAY)) for _ in range(3)]
        while any(not each.over for each in sweeps):
            chance.choice([each for each in sweeps if not each.over]).step()
        assert [each.error for each in sweeps] == [None] * 3
        sweep(cloud, notify=BOTH)
        assert types(cloud) == ["run.failed"], seed
        assert names.open_key(RUN) not in cloud.objects


def test_crash_while_sending_sends_at_most_two_with_one_id():
    most = 0
    for number in range(1, 200):
        cloud = cloud_with()
        failed_run(cloud)
        sweeping = Stepper(cloud, sweep_project(acting_as("sweeper", BOTH), 90 * DAY))
        for _ in range(number):
            if not sweeping.over:
                sweeping.step()
        cloud.pass_time(300)
        sweep(cloud, notify=BOTH)
        assert set(Counter(ids(cloud)).values()) <= {1, 2}
        assert len(set(ids(cloud))) == 1
        assert len(cloud.published) in (1, 2)
        assert names.open_key(RUN) not in cloud.objects
        most = max(most, len(ids(cloud)))
    assert most == 2


def test_every_answer_lost_once_tells_each_fact():
    for number in range(1, 80):
        for when in ("before", "after"):
            cloud = cloud_with()
            failed_run(cloud)
            cloud.faults = {cloud.calls_answered + number: when}
            with suppress(Unclear):
                sweep(cloud, notify=BOTH)
            cloud.faults = {}
            for _ in range(2):
                cloud.pass_time(300)
                sweep(cloud, notify=BOTH)
            assert len(set(ids(cloud))) == 1, (number, when)
            assert len(ids(cloud)) <= 2
            assert names.open_key(RUN) not in cloud.objects


def test_claimed_message_is_not_sent_by_another_before_it_is_due():
    cloud = cloud_with()
    failed_run(cloud)
    sweeping = Stepper(cloud, sweep_project(acting_as("sweeper", BOTH), 90 * DAY))
    step_past(sweeping, lambda call: isinstance(call, calls.Post))
    cloud.pass_time(200)
    sweep(cloud, notify=BOTH)
    assert len(ids(cloud)) == 1


def test_address_that_is_down_gets_it_later_and_the_others_once():
    cloud = cloud_with(down={HOOK: "it answered 503"})
    failed_run(cloud)
    sweep(cloud, notify=BOTH)
    cloud.down.clear()
    cloud.pass_time(300)
    sweep(cloud, notify=BOTH)
    assert types(cloud) == ["run.failed"]
    assert len(cloud.published) == 1
    assert (told(cloud)["took"], told(cloud)["tries"]) == ([MAIL, HOOK], 2)


def test_address_that_stays_down_is_given_up():
    cloud = cloud_with(down={HOOK: "it answered 503"})
    failed_run(cloud)
    for _ in range(MOST_TRIES + 1):
        sweep(cloud, notify=BOTH)
        cloud.pass_time(300)
    assert told(cloud)["failed"] == {HOOK: "it answered 503"}
    assert told(cloud)["tries"] == MOST_TRIES
    assert names.open_key(RUN) not in cloud.objects


def test_address_that_is_down_holds_neither_slot_nor_kill_schedule():
    cloud = cloud_with(version(schedule=TWO_MINUTES), down={HOOK: "it answered 503"})
    failed_run(cloud)
    sweep(cloud, notify=(HOOK,))
    assert names.open_key(RUN) in cloud.objects
    assert not cloud.kill_schedules
    next_run(cloud, exit_code=0)
    assert len(cloud.servers) == 2


def test_untold_run_can_be_retried_at_once():
    cloud = cloud_with(down={HOOK: "it answered 503"})
    failed_run(cloud)
    cloud.run(walk(RUN, acting_as("cli:ben")))
    retry(cloud)
    cloud.run_agent(list(cloud.servers)[-1])
    sweep(cloud, notify=(HOOK,))
    assert cloud.json("latest/pi.json")["attempt"] == 2
    assert names.open_key(RUN) not in cloud.objects


def test_untold_run_does_not_make_the_next_tick_skip():
    cloud = cloud_with(version(schedule=TWO_MINUTES))
    failed_run(cloud)
    next_run(cloud, exit_code=0)
    assert cloud.json(names.claim_key(names.RunName("pi", TICK + timedelta(minutes=1))))["decision"] == "run"


def test_many_missed_ticks_leave_time_for_the_rest():
    """Each message to a dead address costs seconds: one sweep spends about a minute on them, after all other work."""
    cloud = SlowCloud(now=TICK, down={HOOK: "no answer within 5 s"})
    for one in (version(schedule=("* * * * *",), start_within_s=60),):
        cloud.objects[one.key] = cloud_with(one).objects[one.key]
    cloud.pass_time(3600)
    began = cloud.now
    sweep(cloud, notify=(HOOK,))
    assert timedelta(seconds=60) < cloud.now - began < timedelta(seconds=70)
    assert cloud.json(names.HEARTBEAT)["at"] == f"{names.utc_text(began)[:-1]}.000Z"
    waiting = [key for key in cloud.objects if key.startswith("open/")]
    assert len(waiting) > 20


class SlowCloud(ModelCloud):
    """A cloud in which a webhook takes five seconds."""

    def post(self, call: calls.Post) -> str:
        self.pass_time(5)
        return super().post(call)


def test_no_key_is_a_reason_that_the_record_names():
    cloud = cloud_with(notify_key=None)
    failed_run(cloud)
    for _ in range(MOST_TRIES):
        sweep(cloud, notify=(HOOK,))
        cloud.pass_time(300)
    assert told(cloud)["failed"] == {HOOK: "there is no key to sign it with: dayfly deploy makes one"}


def test_receivers_are_told_apart_by_their_form():
    both = Receivers(addresses=BOTH)
    assert (both.mails, both.urls) == ((MAIL,), (HOOK,))


def test_cancelled_and_skipped_runs_are_not_told():
    cloud = cloud_with(version(schedule=TWO_MINUTES))
    tick(cloud)
    cloud.pass_time(60)
    cloud.run(
        launch(
            LaunchAt(job="pi", tick=TICK + timedelta(minutes=1), source="schedule", request="2"), acting_as("launcher")
        )
    )
    sweep(cloud, notify=BOTH)
    assert types(cloud) == []


def test_missed_tick_is_run_later_before_anybody_is_told():
    cloud = cloud_with(version(start_within_s=60), down={HOOK: "it answered 503"})
    cloud.pass_time(600)
    sweep(cloud, notify=(HOOK,))
    assert names.open_key(RUN) in cloud.objects
    later = LaunchAt(job="pi", tick=TICK, source="backfill", request="later")
    cloud.run(launch(later, acting_as("launcher")))
    cloud.run_agent(next(iter(cloud.servers)))
    cloud.down.clear()
    sweep(cloud, notify=(HOOK,))
    assert types(cloud) == ["run.recovered"]
    assert names.open_key(RUN) not in cloud.objects
