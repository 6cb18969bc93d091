"""The launcher's answer to an event, as docs/event.md describes it."""

from __future__ import annotations

from dayfly.remote.launcher import answer
from model.cloud import cloud_with
from model.steps import NO_CAPACITY, tick


def test_run_on_a_server_has_no_outcome_yet():
    cloud = cloud_with()
    found = answer(tick(cloud))
    [server] = cloud.servers
    assert (found["decision"], found["attempt"], found["server"], found["outcome"]) == ("run", 1, server, None)
    assert answer(tick(cloud)) == found, "a second delivery gets the same answer"


def test_run_that_got_no_server_is_over():
    found = answer(tick(cloud_with(refuse={"spot": NO_CAPACITY, "on-demand": NO_CAPACITY})))
    assert (found["decision"], found["server"], found["outcome"]) == ("run", None, "failed")
