"""Reading and following a log on the model cloud: each piece once and in order, until the job is over."""

from __future__ import annotations

import pytest

from dayfly.core import names
from dayfly.errors import NotFoundError, Unclear
from dayfly.project.runs.logs import UNCLEAR_AT_MOST, tail
from model.cloud import ROLE, cloud_with
from model.stepper import Stepper
from model.steps import RUN, sweep, tick


def live_run():
    cloud = cloud_with()
    tick(cloud)
    return cloud


def prefix(cloud) -> str:
    return names.out_prefix(RUN, 1, ROLE, next(iter(cloud.servers)))


def write(cloud, *numbers: int) -> None:
    for number in numbers:
        cloud.objects[names.log_key(prefix(cloud), number)] = f"{number}\n".encode()


def read(cloud, *, follow: bool = False):
    return cloud.run(tail(RUN, follow=follow, poll_s=3))


def follow_while(cloud, work) -> Stepper:
    """Follow the log, and call `work` with the number of each call that is answered."""
    stepper = Stepper(cloud, tail(RUN, follow=True, poll_s=3))
    number = 0
    while not stepper.over and number < 5000:
        work(number)
        stepper.step()
        number += 1
    return stepper


def test_log_so_far_is_emitted_in_order():
    cloud = live_run()
    write(cloud, 2, 1, 3)
    done = read(cloud)
    assert b"".join(cloud.emitted) == b"1\n2\n3\n"
    assert (done.bytes, done.is_over) == (6, False)


def test_log_ends_at_the_first_piece_that_is_missing():
    cloud = live_run()
    write(cloud, 1, 3)
    cloud.objects[f"{prefix(cloud)}log/evil"] = b"evil"
    read(cloud)
    assert cloud.emitted == [b"1\n"]


def test_run_without_a_server_has_no_log():
    cloud = cloud_with()
    with pytest.raises(NotFoundError, match="has no log: it has no server yet"):
        read(cloud)


def test_following_emits_each_piece_once_and_ends_with_the_job():
    cloud = live_run()
    server = next(iter(cloud.servers))

    def work(number: int) -> None:
        if number in (30, 60, 90):
            write(cloud, number // 30)
        if number == 120:
            cloud.run_agent(server)

    stepper = follow_while(cloud, work)
    assert stepper.error is None
    assert stepper.result.is_over
    assert cloud.emitted == [b"1\n", b"2\n", b"3\n"]


def test_following_waits_for_a_server():
    cloud = cloud_with()
    launched = Stepper(cloud, tail(RUN, follow=True, poll_s=3))
    tick(cloud)
    server = next(iter(cloud.servers))
    write(cloud, 1)
    cloud.run_agent(server)
    while not launched.over:
        launched.step()
    assert cloud.emitted == [b"1\n"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_lost_answer_neither_loses_nor_repeats_a_piece(when):
    ready = live_run()
    write(ready, 1, 2, 3)
    first = ready.calls_answered
    ready.run_agent(next(iter(ready.servers)))
    read(ready, follow=True)
    emits = 3
    for number in range(first + 1, ready.calls_answered + 1):
        cloud = live_run()
        write(cloud, 1, 2, 3)
        cloud.run_agent(next(iter(cloud.servers)))
        cloud.faults[number] = when
        stepper = Stepper(cloud, tail(RUN, follow=True, poll_s=3))
        while not stepper.over:
            if stepper.call.__class__.__name__ == "ShowBytes":
                cloud.faults.clear()  # the process that runs the flow does not lose its own answers
            stepper.step()
        assert b"".join(cloud.emitted) == b"1\n2\n3\n", f"call {number}"
        assert len(cloud.emitted) == emits


def test_following_stops_after_many_unclear_answers():
    cloud = live_run()
    cloud.faults = dict.fromkeys(range(cloud.calls_answered + 1, cloud.calls_answered + 10_000, 2), "before")
    with pytest.raises(Unclear):
        read(cloud, follow=True)
    assert cloud.calls_answered < 100 * UNCLEAR_AT_MOST


def test_log_of_a_run_that_is_over_is_whole():
    cloud = live_run()
    write(cloud, 1)
    cloud.run_agent(next(iter(cloud.servers)))
    sweep(cloud)
    assert read(cloud).is_over
    assert cloud.emitted == [b"1\n"]
