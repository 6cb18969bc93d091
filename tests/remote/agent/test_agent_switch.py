"""The switch, started by the real user data: it ends the server whatever happens to the agent."""

from __future__ import annotations

import os
import signal
import time

from dayfly.core import names
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
    assert "dayfly switch: powering off: lifetime of 3 s is over" in server.wait_off(10)
    assert 2.5 <= time.monotonic() - began < 6


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
