"""`up` while a cloud is already running, and the text that `status` prints."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import instances
from localcloud.commandline.main import status_lines
from running_cloud import Running, command

pytestmark = pytest.mark.cloud


def test_up_accepts_a_running_cloud_only_with_same_options(start: Callable[..., Running]) -> None:
    cloud = start("--max-guests", "3", "--max-life", "7200")
    port = cloud.facts["endpoint"].rpartition(":")[2]
    met = ("--guests", "process", "--max-guests", "3", "--max-life", "7200", "--port", port)
    for words in ((), met):
        done = command(cloud.directory, "up", "--json", *words)
        assert json.loads(done.stdout)["pid"] == cloud.facts["pid"], done.stdout + done.stderr
    for words in (
        ("--guests", "vm"),
        ("--internet",),
        ("--max-guests", "4"),
        ("--max-life", "60"),
        ("--port", str(int(port) ^ 1)),
    ):
        done = command(cloud.directory, "up", "--json", *words)
        output = json.loads(done.stdout)
        assert done.returncode == 1
        assert str(cloud.directory) in output["error"]
        assert "`down`" in output["remedy"]
    assert command(cloud.directory, "status").returncode == 0


def test_status_has_a_line_for_each_guest(start: Callable[..., Running]) -> None:
    cloud = start()
    ec2 = cloud.client("ec2")
    servers = [instances.run(ec2, "#!/bin/sh\nsleep 600\n") for _ in range(2)]
    for server in servers:
        instances.wait_for_state(ec2, server, "running")
    pids = {one["instance"]: one["pid"] for one in cloud.control("status", method="GET")["guests_now"]}
    output = command(cloud.directory, "status").stdout
    lines = [line.split(maxsplit=1) for line in output.splitlines()]
    shown = [value for name, value in lines if name == "guests_now"]
    assert sorted(shown) == sorted(f"{server}, pid {pids[server]}" for server in servers)
    assert [value for name, value in lines if name == "guest_limits"] == cloud.facts["guest_limits"]
    assert "[" not in output
    assert "{" not in output


def test_status_line_of_a_vm_has_memory_and_times() -> None:
    machine = {"instance": "i-1", "pid": 7, "rss_mib": 400, "began_s_ago": 61.2, "qemu_started_after_s": 0.2}
    [line] = status_lines({"guests_now": [machine]})
    assert line == "guests_now i-1, pid 7, 400 MiB, began 61 s ago, QEMU started after 0.2 s"
    assert status_lines({"guests_now": [], "internet": False, "state": Path("/s")}) == [
        "internet   no",
        "state      /s",
    ]
