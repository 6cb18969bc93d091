"""On the local cloud, by commands: a receiver on this machine gets the test message, and one signed message for each fact."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from cloud.receiver import Receiver, is_signed, receiving
from system.conftest import Folder
from system.projects import project

pytestmark = [pytest.mark.cloud, pytest.mark.slow]

MAIL = "data@acme.example"


def until(holds: Callable[[], bool], seconds: float = 60) -> bool:
    limit = time.monotonic() + seconds
    while not holds() and time.monotonic() < limit:
        time.sleep(0.2)
    return holds()


def deploy(cloud: Folder, name: str, receiver: Receiver, command: str) -> str:
    """Deploy a project that tells the receiver and an e-mail address, and return the last screen."""
    notify = f"notify = {json.dumps([MAIL, receiver.url])}\n"
    cloud.write(notify + project(name, command))
    done = cloud.dayfly("deploy", "--local", "--yes")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_receiver_hears_of_a_failure_and_of_the_recovery(cloud):
    with receiving() as receiver:
        deploy(cloud, "heard", receiver, "echo no data; exit 3")
        key = cloud.json("notify", "--key", "--local")["key"]
        failed = cloud.json("run", "hello", "--publish", "--wait", "--local", code=1)
        assert until(lambda: receiver.types == ["run.failed"])
        headers, body = receiver.arrived[0]
        assert is_signed(headers, body, key)
        assert json.loads(body)["data"]["run"] == failed["run"]
        assert until(lambda: f"{MAIL}, {receiver.url}" in cloud.dayfly("show", failed["run"], "--local").stdout)
        deploy(cloud, "heard", receiver, "true")
        cloud.json("run", "hello", "--publish", "--wait", "--local")
        assert until(lambda: receiver.types == ["run.failed", "run.recovered"])


def test_test_message_reaches_every_address(cloud):
    with receiving() as receiver:
        deploy(cloud, "tested", receiver, "true")
        tried = cloud.json("notify", "--test", "--local")
        assert tried["answers"] == {MAIL: "", receiver.url: ""}
        assert receiver.types == ["run.test"]
        receiver.status = 404
        done = cloud.dayfly("notify", "--test", "--local")
        assert done.returncode == 1
        assert f"failed   {receiver.url}: it answered 404" in done.stdout
