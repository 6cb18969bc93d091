"""A person cancels a run: the agent ends what goes on, keeps what the command had written, and says so."""

from __future__ import annotations

import json
import time

import pytest

from dayfly.core import names, records
from dayfly.core.record_json import decode
from remote.agent.conftest import ROLE, Server


def cancel(server: Server) -> None:
    key = names.go_key(ROLE, server.aws.instance).replace("go.json", "cancel.json")
    server.aws.put(key, json.dumps({"format": 1, "at": "2026-11-24T22:41:00Z"}).encode())


def wait_for_log(server: Server, text: bytes, seconds: float = 15) -> None:
    until = time.monotonic() + seconds
    while text not in server.log():
        assert time.monotonic() < until, server.console_text()
        time.sleep(0.05)


def test_cancelled_command_gets_term_and_keeps_what_it_wrote(server: Server) -> None:
    command = "trap 'echo saved > out; echo bye; exit 0' TERM; echo ready; while true; do sleep 0.1 || :; done"
    server.go(command, outputs=["out", "missing"])
    server.agent(grace=20.0)
    wait_for_log(server, b"ready")
    cancel(server)
    ended = server.ended(15)
    assert (ended["outcome"], ended["reason"], ended["exit"]) == ("cancelled", "cancelled", 0)
    assert [output["path"] for output in ended["outputs"]] == ["out"]
    assert server.aws.read(server.prefix + "output/out") == b"saved\n"
    assert server.log().endswith(b"bye\n")
    assert "dayfly agent: powering off: cancelled" in server.console_text()
    record = decode(records.Ended, server.aws.read(server.prefix + "ended.json"))
    assert record.outcome == "cancelled"


def test_cancelled_command_that_ignores_term_is_killed(server: Server) -> None:
    server.go(
        [
            "python3",
            "-uc",
            "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('ready')\nwhile 1: time.sleep(1)",
        ]
    )
    server.agent(grace=2.0)
    wait_for_log(server, b"ready")
    began = time.monotonic()
    cancel(server)
    ended = server.ended(20)
    assert (ended["outcome"], ended["signal"]) == ("cancelled", 9)
    assert 2 <= time.monotonic() - began < 12
    assert server.processes("DAYFLY_JOB=") == []


def test_cancel_ends_setup(server: Server) -> None:
    server.go("echo never", setup="echo ready; sleep 60", time_limit_s=5)
    server.agent()
    wait_for_log(server, b"ready")
    cancel(server)
    ended = server.ended(15)
    assert (ended["outcome"], ended["reason"], ended["detail"]) == (
        "cancelled",
        "cancelled",
        "before its command started",
    )
    assert server.log() == b"ready\n"
    assert server.prefix + "started.json" not in server.aws.objects


@pytest.mark.parametrize("what", ["bundles", "output/", "POST /"])
def test_cancel_ends_a_download(server: Server, what: str) -> None:
    """The bundle, a result of another job, and a secret: each answers never."""

    def fault(method: str, path: str, _before: int) -> int | str | None:
        if what in f"{method} {path}" and (what != "POST /" or path == "/"):
            time.sleep(30)
        return None

    server.aws.fault = fault
    run = "out/ingest/2026-11-23T01:30:00Z/1/AROAOTHER:i-0aa/"
    listed = {"path": "a", "key": run + "output/a", "size": 1, "sha256": "0" * 64}
    server.aws.put(run + "ended.json", json.dumps({"outputs": [listed]}).encode())
    changes = {
        "bundles": {"bundle": server.bundle(b"zip")},
        "output/": {"inputs": [{"job": "ingest", "run": "r", "ended": run + "ended.json"}]},
        "POST /": {"secrets": {"A": "ssm:/x"}},
    }
    server.go("echo never", **changes[what])
    server.agent()
    time.sleep(2)
    cancel(server)
    ended = server.ended(15)
    assert (ended["outcome"], ended["detail"]) == ("cancelled", "before its command started")
    assert b"never" not in server.log()


def test_command_that_ended_before_it_was_told_is_not_cancelled(server: Server) -> None:
    server.go("sleep 1; echo done > out", outputs=["out"])
    server.agent()
    time.sleep(0.8)
    cancel(server)
    assert server.ended()["outcome"] == "succeeded"


@pytest.mark.parametrize("status", [403, 404, 500, "late"])
def test_answer_that_is_no_cancel_ends_nothing(server: Server, status: int | str) -> None:
    server.aws.fault = lambda _method, path, _before: status if path.endswith("cancel.json") else None
    server.go("sleep 7")
    server.agent()
    assert server.ended()["outcome"] == "succeeded"
    assert sum(line.endswith("cancel.json") for line in server.aws.seen) >= 2
