"""Guests of other kinds than the usual: without namespaces, with this machine's network."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import machine_tools as tools
from localcloud.guests.console import Console
from localcloud.guests.disks import remove_disk
from localcloud.guests.guest import BootPlan, Events
from localcloud.guests.process import ProcessBackend, ProcessGuest, can_sandbox, make_etc_template
from running_cloud import Running

NAMESPACES = pytest.mark.skipif(not can_sandbox(), reason="this user may not make namespaces here")


def alive(word: str) -> bool:
    """Whether a process with that word in its command line lives."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in entry.read_bytes().decode(errors="replace").split("\0"):
                return True
        except OSError:
            continue
    return False


async def no_metadata(instance: str, listener: socket.socket) -> Callable[[], None]:
    """Stands at the metadata socket and answers nobody."""
    del instance
    return listener.close


async def live_once(directory: Path, script: str, press: str = "", sandbox: bool = False) -> tuple[str, str]:
    """Run one guest to its end; (why it ended, its console). With `press`, the power button once that is printed."""
    over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    events = Events(lambda: None, lambda _: None, lambda reason, _: over.set_result(reason))
    console = Console(directory / "console.log")
    plan = BootPlan("i-0123456789abcdef0", directory, "ip-172-31-0-9", "172.31.0.9", script.encode(), 1)
    guest = ProcessGuest(ProcessBackend(1, sandbox, False, no_metadata), plan, console, events)
    guest.start()
    if press:
        while press not in console.tail().decode():
            await asyncio.sleep(0.02)
        guest.power_button()
    return await asyncio.wait_for(over, 20), console.tail().decode()


def test_without_namespaces_shutdown_ends_the_tree_and_what_left_it(tmp_path: Path) -> None:
    seconds = f"600.{os.getpid()}1"
    script = (
        f"#!/bin/bash\n(setsid sh -c 'sleep {seconds} & exec sleep {seconds}' &)\nsleep 0.3\n"
        'echo "$HOME $AWS_EC2_METADATA_SERVICE_ENDPOINT"\nshutdown -h now\nsleep 30\necho never\n'
    )
    reason, said = asyncio.run(live_once(tmp_path, script))
    assert reason == "poweroff"
    assert f"{tmp_path}/disk/root http://127.0.0.1:" in said
    assert "never" not in said
    assert not alive(seconds)


def test_without_namespaces_the_power_button_ends_everything(tmp_path: Path) -> None:
    seconds = f"600.{os.getpid()}2"
    script = f"#!/bin/bash\n(setsid setsid sleep {seconds} &)\necho armed\n"
    reason, _ = asyncio.run(live_once(tmp_path, script, press="armed"))
    assert reason == "button"
    assert not alive(seconds)


def test_without_namespaces_nothing_outlives_a_killed_cloud(tmp_path: Path) -> None:
    seconds = f"600.{os.getpid()}3"
    program = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom test_guest_plain import live_once\n"
        f"asyncio.run(live_once(Path(sys.argv[1]), '#!/bin/bash\\n(setsid sleep {seconds} &)\\nexec sleep {seconds}\\n'))\n"
    )
    places = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1] / "src")])
    cloud = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], env={**os.environ, "PYTHONPATH": places})
    tools.until(lambda: alive(seconds))
    cloud.kill()
    cloud.wait()
    tools.until(lambda: not alive(seconds), limit=10)


@NAMESPACES
def test_a_disk_is_removed_whatever_its_guest_did_to_it(tmp_path: Path) -> None:
    make_etc_template(tmp_path)
    script = "#!/bin/sh\nmkdir -p /opt/a/b /etc/x\ntouch /opt/a/b/c\nchmod 0 /opt/a/b /opt/a\npoweroff\n"
    directory = tmp_path / "guest"
    directory.mkdir()
    reason, _ = asyncio.run(live_once(directory, script, sandbox=True))
    assert reason == "poweroff"
    remove_disk(directory)
    assert sorted(path.name for path in directory.iterdir()) == ["console.log"]


@pytest.mark.cloud
def test_with_internet_a_guest_has_this_machines_network_and_metadata_by_a_variable(
    start: Callable[..., Running],
) -> None:
    cloud = start("--internet")
    ec2 = cloud.client("ec2")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        script = (
            "#!/usr/bin/env python3\nimport os, socket, urllib.request\n"
            f"socket.create_connection(('127.0.0.1', {port}), 2).close()\n"
            "base = os.environ['AWS_EC2_METADATA_SERVICE_ENDPOINT']\n"
            "put = urllib.request.Request(base + 'latest/api/token', method='PUT',\n"
            "    headers={'X-aws-ec2-metadata-token-ttl-seconds': '60'})\n"
            "token = urllib.request.urlopen(put).read().decode()\n"
            "ask = urllib.request.Request(base + 'latest/meta-data/instance-id',\n"
            "    headers={'X-aws-ec2-metadata-token': token})\n"
            "print('I am', urllib.request.urlopen(ask).read().decode(), flush=True)\n"
        )
        server = tools.run(ec2, script)
        tools.prints(ec2, server, f"I am {server}")
    ec2.terminate_instances(InstanceIds=[server])
    tools.becomes(ec2, server, "terminated")
