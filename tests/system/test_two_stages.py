"""The first stage on the local cloud: an agent that cannot be had, a link that expired, a first stage that hangs. The server goes."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from system.conftest import Folder
from system.projects import BUCKET, project, run

pytestmark = pytest.mark.slow

NAME = "staged"


class Project:
    """A deployed project, whose servers a test starts and gives a go.json of its own."""

    def __init__(self, cloud: Folder) -> None:
        self.cloud, self.bucket = cloud, BUCKET.format(NAME)
        self.s3, self.ec2 = cloud.client("s3"), cloud.client("ec2")
        stack = cloud.client("cloudformation").describe_stacks(StackName=f"dayfly-{NAME}")["Stacks"][0]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        [key] = [found["Key"] for found in self.s3.list_objects_v2(Bucket=self.bucket, Prefix="agents/")["Contents"]]
        self.agent_key, self.agent = key, self.read(key)

    def read(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def link(self, seconds: int = 900, **changes: Any) -> dict[str, Any]:
        """Return the entry of the agent in go.json."""
        place = {"Bucket": self.bucket, "Key": self.agent_key}
        url = self.s3.generate_presigned_url("get_object", Params=place, ExpiresIn=seconds)
        digest = self.agent_key.split("/")[1].removesuffix(".zip")
        return {"url": url, "sha256": digest, "size": len(self.agent), **changes}

    def start(self, lifetime: int = 120) -> str:
        """Start a server from the project's launch template, as no run does, and return its id."""
        tags = {
            "dayfly:project": NAME,
            "dayfly:bucket": self.bucket,
            "dayfly:role": self.outputs["ServerRoleId"],
            "dayfly:lifetime": str(lifetime),
        }
        [template] = [value for key, value in self.outputs.items() if re.fullmatch(r"Template\w+Id", key)]
        started = self.ec2.run_instances(
            LaunchTemplate={"LaunchTemplateId": template},
            InstanceType="c8g.large",
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": key, "Value": tags[key]} for key in tags]}
            ],
        )
        return started["Instances"][0]["InstanceId"]

    def go(self, server: str, agent: dict[str, Any], **changes: Any) -> str:
        """Write the server's go.json, and return the prefix below which it may write."""
        user = f"{self.outputs['ServerRoleId']}:{server}"
        prefix = f"out/hello/2026-11-24T22:41:00Z/1/{user}/"
        go = {
            "format": 1,
            "run": "hello@2026-11-24T22:41:00Z",
            "attempt": 1,
            "prefix": prefix,
            "deadline": f"{datetime.now(UTC) + timedelta(minutes=2):%Y-%m-%dT%H:%M:%SZ}",
            "time_limit_s": 60,
            "agent": agent,
            **changes,
        }
        self.s3.put_object(Bucket=self.bucket, Key=f"go/{user}/go.json", Body=json.dumps(go).encode())
        return prefix

    def wait_gone(self, server: str, seconds: float = 60) -> str:
        """Wait until the server is terminated, and return its console."""
        until = time.monotonic() + seconds
        while True:
            [group] = self.ec2.describe_instances(InstanceIds=[server])["Reservations"]
            if group["Instances"][0]["State"]["Name"] == "terminated":
                assert group["Instances"][0]["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
                return self.console(server)
            assert time.monotonic() < until, self.console(server)
            time.sleep(0.5)

    def console(self, server: str) -> str:
        return str(self.ec2.get_console_output(InstanceId=server).get("Output", ""))

    def ended(self, prefix: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.read(prefix + "ended.json"))
        return found


@pytest.fixture(scope="module")
def staged(cloud: Folder) -> Project:
    cloud.write(project(NAME, "echo never"))
    done = cloud.dayfly("deploy", "--local", "--yes")
    assert done.returncode == 0, done.stderr
    return Project(cloud)


@pytest.fixture
def agent_in_bucket(staged: Project) -> Iterator[None]:
    """Put the agent back after a test that changes it."""
    yield
    staged.s3.put_object(Bucket=staged.bucket, Key=staged.agent_key, Body=staged.agent)


@pytest.mark.usefixtures("agent_in_bucket")
def test_agent_with_a_wrong_hash_fails_the_run(staged: Project) -> None:
    staged.s3.put_object(Bucket=staged.bucket, Key=staged.agent_key, Body=staged.agent[:-1] + b"\1")
    document = run(staged.cloud, code=1)
    assert (document["outcome"], document["reason"]) == ("failed", "no-agent")
    assert "the agent is not the deployed one" in document["receipt"]["detail"]
    staged.wait_gone(document["receipt"]["server"]["id"])


def test_receipt_names_the_agent(staged: Project) -> None:
    staged.cloud.write(project(NAME, "echo never"))
    document = run(staged.cloud)
    assert document["outcome"] == "succeeded"
    assert document["receipt"]["code"]["agent"] == staged.link()["sha256"]


def test_expired_link_ends_the_server(staged: Project) -> None:
    expired = staged.link(seconds=1)
    server = staged.start()
    time.sleep(2)
    prefix = staged.go(server, expired)
    console = staged.wait_gone(server)
    assert staged.ended(prefix)["reason"] == "no-network"
    assert "the link to the agent is refused: status 403" in staged.ended(prefix)["detail"]
    assert "dayfly agent: powering off: failed no-network" in console


def test_unreachable_link_ends_the_server_by_its_switch_at_the_latest(staged: Project) -> None:
    """The first stage tries for two minutes; this server may live for less."""
    server = staged.start(lifetime=15)
    staged.go(server, staged.link(url="http://192.0.2.1/agent.zip?X-Amz-Signature=1"))
    began = time.monotonic()
    console = staged.wait_gone(server)
    assert "dayfly switch: powering off: past its deadline" in console
    assert time.monotonic() - began < 40


def test_stopped_first_stage_is_ended_by_the_switch(staged: Project) -> None:
    before = first_stages()
    server = staged.start(lifetime=12)
    until = time.monotonic() + 20
    while "waits for go.json" not in staged.console(server):
        assert time.monotonic() < until, staged.console(server)
        time.sleep(0.2)
    stopped = first_stages() - before
    assert stopped
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    staged.go(server, staged.link())
    assert "dayfly switch: powering off: past its deadline" in staged.wait_gone(server)


def first_stages() -> set[int]:
    """Return the processes of this machine that are a first stage."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"stage" in words and any(word.endswith(b"/.dayfly/control/package") for word in words):
                found.add(int(entry.name))
    return found


def test_crash_of_the_agent_shows_file_and_line_of_the_repository(staged: Project) -> None:
    server = staged.start()
    staged.go(server, staged.link(), deadline="tomorrow")
    console = staged.wait_gone(server)
    [line] = re.findall(r'/dayfly/remote/agent/main\.py", line (\d+), in \w+\s+deadline = ', console)
    source = (Path(__file__).parents[2] / "src/dayfly/remote/agent/main.py").read_text().splitlines()[int(line) - 1]
    assert source.strip().startswith("deadline = ")
