"""The switch, started by the real user data: it ends the server whatever happens to the agent."""

from __future__ import annotations

import os
import signal
import time

import pytest

from dayfly.core import names
from dayfly.remote.boot import names as boot_names
from remote.agent.conftest import Server


def test_user_data_runs_a_job_from_boot_to_power_off(server: Server) -> None:
    server.go("echo done > out", outputs=["out"])
    server.boot()
    ended = server.ended()
    assert ended["outcome"] == "succeeded"
    assert "dayfly switch: armed for 900 s after boot" in server.console_text()
    assert "dayfly agent: powering off: succeeded" in server.console_text()
    assert "dayfly switch: powering off" not in server.console_text()


def test_lifetime_ends_the_server_while_the_agent_runs(server: Server) -> None:
    server.aws.tags[names.TAG_LIFETIME] = "3"
    server.go("sleep 60")
    began = time.monotonic()
    server.boot()
    assert "dayfly switch: powering off: past its deadline" in server.wait_off(10)
    assert 2.5 <= time.monotonic() - began < 6


def tagged(server: Server, lifetime: int, left: float) -> None:
    """Set the tags of a server whose deadline is `left` seconds from now by this machine's clock."""
    server.aws.tags[names.TAG_LIFETIME] = str(lifetime)
    server.aws.tags[names.TAG_DEADLINE] = boot_names.utc_text(time.time() + left)


def test_server_that_boots_late_ends_at_its_deadline(server: Server) -> None:
    """EC2 was asked some minutes after the intent: the deadline counts from the intent, and so does the switch."""
    tagged(server, lifetime=300, left=5)
    server.go("sleep 60")
    began = time.monotonic()
    server.boot()
    assert "dayfly switch: powering off: past its deadline" in server.wait_off(10)
    assert 3 <= time.monotonic() - began < 8


def test_server_that_boots_after_its_deadline_ends_at_once(server: Server) -> None:
    tagged(server, lifetime=60, left=-5)
    server.boot()
    assert "dayfly switch: powering off: past its deadline" in server.wait_off(4)


@pytest.mark.parametrize("left", [365 * 86400, 3600])
def test_slow_clock_or_later_deadline_keeps_no_server_beyond_its_lifetime(server: Server, left: float) -> None:
    tagged(server, lifetime=3, left=left)
    server.boot()
    assert "dayfly switch: powering off: past its deadline" in server.wait_off(6)


@pytest.mark.parametrize("deadline", ["1971-01-01T00:00:00Z", "2026-01-01", ""])
def test_clock_far_ahead_or_bad_deadline_ends_no_server_early(server: Server, deadline: str) -> None:
    server.aws.tags[names.TAG_DEADLINE] = deadline
    server.boot()
    until = time.monotonic() + 5
    while "armed for 900 s after boot" not in server.console_text():
        assert time.monotonic() < until, server.console_text()
        time.sleep(0.05)
    assert "powering off" not in server.console_text()


def test_killed_agent_ends_the_server(server: Server) -> None:
    server.go("sleep 60")
    server.boot()
    until = time.monotonic() + 10
    while server.prefix + "started.json" not in server.aws.objects:
        assert time.monotonic() < until
        time.sleep(0.05)
    for pid in server.processes():
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            arguments = file.read().split(b"\0")
        if str(server.control / "agent").encode() in arguments:
            os.kill(pid, signal.SIGKILL)
    assert "dayfly switch: powering off: agent gone" in server.wait_off(5)


def test_second_boot_powers_off_at_once(server: Server) -> None:
    server.go("sleep 60")
    server.boot()
    server.end()
    server.environ["PATH"] = server.environ["PATH"].replace("/usr/bin", f"{server.home}/none:/usr/bin")
    shim = server.home / "shims" / "shutdown"
    shim.write_text(shim.read_text() + "kill -9 $PPID\n")
    server.boot()
    assert "dayfly switch: powering off: second boot" in server.wait_off(5)


def test_another_server_from_the_same_disk_may_boot(server: Server) -> None:
    server.go("sleep 60")
    server.boot()
    server.end()
    server.environ["INSTANCE_ID"] = "i-another"
    server.boot()
    time.sleep(1)
    assert "second boot" not in server.console_text()


def test_lifetime_tag_is_read_until_it_exists(server: Server) -> None:
    lifetime = server.aws.tags.pop(names.TAG_LIFETIME)
    server.go("sleep 60")
    server.boot()
    time.sleep(2)
    assert "armed" not in server.console_text()
    server.aws.tags[names.TAG_LIFETIME] = lifetime
    until = time.monotonic() + 5
    while "armed for 900 s" not in server.console_text():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_boothook_without_python_starts_nothing(server: Server) -> None:
    (server.home / "shims" / "python3").unlink()
    (server.home / "shims" / "python3").write_text("#!/bin/sh\nexit 127\n")
    (server.home / "shims" / "python3").chmod(0o755)
    server.boot()
    assert not (server.home / "shutdown").exists()
    assert server.processes() == []
