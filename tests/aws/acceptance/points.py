"""The points themselves: what is expected, what was seen, and whether the one is the other. docs/unproven.md names them all.

Each says what it can cost before it asks for anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from acceptance import servers, spend
from acceptance.place import NAME, Place

AS_EXPECTED, OTHERWISE, NOT_RUN, NO_ANSWER = "as expected", "otherwise", "not run", "no answer"
OWN_MINUTES, OWN_DISK_GB = 15, 8
WHOLE_KINDS, WHOLE_MINUTES, WHOLE_DISK_GB = ("c7g.medium", "c6g.medium"), 20, 8
FUNCTIONS_S = 600
"""An assumption: launcher and sweeper of one run take seconds, and nothing here ends them at a sum."""


@dataclass
class Point:
    """One question to AWS and its answer."""

    name: str
    expected: str
    seen: dict[str, Any] = field(default_factory=dict)
    verdict: str = NOT_RUN

    def judge(self, *, good: bool) -> None:
        self.verdict = AS_EXPECTED if good else OTHERWISE


@dataclass
class Trial:
    """All points of one trial, in the order in which they are asked."""

    place: Place
    name: str
    ledger: spend.Ledger
    say: Callable[[str], None]
    points: list[Point] = field(default_factory=list)

    def __post_init__(self) -> None:
        assert NAME.fullmatch(self.name)
        ends = "after `shutdown -h now` the server is terminated, because the launch template says so"
        self.off_on_demand = Point("power-off, on-demand", ends)
        self.replay = Point("the same token again", "never another server, neither while the first lives nor after")
        self.rights = Point("${aws:userid}", "a server stores below its own id (200), not below another's (403)")
        self.off_spot = Point("power-off, spot", ends)
        self.whole = Point("a whole run", "deploy, run, receipt and destroy succeed; no server is left")
        self.image = Point(
            "resolve:ssm", "an instant fleet resolves it, with ssm:GetParameters as the launcher's only right there"
        )
        self.points = [self.off_on_demand, self.replay, self.rights, self.off_spot, self.whole, self.image]

    def own_servers(self) -> None:
        """Power-off, the token and the rights, on servers of the trial's own."""
        bound = spend.servers(3, (servers.KIND,), OWN_MINUTES, OWN_DISK_GB)  # a repeated token could launch two more
        if not self._let("own servers, on-demand", (self.off_on_demand, self.replay, self.rights), bound):
            self.off_spot.seen["why"] = "it starts from what the points before it make"
            return
        self.say("role, bucket, launch template")
        ground = servers.prepare(self.place, self.name)
        self._on_demand(ground)
        if self._let("own server, spot", (self.off_spot,), spend.servers(1, (servers.KIND,), OWN_MINUTES, OWN_DISK_GB)):
            _request, answer = servers.start(self.place, ground, "spot", "s")
            self._power_off(self.off_spot, answer)

    def _let(self, step: str, points: tuple[Point, ...], *bounds: spend.Bound) -> bool:
        try:
            self.ledger.take(step, *bounds)
        except spend.TooDear as error:
            for point in points:
                point.seen["why"] = str(error)
            self.say(f"not run: {error}")
            return False
        return True

    def _on_demand(self, ground: servers.Ground) -> None:
        asked, first = servers.start(self.place, ground, "on-demand", "d")
        if not first.servers:
            self._power_off(self.off_on_demand, first)
            return
        again = servers.fleet(self.place, asked)
        self.say("the same request again")
        self._power_off(self.off_on_demand, first)
        self._look_at_rights(ground, first.servers[0])
        after = servers.fleet(self.place, asked)
        self.say("the same request again, after its server went")
        known = set(servers.shown(self.place, self.name))
        named = {*first.servers, *again.servers, *after.servers}
        self.replay.seen = {
            "first": first.facts(),
            "while it lives": again.facts(),
            "after it went": after.facts(),
            "servers in all": len(known | named),
        }
        self.replay.judge(good=known | named == set(first.servers))

    def _power_off(self, point: Point, answer: servers.Answer) -> None:
        point.seen["request"] = answer.facts()
        if not answer.servers:
            point.seen["errors"] = [": ".join(each)[:300] for each in answer.errors]
            point.verdict = NO_ANSWER
            return
        server = answer.servers[0]
        self.say(f"server {server}")
        told = servers.behaviour(self.place, server)
        began = time.monotonic()
        one = servers.wait_until_off(self.place, server)
        point.seen |= {
            "behaviour": told,
            "market": one.get("InstanceLifecycle", "on-demand"),
            "image": one.get("ImageId"),
            "state": one["State"]["Name"],
            "reason": one.get("StateReason", {}).get("Code"),
            "transition": one.get("StateTransitionReason"),
            "off after s": round(time.monotonic() - began),
        }
        ended = (one["State"]["Name"], one.get("StateReason", {}).get("Code"))
        point.judge(good=ended == ("terminated", "Client.InstanceInitiatedShutdown"))
        self.say(f"server {server} is {one['State']['Name']}")

    def _look_at_rights(self, ground: servers.Ground, server: str) -> None:
        found = servers.said(self.place, ground, server)
        if found is None:
            self.rights.seen = {"stored": None}
            self.rights.judge(good=False)
            return
        self.rights.seen = found
        self.rights.judge(good=found["own"][0] == 200 and found["other"] == [403, "AccessDenied"])

    def whole_run(self) -> None:
        """dayfly itself, by its own commands; and resolve:ssm, which its launcher meets."""
        bounds = (spend.servers(1, WHOLE_KINDS, WHOLE_MINUTES, WHOLE_DISK_GB), spend.functions(FUNCTIONS_S, 512))
        if not self._let("the whole run", (self.whole, self.image), *bounds):
            return
        self.place.write(_FILE.format(name=self.name, account=self.place.account, region=self.place.region))
        self.say("dayfly deploy")
        began = time.monotonic()
        deployed = self.place.dayfly("deploy", "--yes")
        self.whole.seen["deploy"] = {"exit": deployed["exit"], "s": round(time.monotonic() - began)} | _why(deployed)
        if deployed["exit"] != 0:
            self.whole.judge(good=False)
            return
        self.say("dayfly run hello --wait")
        ran = self.place.dayfly("run", "hello", "--wait")
        receipt = ran.get("receipt") or {}
        self.whole.seen["run"] = {"exit": ran["exit"], "outcome": ran.get("outcome")} | _why(ran)
        self.whole.seen["receipt"] = {
            key: receipt.get(key) for key in ("outcome", "reason", "server", "times", "deadline", "ran_on", "memory_mb")
        }
        self._look_at_image(receipt)
        self.say("dayfly destroy --delete-results")
        began = time.monotonic()
        gone = self.place.dayfly("destroy", "--yes", "--delete-results")
        left = gone.get("left")
        self.whole.seen["destroy"] = {"exit": gone["exit"], "s": round(time.monotonic() - began), "left": left}
        self.whole.judge(good=receipt.get("outcome") == "succeeded" and gone["exit"] == 0 and left == [])

    def _look_at_image(self, receipt: dict[str, Any]) -> None:
        """What the stack's template names, what the launcher may ask Systems Manager, what the server was started from."""
        stack = self.place.client("cloudformation").describe_stack_resources(StackName=f"dayfly-{self.name}")
        made = {each["ResourceType"]: each for each in stack["StackResources"]}
        physical = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in stack["StackResources"]}
        template = made["AWS::EC2::LaunchTemplate"]["PhysicalResourceId"]
        versions = self.place.client("ec2").describe_launch_template_versions(LaunchTemplateId=template)
        wanted = versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]["ImageId"]
        policy = self.place.client("iam").get_role_policy(RoleName=physical["LauncherRole"], PolicyName="dayfly")
        statements = policy["PolicyDocument"]["Statement"]
        actions = sorted({one for each in statements for one in each["Action"] if one.startswith("ssm:")})
        image = (receipt.get("server") or {}).get("image")
        self.image.seen = {"template": wanted, "launcher may": actions, "server's image": image}
        if not receipt:
            self.image.verdict = NO_ANSWER
            return
        resolved = wanted.startswith("resolve:ssm:") and str(image).startswith("ami-")
        self.image.judge(good=resolved and actions == ["ssm:GetParameters"])


def _why(document: dict[str, Any]) -> dict[str, Any]:
    return {"error": document["error"], "hint": document.get("hint")} if "error" in document else {}


_FILE = """
project = "{name}"
account = "{account}"
regions = ["{region}"]
tags = {{ dayfly-acceptance = "{name}" }}

[jobs.hello]
command = "mkdir -p out && echo hello from $DAYFLY_RUN > out/hello.txt"
servers = ["c7g.medium", "c6g.medium"]
time_limit = "1m"
margin = "10m"
disk = "8GB"
outputs = ["out/hello.txt"]
bundle = []
"""
