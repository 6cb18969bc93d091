"""A job can write its own ended.json: what it says is bounded, and compared with what is stored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dayfly.core import names
from dayfly.core.reasons import AgentReason
from model.cloud import ROLE, ModelCloud, cloud_with, version
from model.steps import RUN, closed, sweep, tick


def reported(cloud: ModelCloud, **changes: Any) -> dict[str, Any]:
    """Let the agent run with exit 0, change what it reported, close the run, and return its closing record."""
    tick(cloud)
    [server] = cloud.servers
    cloud.run_agent(server)
    key = names.ended_key(prefix(server))
    cloud.objects[key] = json.dumps({**cloud.json(key), **changes}).encode()
    sweep(cloud)
    assert [key for key in cloud.objects if key.startswith(("open/", "slots/"))] == []
    assert len(names.done_names(key for key in cloud.objects if key.startswith("done/"))) == 1
    return closed(cloud)


def prefix(server: str) -> str:
    return names.out_prefix(RUN, 1, ROLE, server)


def output(path: str = "out/pi.txt", **changes: Any) -> dict[str, Any]:
    key = f"{prefix('i-' + '0' * 17)}output/{path}"
    return {"path": path, "key": key, "size": 5, "sha256": "0" * 64, **changes}


@pytest.mark.parametrize("outcome", ["a~b", "x/y", "s" * 2000, "", "splendid", None, 3, ["succeeded"]])
def test_outcome_that_no_agent_reports_is_no_last_word(outcome):
    end = reported(cloud_with(), outcome=outcome)
    assert (end["outcome"], end["reason"]) == ("failed", "lost")
    assert "what it reported cannot be used" in end["detail"]


@pytest.mark.parametrize(
    "outputs",
    [
        [],
        [output(size=6)],
        [output(size=0)],
        [output(key="out/zz/2026-11-24T22:41:00Z/1/AROA:i-1/output/out/pi.txt")],
        [output("out/../out/pi.txt")],
        [output("out/pi.png")],
    ],
    ids=["none", "larger", "empty", "of another run", "path with dots", "not stored"],
)
def test_success_without_every_declared_output_stored_is_not_saved(outputs):
    cloud = cloud_with()
    end = reported(cloud, outputs=outputs)
    assert (end["outcome"], end["reason"]) == ("failed", "not-saved")
    assert names.latest_key("pi") not in cloud.objects


def test_success_that_reports_one_output_too_many_is_not_saved():
    cloud = cloud_with()
    assert reported(cloud, outputs=[output(), output("out/more.txt")])["reason"] == "not-saved"
    assert names.latest_key("pi") not in cloud.objects


def test_failed_run_names_no_output_outside_its_own_prefix():
    cloud = cloud_with()
    outputs = [output(), output("x", key="latest/zz.json"), output("../../x")]
    assert reported(cloud, outcome="failed", reason="exit 3", exit=3, outputs=outputs)["reason"] == "exit 3"
    receipt = cloud.json(names.attempt_key(RUN, 1, "receipt"))
    assert [one["path"] for one in receipt["outputs"]] == ["out/pi.txt"]


def test_success_without_declared_outputs_stays_a_success():
    cloud = cloud_with(version(outputs=()))
    assert reported(cloud, outputs=[])["outcome"] == "succeeded"
    assert cloud.json(names.latest_key("pi"))["outputs"] == []


def test_success_with_its_outputs_stored_moves_latest():
    cloud = cloud_with(version(outputs=("out/*.txt", "out/")))
    end = reported(cloud)
    assert (end["outcome"], end["reason"]) == ("succeeded", "")
    assert [one["path"] for one in cloud.json(names.latest_key("pi"))["outputs"]] == ["out/pi.txt"]


def test_more_outputs_than_fit_into_a_page_are_compared():
    cloud = cloud_with(version(outputs=("out/**",)))
    outputs = [output(f"out/{number:04d}", size=1) for number in range(2500)]
    for each in outputs:
        cloud.objects[each["key"]] = b"x"
    assert reported(cloud, outputs=[*outputs, output()])["outcome"] == "succeeded"


@pytest.mark.parametrize("reason", ["exit 3", "killed by signal 9", *filter(None, AgentReason)])
def test_reason_of_the_agent_is_kept(reason):
    assert reported(cloud_with(), outcome="failed", reason=reason, exit=3)["reason"] == reason


@pytest.mark.parametrize("reason", ["a~b", "exit", "exit 3\n", "exit ٣", "lost", "quota", "r" * 2000])
def test_reason_that_no_agent_gives_is_unknown(reason):
    assert reported(cloud_with(), outcome="failed", reason=reason, exit=3)["reason"] == "unknown"


@pytest.mark.parametrize("changes", [{"exit": 256}, {"exit": -1}, {"exit": True}, {"signal": 65}, {"exit": "0"}])
def test_impossible_exit_is_no_last_word(changes):
    assert reported(cloud_with(), **changes)["reason"] == "lost"


def test_texts_are_bounded_and_control_no_terminal():
    cloud = cloud_with()
    texts = ["\x1b[2J\x9b31m\u202e" + "x" * 5000] * 500
    log = {"pieces": -1, "bytes": 1, "lines": 1, "last": texts}
    end = reported(cloud, outcome="failed", reason="exit 3", exit=3, detail=texts[0], missing=texts, log=log)
    assert end["detail"].isprintable()
    receipt = cloud.objects[names.attempt_key(RUN, 1, "receipt")]
    assert len(receipt) < 50_000
    assert json.loads(receipt)["log"]["pieces"] == 0
    assert b"\\u001b" not in receipt
    assert b"\x1b" not in receipt
