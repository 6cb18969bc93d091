"""`kill -9` of any process: answered changes survive, no process is left, interrupted work is reported as failed."""

import hashlib
import json
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

import instances
from lambda_functions import call, make_function, make_role, sleepers
from localcloud.server import directory as state
from running_cloud import Running, command

pytestmark = pytest.mark.cloud


def children(pid: int) -> list[int]:
    """Return the ids of a process's direct children."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry))
        except OSError:
            continue
    return found


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


class Writer(threading.Thread):
    """Puts objects and creates queues continuously, and records which calls were answered."""

    def __init__(self, cloud: Running, name: str) -> None:
        super().__init__(daemon=True)
        self._s3, self._sqs = cloud.client("s3"), cloud.client("sqs")
        self._name = name
        self.objects: dict[str, list[str]] = {}
        self.queues: list[str] = []

    def run(self) -> None:
        number = 0
        try:
            while True:
                number += 1
                key, body = f"{self._name}/{number % 7}", os.urandom(1 + number * 997 % 300_000)
                # A call may take effect without being answered, so record the attempt first.
                self.objects.setdefault(key, []).append(hashlib.md5(body).hexdigest())
                self._s3.put_object(Bucket="written", Key=key, Body=body, Metadata={"number": str(number)})
                self.objects[key] = self.objects[key][-1:]
                self._sqs.create_queue(QueueName=f"{self._name}-{number}")
                self.queues.append(f"{self._name}-{number}")
        except (BotoCoreError, ClientError):
            return


def test_kill_loses_no_answered_write_and_tears_none(start: Callable[..., Running]) -> None:
    seed = time.time_ns() % 10**6
    sys.stderr.write(f"seed {seed}\n")
    moments = random.Random(seed)
    cloud = start()
    cloud.client("s3").create_bucket(Bucket="written")
    for turn in range(3):
        writers = [Writer(cloud, f"w{turn}{number}") for number in range(3)]
        for writer in writers:
            writer.start()
        time.sleep(0.3 + moments.random())
        kill(cloud.facts["pid"])
        for writer in writers:
            writer.join(30)
        cloud = start()
        s3, sqs = cloud.client("s3"), cloud.client("sqs")
        urls = {url.rsplit("/", 1)[1] for url in sqs.list_queues().get("QueueUrls", [])}
        for writer in writers:
            assert set(writer.queues) <= urls
            for key, possible in writer.objects.items():
                try:
                    found = s3.get_object(Bucket="written", Key=key)
                except s3.exceptions.NoSuchKey:
                    assert len(possible) == 1, f"{key} was answered and is lost"
                    continue
                digest = hashlib.md5(found["Body"].read()).hexdigest()
                assert digest in possible
                assert found["ETag"].strip('"') == digest


def test_stack_cut_off_by_a_kill_has_failed_and_can_be_deleted(
    start: Callable[..., Running],
) -> None:
    cloud = start()
    flag = cloud.directory.parent / "flag"
    source = (
        "import time\ndef handler(e, c):\n    open(e['ResourceProperties']['Flag'], 'w').close()\n    time.sleep(50)"
    )
    make_function(cloud, "slow", source, make_role(cloud, "slow"), Timeout=60)
    slow = {"ServiceToken": "arn:aws:lambda:us-east-1:000000000000:function:slow", "Flag": str(flag)}
    resources = {
        "First": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "first"}},
        "Slow": {"Type": "Custom::Slow", "DependsOn": "First", "Properties": slow},
    }
    stacks = cloud.client("cloudformation")
    stacks.create_stack(StackName="cut", TemplateBody=json.dumps({"Resources": resources}))
    instances.wait_until(flag.exists, 30)
    assert stacks.describe_stacks(StackName="cut")["Stacks"][0]["StackStatus"] == "CREATE_IN_PROGRESS"
    kill(cloud.facts["pid"])
    again = start()
    stacks = again.client("cloudformation")
    [stack] = stacks.describe_stacks(StackName="cut")["Stacks"]
    assert stack["StackStatus"] == "CREATE_FAILED"
    assert "ended while this was in progress" in stack["StackStatusReason"]
    stacks.delete_stack(StackName="cut")
    stacks.get_waiter("stack_delete_complete").wait(StackName="cut", WaiterConfig={"Delay": 1})
    assert again.client("sns").list_topics()["Topics"] == []


def test_killed_function_process_fails_only_its_own_call(
    start: Callable[..., Running],
) -> None:
    cloud = start()
    source = """
import os, subprocess, time
def handler(event, context):
    if event.get("flag"):
        subprocess.Popen(["sleep", "2717"], start_new_session=True)
        open(event["flag"], "w").close()
        time.sleep(60)
    return "fine"
"""
    functions = make_function(cloud, "killed", source, make_role(cloud, "killed"), Timeout=60)
    flag = cloud.directory.parent / "flag"
    answers: list[Any] = []
    calling = threading.Thread(target=lambda: answers.append(call(functions, "killed", {"flag": str(flag)})))
    calling.start()
    instances.wait_until(lambda: flag.exists() and len(sleepers("2717")) == 1, 30)
    [outer] = [pid for pid in children(cloud.facts["pid"]) if "runtime.py" in Path(f"/proc/{pid}/cmdline").read_text()]
    inner = children(outer)
    kill(inner[0] if inner else outer)
    calling.join(30)
    [(answer, error, _)] = answers
    assert (error, answer["errorType"]) == ("Unhandled", "Runtime.ExitError")
    instances.wait_until(lambda: not sleepers("2717"), 30)
    assert call(functions, "killed")[0] == "fine"


@pytest.mark.parametrize("which", ["its first process", "the process around it"])
def test_killed_guest_is_terminated_and_leaves_nothing(start: Callable[..., Running], which: str) -> None:
    cloud = start()
    ec2 = cloud.client("ec2")
    server = instances.run(ec2, "#!/bin/sh\nsetsid sleep 2818 &\nexec sleep 2818\n")
    instances.wait_until(lambda: len(sleepers("2818")) == 2, 60)
    [around] = [
        pid for pid in children(cloud.facts["pid"]) if "guests.sandbox" in Path(f"/proc/{pid}/cmdline").read_text()
    ]
    inner = children(around)
    kill(inner[0] if which == "its first process" and inner else around)
    instances.wait_for_state(ec2, server, "terminated", 60)
    assert instances.shown(ec2, server)["StateReason"]["Code"] == "Server.InternalError"
    instances.wait_until(lambda: not sleepers("2818"), 30)
    another = instances.run(ec2, "#!/bin/sh\nshutdown -h now\n", InstanceInitiatedShutdownBehavior="terminate")
    instances.wait_for_state(ec2, another, "terminated", 60)
    assert instances.shown(ec2, another)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"


def test_stopping_cloud_is_not_reported_as_running(start: Callable[..., Running]) -> None:
    cloud = start()
    for _ in range(3):
        server = instances.run(cloud.client("ec2"), "#!/bin/sh\nsleep 600\n")
        instances.wait_for_state(cloud.client("ec2"), server, "running", 60)
        port = int(cloud.facts["endpoint"].rpartition(":")[2])
        # An incomplete request delays the end of the cloud for a moment.
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(b"PUT /bucket/slow HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 8\r\n\r\nhalf")
            assert command(cloud.directory, "status").returncode == 0
            os.kill(cloud.facts["pid"], signal.SIGTERM)
            instances.wait_until(lambda ending=cloud: state.facts(ending.directory) is None or not answers(ending), 60)
            again = start()
        assert again.facts["pid"] != cloud.facts["pid"]
        assert instances.state(again.client("ec2"), server) == "terminated"
        cloud = again


def answers(cloud: Running) -> bool:
    port = int(cloud.facts["endpoint"].rpartition(":")[2])
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True
