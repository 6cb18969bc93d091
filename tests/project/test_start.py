"""The event that starts a run, sent to the launcher: sent again if the answer is unclear; a refusal has the launcher's words."""

from __future__ import annotations

import pytest

from dayfly.errors import FileError, NotFoundError, RightsError, SupplyError, Unclear, UnfinishedError
from dayfly.flows.calls import Invoked
from dayfly.project.runs.start import PAUSES_S, send_event
from model.account import ModelAccount
from model.deploying import deploy

EVENT = {"job": "pi", "request": "r1", "by": "ben"}
ANSWER = {"run": "pi@2026-11-24T22:41:07Z", "decision": "run"}


def account(*answers: Invoked) -> ModelAccount:
    found = ModelAccount(launcher_answers=list(answers))
    deploy(found)
    return found


def send(cloud: ModelAccount):
    return cloud.run(send_event("pi", EVENT))


def test_answer_of_the_launcher_is_returned():
    assert send(account(Invoked(answer=ANSWER))) == ANSWER


def test_launcher_that_fails_is_asked_again_with_the_same_event():
    cloud = account(Invoked(answer={}, error="Task timed out"), Invoked(answer=ANSWER))
    assert send(cloud) == ANSWER
    assert len(set(cloud.invoked)) == 1
    assert len(cloud.invoked) == 2


def test_launcher_is_asked_for_most_of_a_minute():
    cloud = account(
        *[Invoked(answer={}, error="EC2 has not decided yet")] * (len(PAUSES_S) - 1), Invoked(answer=ANSWER)
    )
    began = cloud.now
    assert send(cloud) == ANSWER
    assert 45 <= (cloud.now - began).total_seconds() <= 60


@pytest.mark.parametrize("when", ["before", "after"])
def test_lost_answer_is_asked_again_with_the_same_event(when):
    cloud = account(Invoked(answer=ANSWER), Invoked(answer=ANSWER))
    cloud.faults = {cloud.calls_answered + 1: when}
    assert send(cloud) == ANSWER
    assert len(set(cloud.invoked)) == 1


def test_launcher_that_never_finishes_is_unclear():
    cloud = account(*[Invoked(answer={}, error="Task timed out")] * len(PAUSES_S))
    with pytest.raises(Unclear, match="Task timed out"):
        send(cloud)
    assert len(cloud.invoked) == len(PAUSES_S)


@pytest.mark.parametrize(("code", "kind"), [(2, FileError), (3, RightsError), (4, NotFoundError), (5, SupplyError)])
def test_refusal_keeps_its_exit_code_and_its_hint(code, kind):
    cloud = account(Invoked(answer={"refused": "no", "hint": "do this", "exit": code}))
    with pytest.raises(kind, match="no") as caught:
        send(cloud)
    assert caught.value.hint == "do this"


def test_project_that_is_not_deployed_is_refused():
    with pytest.raises(NotFoundError, match="not deployed here"):
        send(ModelAccount())


def test_stopped_launcher_is_said_with_the_way_out():
    cloud = account()
    cloud.stopped.add("dayfly-pi-launcher")
    with pytest.raises(UnfinishedError, match="are stopped: a destroy was cut off") as caught:
        send(cloud)
    assert caught.value.hint == "dayfly destroy to finish it, or dayfly deploy to start them again"
