"""The points of the trial: what is expected, what was seen, and whether they agree. docs/unproven.md lists them all.

Each point reserves what it can cost before it calls AWS.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from acceptance import servers, spend
from acceptance.target import NAME, Target

AS_EXPECTED, DIFFERS, NOT_RUN, NO_ANSWER = "as expected", "differs", "not run", "no answer"
OWN_MINUTES, OWN_DISK_GB = 15, 8
WHOLE_KINDS, WHOLE_MINUTES, WHOLE_DISK_GB = ("t4g.small", "t4g.micro"), 20, 8
FUNCTIONS_S = 600
"""Assumed: launcher and sweeper of one run take seconds, and nothing here limits their sum."""


@dataclass
class Point:
    """One question to AWS and its answer."""

    name: str
    expected: str
    seen: dict[str, Any] = field(default_factory=dict)
    verdict: str = NOT_RUN

    def decide(self, *, good: bool) -> None:
        self.verdict = DIFFERS
        if good:
            self.verdict = AS_EXPECTED


@dataclass
class Trial:
    """All points of one trial, in the order in which they run."""

    target: Target
    name: str
    ledger: spend.Ledger
    say: Callable[[str], None]
    points: list[Point] = field(default_factory=list)

    def __post_init__(self) -> None:
        assert NAME.fullmatch(self.name)
        ends = "after `shutdown -h now` the server is terminated, as the launch template says"
        self.off_on_demand = Point("power-off, on-demand", ends)
        self.replay = Point(
            "the same token again", "never another server, neither while the first runs nor after it is gone"
        )
        self.together = Point(
            "the same token twice at once",
            "one server for both; the second call may be told that the first is in progress",
        )
        self.permissions = Point(
            "${aws:userid}", "a server can store under its own id (200), not under another one (403)"
        )
        self.off_spot = Point("power-off, spot", ends)
        self.whole = Point("a whole run", "deploy, run, receipt and destroy succeed; no server is left")
        self.image = Point("resolve:ssm", "an instant fleet resolves it, with the launcher's two SSM permissions")
        self.points = [
            self.off_on_demand,
            self.together,
            self.replay,
            self.permissions,
            self.off_spot,
            self.whole,
            self.image,
        ]

    def own_servers(self) -> None:
        """Test power-off, the token and the permissions on the trial's own servers."""
        bound = spend.servers(3, (servers.KIND,), OWN_MINUTES, OWN_DISK_GB)  # a repeated token could launch two more
        if not self._reserve(
            "own servers, on-demand", (self.off_on_demand, self.together, self.replay, self.permissions), bound
        ):
            self.off_spot.seen["why"] = "it needs what the points before it create"
            return
        self.say("role, bucket, launch template")
        prepared = servers.prepare(self.target, self.name)
        self._on_demand(prepared)
        if self._reserve(
            "own server, spot", (self.off_spot,), spend.servers(1, (servers.KIND,), OWN_MINUTES, OWN_DISK_GB)
        ):
            _request, answer = servers.start(self.target, prepared, "spot", "s")
            self._power_off(self.off_spot, answer)

    def _reserve(self, step: str, points: tuple[Point, ...], *bounds: spend.Bound) -> bool:
        try:
            self.ledger.reserve(step, *bounds)
        except spend.OverCap as error:
            for point in points:
                point.seen["why"] = str(error)
            self.say(f"not run: {error}")
            return False
        return True

    def _on_demand(self, prepared: servers.Prepared) -> None:
        asked, both = servers.start_twice(self.target, prepared)
        first = next((each for each in both if each.servers), both[0])
        if not first.servers:
            self._power_off(self.off_on_demand, first)
            return
        self._compare(both)
        again = servers.fleet(self.target, asked)
        self.say("the same request again")
        self._power_off(self.off_on_demand, first)
        self._check_permissions(prepared, first.servers[0])
        after = servers.fleet(self.target, asked)
        self.say("the same request again, after its server is gone")
        known = set(servers.shown(self.target, self.name))
        named = {*first.servers, *again.servers, *after.servers}
        self.replay.seen = {
            "first": first.facts(),
            "while it runs": again.facts(),
            "after it is gone": after.facts(),
            "servers in all": len(known | named),
        }
        self.replay.decide(good=known | named == set(first.servers))

    def _compare(self, both: tuple[servers.Answer, ...]) -> None:
        """Decide what two calls at once with one token did. The clean-up ends a second server, if there is one."""
        named = {server for each in both for server in each.servers}
        shown = set(servers.shown(self.target, self.name))
        self.together.seen = {"first": both[0].facts(), "second": both[1].facts(), "servers in all": len(named | shown)}
        refused = [each.error for each in both if not each.servers]
        self.together.decide(good=len(named | shown) == 1 and set(refused) <= {"IdempotentCallInProgress"})

    def _power_off(self, point: Point, answer: servers.Answer) -> None:
        point.seen["request"] = answer.facts()
        if not answer.servers:
            point.verdict = NO_ANSWER
            return
        server = answer.servers[0]
        self.say(f"server {server}")
        behavior = servers.behavior(self.target, server)
        began = time.monotonic()
        one = servers.wait_until_off(self.target, server)
        point.seen |= {
            "behavior": behavior,
            "market": one.get("InstanceLifecycle", "on-demand"),
            "image": one.get("ImageId"),
            "state": one["State"]["Name"],
            "reason": one.get("StateReason", {}).get("Code"),
            "transition": one.get("StateTransitionReason"),
            "off after s": round(time.monotonic() - began),
        }
        ended = (one["State"]["Name"], one.get("StateReason", {}).get("Code"))
        point.decide(good=ended == ("terminated", "Client.InstanceInitiatedShutdown"))
        self.say(f"server {server} is {one['State']['Name']}")

    def _check_permissions(self, prepared: servers.Prepared, server: str) -> None:
        found = servers.probe_result(self.target, prepared, server)
        if found is None:
            self.permissions.seen = {"stored": None}
            self.permissions.decide(good=False)
            return
        self.permissions.seen = found
        self.permissions.decide(good=found["own"][0] == 200 and found["other"] == [403, "AccessDenied"])

    def whole_run(self) -> None:
        """Test dayfly itself, through its own commands; and resolve:ssm, which its launcher uses."""
        bounds = (spend.servers(1, WHOLE_KINDS, WHOLE_MINUTES, WHOLE_DISK_GB), spend.functions(FUNCTIONS_S, 512))
        if not self._reserve("the whole run", (self.whole, self.image), *bounds):
            return
        self.target.write(_FILE.format(name=self.name, account=self.target.account, region=self.target.region))
        self.target.write_program(_PROGRAM)
        self.say("dayfly doctor")
        found = self.target.dayfly("doctor").get("findings", [])
        self.whole.seen["doctor"] = [f"{each['subject']}: {each['text']}" for each in found if each["level"] == "fail"]
        self.say("dayfly deploy")
        began = time.monotonic()
        deployed = self.target.dayfly("deploy", "--yes")
        self.whole.seen["deploy"] = {"exit": deployed["exit"], "s": round(time.monotonic() - began)} | _error(deployed)
        if deployed["exit"] != 0:
            self.whole.decide(good=False)
            return
        self.say("dayfly run hello --wait")
        ran = self.target.dayfly("run", "hello", "--wait")
        receipt = ran.get("receipt") or {}
        self.whole.seen["run"] = {"exit": ran["exit"], "outcome": ran.get("outcome")} | _error(ran)
        self.whole.seen["receipt"] = {key: receipt.get(key) for key in _OF_RECEIPT}
        self._check_image(receipt)
        self.say("dayfly destroy --delete-results")
        began = time.monotonic()
        gone = self.target.dayfly("destroy", "--yes", "--delete-results")
        left = gone.get("left")
        self.whole.seen["destroy"] = {"exit": gone["exit"], "s": round(time.monotonic() - began), "left": left}
        self.whole.decide(good=receipt.get("outcome") == "succeeded" and gone["exit"] == 0 and left == [])

    def _check_image(self, receipt: dict[str, Any]) -> None:
        """Compare the template's image, the launcher's SSM permissions, and the image that the server was started from."""
        stack = self.target.client("cloudformation").describe_stack_resources(StackName=f"dayfly-{self.name}")
        made = {each["ResourceType"]: each for each in stack["StackResources"]}
        physical = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in stack["StackResources"]}
        template = made["AWS::EC2::LaunchTemplate"]["PhysicalResourceId"]
        versions = self.target.client("ec2").describe_launch_template_versions(LaunchTemplateId=template)
        wanted = versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]["ImageId"]
        policy = self.target.client("iam").get_role_policy(RoleName=physical["LauncherRole"], PolicyName="dayfly")
        statements = policy["PolicyDocument"]["Statement"]
        actions = sorted({one for each in statements for one in each["Action"] if one.startswith("ssm:")})
        image = (receipt.get("server") or {}).get("image")
        self.image.seen = {"template": wanted, "launcher may": actions, "server's image": image}
        if not receipt:
            self.image.verdict = NO_ANSWER
            return
        resolved = wanted.startswith("resolve:ssm:") and str(image).startswith("ami-")
        self.image.decide(good=resolved and actions == ["ssm:GetParameter", "ssm:GetParameters"])


_OF_RECEIPT = (
    "outcome",
    "reason",
    "detail",
    "errors",
    "ended_by",
    "console",
    "server",
    "times",
    "deadline",
    "ran_on",
    "memory_mb",
)
"""What is sent back of the receipt: how the run ended and why, and when what happened."""


def _error(document: dict[str, Any]) -> dict[str, Any]:
    if "error" not in document:
        return {}
    return {"error": document["error"], "hint": document.get("hint")}


_FILE = """
project = "{name}"
account = "{account}"
regions = ["{region}"]
tags = {{ dayfly-acceptance = "{name}" }}

[jobs.hello]
command = "python3 hello.py"
servers = ["t4g.small", "t4g.micro"]
market = "spot-first"
time_limit = "1m"
margin = "10m"
disk = "8GB"
outputs = ["out/hello.txt"]
"""

_PROGRAM = """
import os, pathlib

pathlib.Path("out").mkdir(exist_ok=True)
pathlib.Path("out/hello.txt").write_text("hello from " + os.environ["DAYFLY_RUN"])
"""
