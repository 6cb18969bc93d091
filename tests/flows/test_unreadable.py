"""Records that cannot be read: the run closes, its slot is freed, and nothing else is held up."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dayfly.core import names
from dayfly.errors import NotFoundError
from dayfly.flows.calls import LARGEST_RECORD
from dayfly.flows.gather import gather
from dayfly.flows.read import LARGEST
from model.bad_objects import OTHER, assert_healthy, assert_over, key_of, noted, two_jobs
from model.cloud import TICK
from model.steps import RUN, cancel, closed, retry, sweep, tick

BODIES = {
    "empty": b"",
    "cut off": b'{"format": 1, "at": ',
    "another type": b"[]",
    "no fields": b"{}",
    "not UTF-8": b"\xff\xfe{}",
    "NaN": b'{"at": NaN, "cause": 1}',
    "too many digits": b'{"size": ' + b"9" * 5000 + b"}",
    "too large a number": b'{"at": 1e999}',
    "deep nesting": b"[" * 200_000,
    "half of a surrogate pair": b'{"by": "\\ud800", "why": "\\ud800"}',
}
RECORDS = (
    "claim",
    "1/intent",
    "1/server",
    "1/ask-2",
    "1/spot-refused",
    "1/sent",
    "1/absent",
    "1/end",
    "1/closed",
    "1/receipt",
)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("what", ["open", "slot", "latest", "heartbeat", "cancel", "started", "ended", *RECORDS])
def test_one_bad_object_of_a_live_run_holds_up_nothing(what, body):
    cloud = two_jobs()
    tick(cloud)
    [server] = cloud.servers
    cloud.objects[key_of(cloud, what)] = body
    sweep(cloud)
    assert_healthy(cloud)
    assert what == "cancel" or not cloud.servers[server].gone, "only a cancel ends the server early"
    cloud.terminate(server)
    sweep(cloud)
    sweep(cloud)
    assert_over(cloud)


@pytest.mark.parametrize("what", ["open", "slot", "latest", "heartbeat", "cancel", "version", "ended", *RECORDS])
def test_one_bad_object_of_a_run_whose_server_is_gone_holds_up_nothing(what):
    cloud = two_jobs()
    tick(cloud)
    [server] = cloud.servers
    cloud.run_agent(server)
    cloud.objects[key_of(cloud, what)] = b"{"
    sweep(cloud)
    sweep(cloud)
    assert_over(cloud)
    assert_healthy(cloud)


@pytest.mark.parametrize("what", ["claim", "1/intent", "1/server", "version", "1/closed"])
def test_run_without_a_record_that_it_needs_closes_as_unknown(what):
    cloud = two_jobs()
    tick(cloud)
    [server] = cloud.servers
    key = key_of(cloud, what)
    cloud.objects[key] = b"{"
    sweep(cloud)
    assert names.slot_key("pi") in cloud.objects, "its server is alive"
    cloud.terminate(server)
    sweep(cloud)
    receipt = cloud.json(names.attempt_key(RUN, 1, "receipt"))
    assert (receipt["outcome"], receipt["reason"]) == ("failed", "unknown")
    assert receipt["detail"] == f"{key} is unreadable: it is not JSON"
    assert names.done_key(RUN, 1, "failed") in cloud.objects


def test_claim_without_an_attempt_that_cannot_be_read_is_marked_as_failed():
    cloud = two_jobs()
    tick(cloud)
    for key in [key for key in cloud.objects if "/1/" in key or key.startswith(("go/", "slots/"))]:
        del cloud.objects[key]
    cloud.servers.clear()
    cloud.kill_schedules.clear()
    cloud.objects[names.claim_key(RUN)] = b"{"
    sweep(cloud)
    assert names.done_key(RUN, 0, "failed") in cloud.objects
    assert_over(cloud)


def test_server_of_a_broken_run_ends_at_its_deadline_and_is_armed_until_then():
    cloud = two_jobs()
    tick(cloud)
    [server] = cloud.servers
    cloud.kill_schedules.clear()
    cloud.objects[key_of(cloud, "1/server")] = b"{"
    sweep(cloud)
    assert list(cloud.kill_schedules) == [server]
    cloud.kill_schedules.clear()
    cloud.pass_time(961)
    sweep(cloud)
    assert cloud.terminate_calls == [server]


def test_broken_run_whose_server_was_never_seen_closes_after_two_sightings():
    cloud = two_jobs()
    tick(cloud)
    cloud.hidden = set(cloud.servers)
    cloud.objects[key_of(cloud, "1/server")] = b"{"
    for minutes in (0, 30):
        cloud.pass_time(60 * minutes)
        sweep(cloud)
        assert names.attempt_key(RUN, 1, "closed") not in cloud.objects
    cloud.pass_time(3600)
    sweep(cloud)
    assert names.attempt_key(RUN, 1, "closed") not in cloud.objects
    cloud.pass_time(300)
    sweep(cloud)
    assert closed(cloud)["reason"] == "unknown"


def test_sweep_logs_each_unreadable_object_once():
    cloud = two_jobs()
    tick(cloud)
    bad = [key_of(cloud, what) for what in ("open", "claim", "1/intent", "1/cancel", "heartbeat")]
    cloud.objects.update(dict.fromkeys(bad, b"{"))
    sweep(cloud)
    assert sorted(noted(cloud)) == sorted(bad)


def test_cancel_ends_the_server_of_a_broken_run():
    cloud = two_jobs()
    tick(cloud)
    cloud.objects[names.claim_key(RUN)] = b"{"
    cancel(cloud)
    sweep(cloud)
    assert cloud.terminate_calls == list(cloud.servers)


def test_cancel_that_cannot_be_read_is_a_cancel():
    cloud = two_jobs()
    tick(cloud)
    cloud.objects[key_of(cloud, "cancel")] = b"{"
    sweep(cloud)
    sweep(cloud)
    assert closed(cloud)["outcome"] == "cancelled"


def test_unreadable_slot_is_freed_once_no_run_of_the_job_is_open():
    cloud = two_jobs()
    tick(cloud)
    [server] = cloud.servers
    cloud.objects[names.slot_key("pi")] = b"{"
    cloud.pass_time(60)
    later = names.RunName("pi", TICK + timedelta(minutes=1))
    tick(cloud, tick=later.tick, request="later")
    assert cloud.json(names.claim_key(later))["decision"] == "skipped", "the first run may hold it"
    cloud.run_agent(server)
    sweep(cloud)
    assert_over(cloud)


def test_unreadable_slot_of_a_job_at_rest_is_freed_by_its_next_run():
    cloud = two_jobs()
    cloud.objects[names.slot_key("pi")] = b"{"
    tick(cloud)
    assert cloud.json(names.slot_key("pi"))["holder"] == str(RUN)
    assert len(cloud.servers) == 1


def test_unreadable_latest_is_replaced_by_the_next_good_result():
    cloud = two_jobs()
    cloud.objects[names.latest_key("pi")] = b"{"
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)))
    sweep(cloud)
    assert cloud.json(names.latest_key("pi"))["run"] == str(RUN)


def test_unreadable_open_key_of_a_run_without_a_claim_makes_it_missed():
    cloud = two_jobs()
    cloud.objects[names.open_key(RUN)] = b"{"
    sweep(cloud)
    assert cloud.json(names.claim_key(RUN))["reason"] == "unreadable"
    assert_over(cloud)


def test_unreadable_absence_is_no_sighting():
    cloud = two_jobs(time_limit_s=4 * 3600)
    tick(cloud)
    cloud.hidden = set(cloud.servers)
    cloud.objects[key_of(cloud, "1/absent")] = b"{"
    cloud.pass_time(3601)
    sweep(cloud)
    assert cloud.json(key_of(cloud, "1/absent"))["server"] == next(iter(cloud.servers))
    assert names.attempt_key(RUN, 1, "closed") not in cloud.objects


def test_unreadable_end_order_says_that_dayfly_ended_the_server():
    cloud = two_jobs()
    tick(cloud)
    cloud.objects[key_of(cloud, "1/end")] = b"{"
    cloud.terminate(next(iter(cloud.servers)), "Client.UserInitiatedShutdown")
    sweep(cloud)
    assert closed(cloud)["ended_by"].startswith("unknown: ")


def test_unreadable_request_starts_no_second_run():
    cloud = two_jobs()
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)), exit_code=3)
    sweep(cloud)
    cloud.objects[names.request_key("retry-1", 0)] = b"{"
    with pytest.raises(NotFoundError, match="which run this request got is unknown"):
        retry(cloud)
    assert len(cloud.servers) == 1


def test_broken_run_can_be_retried_unless_its_claim_is_lost():
    cloud = two_jobs()
    tick(cloud)
    cloud.objects[key_of(cloud, "1/intent")] = b"{"
    cloud.terminate(next(iter(cloud.servers)))
    sweep(cloud)
    retry(cloud)
    assert len(cloud.servers) == 2
    cloud.run_agent(list(cloud.servers)[1])
    sweep(cloud)
    assert closed(cloud, attempt=2)["outcome"] == "succeeded"
    cloud.objects[names.claim_key(RUN)] = b"{"
    with pytest.raises(NotFoundError, match=r"claim\.json is unreadable"):
        retry(cloud, request="retry-2")


@pytest.mark.parametrize("what", ["open", "claim", "1/intent", "slot", "latest", "version"])
def test_record_of_another_run_is_none_of_this_one(what):
    cloud = two_jobs()
    tick(cloud, job="zz", request="other")
    cloud.run_agent(next(iter(cloud.servers)))
    other = {
        "open": names.open_key(RUN),
        "claim": names.claim_key(OTHER),
        "1/intent": names.attempt_key(OTHER, 1, "intent"),
        "slot": names.slot_key("zz"),
        "latest": names.latest_key("zz"),
        "version": next(key for key in cloud.objects if key.startswith("jobs/zz/")),
    }
    body = cloud.objects.get(other[what], b"{}").replace(b'"attempt": 1', b'"attempt": 2')
    sweep(cloud)
    body = cloud.objects[other[what]] if what == "latest" else body
    tick(cloud)
    server = list(cloud.servers)[-1]
    cloud.objects[key_of(cloud, what)] = body
    sweep(cloud)
    cloud.terminate(server)
    sweep(cloud)
    sweep(cloud)
    assert_over(cloud)


@pytest.mark.parametrize("number", ["x", "0", "007", "٣", "9" * 900])
def test_attempt_with_a_bad_number_is_no_attempt(number):
    cloud = two_jobs()
    cloud.objects[f"{names.run_prefix(RUN)}{number}/intent.json"] = b"{"
    tick(cloud)
    assert [attempt.number for attempt in cloud.run(gather(RUN)).attempts] == [1]


def test_objects_that_are_too_large_are_not_read():
    cloud = two_jobs()
    tick(cloud)
    [server] = cloud.servers
    cloud.run_agent(server)
    kind, most = max(LARGEST.items(), key=lambda one: one[1])
    assert kind.__name__ == "Ended"
    key = key_of(cloud, "ended")
    cloud.objects[key] += b" " * most
    cloud.objects[names.latest_key("pi")] = b" " * (LARGEST_RECORD + 1)
    sweep(cloud)
    assert closed(cloud)["reason"] == "lost"
    assert_over(cloud)
