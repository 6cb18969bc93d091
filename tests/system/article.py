"""The article's system, deployed by the AWS CLI with the commands of its README, on a local cloud of either guest kind.

The AWS CLI acts and boto3 checks the effect. Nothing of dayfly is used here. `run_once` is the whole story for one guest kind.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

EXAMPLE = Path(__file__).parents[2] / "examples" / "article"
BIN = Path(sys.executable).parent
_BLOCK = r"^```sh {name}\n(.*?)^```$"


def pi(count: int) -> str:
    """Return `count` digits of pi, "3.14...", by Gauss-Legendre, another formula than the example's."""
    with localcontext() as context:
        context.prec = count + 20
        a, b, t, p = Decimal(1), 1 / Decimal(2).sqrt(), Decimal(1) / 4, 1
        while abs(a - b) > Decimal(10) ** -(count + 10):
            a, b, t, p = (a + b) / 2, (a * b).sqrt(), t - p * ((a - b) / 2) ** 2, 2 * p
        return str((a + b) ** 2 / (4 * t))[: count + 1]


@dataclass
class ArticleSystem:
    """One deployed copy of the example on one local cloud; `home` holds the copy, `answer.json` and the cloud's state."""

    home: Path
    guest: str = "process"
    stack: str = "pi"
    environment: dict[str, str] = field(default_factory=dict)
    by_hand: set[str] = field(default_factory=set)
    """The servers that `answered` returned."""
    _clients: dict[str, Any] = field(default_factory=dict)

    def prepare(self) -> None:
        """Copy the example, and set the variables that its commands need beside those of a cloud."""
        shutil.copytree(EXAMPLE, self.home, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".localcloud"))
        self.environment = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
            "STACK": self.stack,
            "ARTIFACTS": "artifacts",
            # The guest image may be the user's; the user's AWS configuration must not reach a test.
            "XDG_CACHE_HOME": str(Path.home() / ".cache"),
        } | {name: os.environ[name] for name in ("XDG_CACHE_HOME", "LOCALCLOUD_CACHE") if name in os.environ}

    def up(self, *words: str) -> None:
        """Start the local cloud, and read the variables that `env` exports."""
        self.prepare()
        kind = ["--guests", self.guest] if self.guest != "process" else []
        self.shell(" ".join(["python -m localcloud up", *kind, *words]), limit=600)
        said = self.shell("env -i PATH=$PATH PYTHONPATH=$PYTHONPATH python -m localcloud env")
        pairs = [line.removeprefix("export ").split("=", 1) for line in said.splitlines() if line.startswith("export ")]
        self.environment |= dict(pairs)

    def down(self) -> None:
        """Stop the local cloud and every guest."""
        self.shell("python -m localcloud down")

    def shell(self, text: str, limit: float = 120) -> str:
        """Run lines of bash in the example's folder and return what they print. A line that fails fails the test."""
        line = ["bash", "-euo", "pipefail", "-c", text]
        done = subprocess.run(
            line, cwd=self.home, env=self.environment, capture_output=True, text=True, timeout=limit, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def readme(self, block: str, **replacements: str) -> str:
        """Run a named block of the README unchanged, except for the given replacements."""
        found = re.search(_BLOCK.format(name=block), (EXAMPLE / "README.md").read_text(), re.MULTILINE | re.DOTALL)
        assert found, f"the README has no block {block}"
        text = found[1]
        for old, new in replacements.items():
            word = old.replace("_", "=")
            assert text.count(word) == 1, f"{word} is not in the block {block}"
            text = text.replace(word, new)
        return self.shell(text)

    def deploy(self, duration: int = 2, schedule: str = "cron(0 23 * * ? *)") -> None:
        """Package and deploy as the README says, with these parameters."""
        self.readme("deploy", Duration_10=f"Duration={duration} 'Schedule={schedule}'")

    def client(self, service: str) -> Any:
        """Return a boto3 client with the administrator's keys."""
        if service not in self._clients:
            said = self.environment
            self._clients[service] = boto3.client(
                service,
                region_name=said["AWS_REGION"],
                endpoint_url=said["AWS_ENDPOINT_URL"],
                aws_access_key_id=said["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=said["AWS_SECRET_ACCESS_KEY"],
                config=Config(read_timeout=120),
            )
        return self._clients[service]

    def output(self, name: str) -> str:
        """Return an output of the stack."""
        [stack] = self.client("cloudformation").describe_stacks(StackName=self.stack)["Stacks"]
        return next(str(one["OutputValue"]) for one in stack["Outputs"] if one["OutputKey"] == name)

    def resource(self, name: str) -> str:
        """Return the physical id of a resource of the stack."""
        found = self.client("cloudformation").describe_stack_resource(StackName=self.stack, LogicalResourceId=name)
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

    def invoke(self, event: Any) -> dict[str, Any]:
        """Invoke the function with an event and return its answer."""
        (self.home / "event.json").write_text(json.dumps(event))
        said = self.shell(
            f"aws lambda invoke --function-name {self.output('Function')} --payload fileb://event.json answer.json"
        )
        assert "FunctionError" not in said, (self.home / "answer.json").read_text()
        return self.answered()

    def answered(self) -> dict[str, Any]:
        """Return what the function last answered to the AWS CLI."""
        answer: dict[str, Any] = json.loads((self.home / "answer.json").read_text())
        self.by_hand.add(answer["instance"])
        return answer

    def servers(self) -> dict[str, dict[str, Any]]:
        """Return every server of the stack, by id."""
        mine = [{"Name": "tag:stack", "Values": [self.stack]}]
        found = self.client("ec2").describe_instances(Filters=mine)["Reservations"]
        return {one["InstanceId"]: one for each in found for one in each["Instances"]}

    def gone(self, server: str, limit: float = 120) -> None:
        """Wait until a server is terminated."""
        until(lambda: self.servers()[server]["State"]["Name"] == "terminated", limit, lambda: self.console(server))

    def console(self, server: str) -> str:
        """Return a server's console output."""
        return str(self.client("ec2").get_console_output(InstanceId=server).get("Output", ""))

    def clock(self, said: Any = None) -> Any:
        """Return the local cloud's time, or advance its clock by {"advance": seconds}."""
        body = None if said is None else json.dumps(said).encode()
        address = f"{self.environment['AWS_ENDPOINT_URL']}/_localcloud/clock"
        with urllib.request.urlopen(urllib.request.Request(address, body), timeout=120) as answer:
            return json.load(answer)

    def result(self, server: str) -> str:
        """Return what a server stored."""
        found = self.client("s3").get_object(Bucket=self.output("Bucket"), Key=f"pi/{server}.txt")
        return str(found["Body"].read().decode())

    def log(self) -> list[str]:
        """Return the function's log lines."""
        events = self.client("logs").filter_log_events(logGroupName=self.resource("LauncherLog"))["events"]
        return [str(event["message"]) for event in events]


def until(condition: Callable[[], bool], limit: float, details: Callable[[], str] = lambda: "") -> None:
    """Wait until the condition holds; fail after `limit` seconds with the text of `details`."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"not true after {limit:.0f} s\n{details()}"
        time.sleep(0.2)


def check_result(system: ArticleSystem, server: str) -> None:
    """Check that the server stored correct digits of pi and shut itself down."""
    seen = system.servers()[server]
    assert seen["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown", system.console(server)
    digits = system.result(server)
    assert len(digits) > 50
    assert digits == pi(len(digits) - 1)
    assert f"stored s3://{system.output('Bucket')}/pi/{server}.txt" in system.console(server)


def run_once(home: Path, guest: str, limit: float = 120) -> None:
    """Deploy on one guest kind ("process" or "vm"), invoke once, check the result, remove. `limit`: seconds of a server's life."""
    system = ArticleSystem(home, guest)
    system.up()
    try:
        system.deploy()
        server = system.invoke({})["instance"]
        system.gone(server, limit)
        check_result(system, server)
        system.readme("remove")
    finally:
        system.down()
