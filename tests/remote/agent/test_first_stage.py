"""The first stage: it waits for go.json and becomes the verified agent, or stores why not and powers off. The switch ends it."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from dayfly.core import names, records
from dayfly.core.record_json import decode
from remote.agent.conftest import PACKAGE, Server

FRAME = re.compile(r'File "(?P<path>[^"]+)", line (?P<line>\d+), in .*\n    (?P<source>.+)\n')


def closed_port() -> str:
    """Return an address at which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}/agent.zip?X-Amz-Signature=1"


def wait_for(server: Server, text: str, seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while text not in server.console_text():
        assert time.monotonic() < until, server.console_text()
        time.sleep(0.02)


def test_server_without_go_json_powers_off(server: Server) -> None:
    server.first_stage(go_wait=2)
    assert "dayfly agent: powering off: no go.json within 2 s: none was written" in server.wait_off(10)
    assert server.aws.keys() == []


def test_late_go_json_is_read(server: Server) -> None:
    server.first_stage()
    time.sleep(1.5)
    server.go("true")
    assert server.ended()["outcome"] == "succeeded"


@pytest.mark.parametrize("status", [503, 429])
def test_download_that_fails_at_first_is_retried(server: Server, status: int) -> None:
    server.aws.fault = lambda _method, path, before: status if "agents" in path and before < 2 else None
    server.go("true")
    server.first_stage()
    assert server.ended()["outcome"] == "succeeded"


@pytest.mark.parametrize("status", [403, 404])
def test_refused_link_ends_the_run_at_once_as_no_network(server: Server, status: int) -> None:
    server.aws.fault = lambda _method, path, _before: status if "agents" in path else None
    server.go("echo never")
    server.first_stage()
    ended = server.ended(10)
    assert (ended["outcome"], ended["reason"]) == ("failed", "no-network")
    assert f"the link to the agent is refused: status {status}" in ended["detail"]
    assert "dayfly agent: powering off: failed no-network" in server.console_text()
    assert server.prefix + "started.json" not in server.aws.objects


def test_unreachable_link_ends_the_run_after_a_bounded_time(server: Server) -> None:
    server.go("echo never", agent={"url": closed_port(), "sha256": "0" * 64, "size": 1})
    began = time.monotonic()
    server.first_stage(patience=3)
    ended = server.ended(20)
    assert (ended["outcome"], ended["reason"]) == ("failed", "no-network")
    assert 3 <= time.monotonic() - began < 12


def test_end_is_a_record_that_core_reads(server: Server) -> None:
    server.aws.fault = lambda _method, path, _before: 403 if "agents" in path else None
    server.go("echo never")
    server.first_stage()
    server.ended()
    ended = decode(records.Ended, server.aws.read(server.prefix + "ended.json"))
    assert (ended.outcome, ended.exit, ended.outputs, ended.log.lines) == ("failed", None, (), 0)


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"size": 10}, {"size": 1 << 20}])
def test_agent_with_wrong_hash_or_size_is_not_run(server: Server, change: dict[str, object]) -> None:
    server.go("echo never", agent=server.link("agents/x.zip", server.agent_zip, **change))
    server.first_stage()
    ended = server.ended(10)
    assert (ended["outcome"], ended["reason"]) == ("failed", "no-agent")
    assert "the agent is not the deployed one" in ended["detail"]
    assert not (server.control / "agent").exists()


@pytest.mark.parametrize("agent", [None, {}, {"url": "http://127.0.0.1", "sha256": "0", "size": "many"}])
def test_go_json_without_a_usable_agent_ends_the_run(server: Server, agent: object) -> None:
    server.go("echo never", agent=agent)
    server.first_stage()
    assert server.ended(10)["reason"] == "no-agent"


def test_agent_that_is_no_archive_ends_the_run(server: Server) -> None:
    server.go("echo never", agent=server.link("agents/x.zip", b"not a zip"))
    server.first_stage()
    ended = server.ended(10)
    assert (ended["reason"], ended["detail"]) == ("no-agent", "BadZipFile: File is not a zip file")


def test_server_without_any_network_powers_off(server: Server) -> None:
    """Not even ended.json can be stored."""
    server.aws.fault = lambda _method, path, _before: None if "go.json" in path or "meta" in path else 500
    server.go("echo never")
    server.first_stage(patience=1)
    assert "powering off: failed no-network" in server.wait_off(60)
    assert server.prefix + "ended.json" not in server.aws.objects


def test_agent_that_cannot_start_is_ended_by_the_switch(server: Server) -> None:
    broken = server.agent_zip.replace(b"__main__.py", b"__mine__.py")
    server.go("echo never", agent=server.link("agents/x.zip", broken))
    server.boot()
    assert "dayfly switch: powering off: agent gone" in server.wait_off(10)


def test_switch_sees_the_agent_in_every_moment_of_its_start(server: Server) -> None:
    """The download takes longer than the switch waits for a missing agent; exec keeps the lock."""
    held = server.aws.fault

    def slow(method: str, path: str, before: int) -> int | str | None:
        if "agents" in path:
            time.sleep(3)
        return held(method, path, before)

    server.aws.fault = slow
    server.go("sleep 2")
    server.boot()
    assert server.ended()["outcome"] == "succeeded"
    assert "dayfly switch: powering off" not in server.console_text()


def test_lifetime_ends_a_hung_download(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server.aws.tags[names.TAG_LIFETIME] = "4"
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/agent.zip?X-Amz-Signature=1"
        server.go("echo never", agent={"url": url, "sha256": "0" * 64, "size": 1})
        began = time.monotonic()
        server.boot()
        assert "dayfly switch: powering off: past its deadline" in server.wait_off(10)
        assert time.monotonic() - began < 8


def test_lifetime_ends_a_stopped_first_stage(server: Server) -> None:
    server.aws.tags[names.TAG_LIFETIME] = "4"
    server.boot()
    wait_for(server, "waits for go.json")
    for pid in server.processes():
        if b"stage" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            os.kill(pid, signal.SIGSTOP)
    assert "dayfly switch: powering off: past its deadline" in server.wait_off(10)


def test_job_does_not_hold_the_lock_of_the_agent(server: Server) -> None:
    server.go("ls -l /proc/self/fd > fds", outputs=["fds"])
    server.boot()
    server.ended()
    assert b"control/agent" not in server.aws.read(server.prefix + "output/fds")


def test_agent_removes_the_file_with_the_links(server: Server) -> None:
    server.go("true")
    server.boot()
    server.ended()
    assert not (server.control / "start.json").exists()


def test_traceback_of_the_agent_shows_file_and_line_of_the_repository(server: Server) -> None:
    server.go("true", deadline="tomorrow")
    server.boot()
    console = server.wait_off()
    assert "ValueError: time data 'tomorrow'" in console
    frames = [found for found in FRAME.finditer(console) if "/dayfly/remote/" in found["path"]]
    assert [found["path"].rpartition("/dayfly/")[2] for found in frames] == ["remote/agent/main.py"] * 2
    for found in frames:
        lines = (PACKAGE / found["path"].rpartition("/dayfly/")[2]).read_text().splitlines()
        assert lines[int(found["line"]) - 1].strip() == found["source"]


def test_console_names_the_first_stage_and_the_agent_alike(server: Server) -> None:
    server.go("true")
    server.boot()
    server.ended()
    lines = [line for line in server.console_text().splitlines() if line.startswith("dayfly agent: ")]
    assert lines[0].endswith("waits for go.json")
    assert lines[-1] == "dayfly agent: powering off: succeeded"
    assert (server.control / "agent-ended").read_text() == "succeeded"
