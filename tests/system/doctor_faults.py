"""Faults of an account that `dayfly doctor` must find, each planted in the local cloud, with the remedy that doctor prints.

Run as a script (`make doctor-faults`) it shows them in a table; test_doctor_faults.py asks for the same.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from system.conftest import Folder

FILE = """\
project = "sick"
regions = ["eu-west-1"]
{network}
[jobs.pi]
command = "echo 3.14"
servers = ["{servers}"]
schedule = "0 4 * * *"
market = "{market}"
image = "{image}"
bundle = []
"""
HEALTHY = {"network": "", "servers": "t4g.small", "market": "on-demand", "image": "debian-13"}
NO_PUBLIC_ADDRESS = "[network.eu-west-1]\npublic_ip = false\n"
GROUP, SCHEDULE = "dayfly-sick", "pi"


@dataclass(frozen=True)
class Fault:
    """A fault: how to plant it, and the subject under which doctor must find it.

    `remedy` None: the first remedy that doctor prints is run as printed. Else it is a text that the user edits, done by this function.
    """

    name: str
    subject: str
    plant: Callable[[Folder], None]
    remedy: Callable[[Folder], None] | None = None


def write(folder: Folder, **changes: str) -> None:
    """Write dayfly.toml, healthy but for these changes."""
    folder.write(FILE.format(**{**HEALTHY, **changes}))


def healthy(folder: Folder) -> None:
    """Write a healthy dayfly.toml: what a user does who follows a remedy that names a key."""
    write(folder)


def main_table(folder: Folder) -> str:
    """Return the id of the default VPC's main route table."""
    tables = folder.client("ec2").describe_route_tables(Filters=[{"Name": "association.main", "Values": ["true"]}])
    return str(tables["RouteTables"][0]["RouteTableId"])


def lose_way_out(folder: Folder) -> None:
    ec2 = folder.client("ec2")
    ec2.delete_route(RouteTableId=main_table(folder), DestinationCidrBlock="0.0.0.0/0")


def schedule_request(folder: Folder) -> dict[str, Any]:
    """Return the request that would write the job's schedule as it is."""
    shown = folder.client("scheduler").get_schedule(Name=SCHEDULE, GroupName=GROUP)
    keys = ("Name", "GroupName", "ScheduleExpression", "ScheduleExpressionTimezone", "FlexibleTimeWindow", "Target")
    return {key: shown[key] for key in keys}


def disable_schedule(folder: Folder) -> None:
    folder.client("scheduler").update_schedule(**schedule_request(folder), State="DISABLED")


def move_schedule(folder: Folder) -> None:
    changed = {**schedule_request(folder), "ScheduleExpression": "cron(0 5 * * ? *)"}
    folder.client("scheduler").update_schedule(**changed)


def delete_schedule(folder: Folder) -> None:
    folder.client("scheduler").delete_schedule(Name=SCHEDULE, GroupName=GROUP)


def stop_functions(folder: Folder) -> None:
    for name in ("launcher", "sweeper"):
        folder.client("lambda").put_function_concurrency(
            FunctionName=f"dayfly-sick-{name}", ReservedConcurrentExecutions=0
        )


def launch_stray(folder: Folder) -> None:
    """Start a server with the project's tag and a deadline that is over, which no sweep may see: the functions are stopped."""
    ec2 = folder.client("ec2")
    image = ec2.describe_images(Owners=["136693071363"])["Images"][0]
    kind = {"arm64": "t4g.small", "x86_64": "t3.small"}[image["Architecture"]]
    tags = [{"Key": "dayfly:project", "Value": "sick"}, {"Key": "dayfly:deadline", "Value": "2026-11-24T00:00:00Z"}]
    ec2.run_instances(
        ImageId=image["ImageId"],
        InstanceType=kind,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )


def disable_alarms(folder: Folder) -> None:
    client = folder.client("cloudwatch")
    names = [each["AlarmName"] for each in client.describe_alarms(AlarmNamePrefix=GROUP)["MetricAlarms"]]
    client.disable_alarm_actions(AlarmNames=names[:1])


def leave_schedule_group(folder: Folder) -> None:
    """Leave a schedule group that no stack has, as somebody does who deletes a stack's other parts by hand."""
    scheduler = folder.client("scheduler")
    scheduler.create_schedule_group(Name=GROUP)
    target = {"Arn": "arn:aws:lambda:eu-west-1:000000000000:function:x", "RoleArn": "arn:aws:iam::000000000000:role/x"}
    with suppress(Exception):
        folder.client("iam").create_role(RoleName="x", AssumeRolePolicyDocument=_TRUST)
    scheduler.create_schedule(
        Name="old",
        GroupName=GROUP,
        ScheduleExpression="rate(1 day)",
        FlexibleTimeWindow={"Mode": "OFF"},
        State="DISABLED",
        Target=target,
    )


_TRUST = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"scheduler.amazonaws.com"},'
    '"Action":"sts:AssumeRole"}]}'
)

BEFORE = (
    Fault(
        "no role for spot", "spot role", lambda folder: write(folder, market="spot"), lambda folder: run_second(folder)
    ),
    Fault("no route to S3 from any subnet", "network", lose_way_out),
    Fault(
        "no public address and no NAT gateway",
        "network",
        lambda folder: (remove_endpoints(folder), give_way_out(folder), write(folder, network=NO_PUBLIC_ADDRESS)),
    ),
    Fault("an image that is gone", "images", lambda folder: write(folder, image="ami-0123456789abcdef0"), healthy),
    Fault("a schedule group that no stack has", "names", leave_schedule_group),
    Fault(
        "too few vCPUs for a job",
        "limits",
        lambda folder: (conditions(folder, quotas={"L-1216C47A": 5}), write(folder, servers="c8g.4xlarge")),
        healthy,
    ),
    Fault(
        "the free plan, and a job with a larger type",
        "plan",
        lambda folder: (conditions(folder, plan="free"), write(folder, servers="c8g.large")),
        healthy,
    ),
    Fault(
        "a type that the region does not offer",
        "types",
        lambda folder: write(folder, servers="p6-b200.48xlarge"),
        healthy,
    ),
)
"""Faults of an account in which nothing is deployed."""
AFTER = (
    Fault("a schedule disabled by hand", "schedules", disable_schedule),
    Fault("a schedule with another time", "schedules", move_schedule),
    Fault("a schedule deleted by hand", "schedules", delete_schedule),
    Fault("functions that may not run", "stack", stop_functions),
    Fault("a server past its deadline", "strays", lambda folder: (stop_functions(folder), launch_stray(folder))),
    Fault("an alarm that may not send", "alarms", disable_alarms),
)
"""Faults of a deployed project."""


def conditions(folder: Folder, **values: Any) -> None:
    """Set conditions of the local cloud's EC2, such as quotas."""
    folder.control("ec2/conditions", values)


def remove_endpoints(folder: Folder) -> None:
    ec2 = folder.client("ec2")
    found = [each["VpcEndpointId"] for each in ec2.describe_vpc_endpoints()["VpcEndpoints"]]
    if found:
        ec2.delete_vpc_endpoints(VpcEndpointIds=found)


def give_way_out(folder: Folder) -> None:
    """Route the default VPC to its internet gateway again."""
    routes = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-00000001"}
    with suppress(Exception):
        folder.client("ec2").create_route(RouteTableId=main_table(folder), **routes)


@dataclass
class Result:
    """What doctor said about a planted fault, which remedy was followed, and what doctor said after it."""

    fault: Fault
    found: str
    remedy: str
    after: str

    @property
    def is_good(self) -> bool:
        return bool(self.found) and not self.after

    def shown(self, number: int) -> str:
        """Return what `make doctor-faults` prints about it."""
        word = {True: "ok", False: "BAD"}[self.is_good]
        lines = [f"{number:>2}  {word:<4} {self.fault.name}", f"          found   {self.found or 'nothing'}"]
        lines.append(f"          did     {self.remedy}")
        if self.after:
            lines.append(f"          after   {self.after}")
        return "\n".join(lines) + "\n"


def finding(folder: Folder, subject: str) -> dict[str, Any] | None:
    """Return doctor's first failure about a subject, or None."""
    done = folder.dayfly("doctor", "--local", "--json")
    for each in json.loads(done.stdout)["findings"]:
        if each["subject"] == subject and each["level"] == "fail":
            return dict(each)
    return None


def follow(folder: Folder, remedy: str) -> None:
    """Run a remedy as printed, in a shell, with the local cloud's exports."""
    command = remedy.split("   (")[0]
    if command.startswith("dayfly deploy"):
        command += " --yes"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    exported = {name: shlex.split(value)[0] for name, value in folder.exports().items()}
    region = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"}
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=folder.path,
        env={**os.environ, **exported, **region, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def run_second(folder: Folder) -> None:
    """Follow the second remedy about the spot role: the first one deploys, which the next faults must not see."""
    found = finding(folder, "spot role")
    assert found is not None
    follow(folder, found["remedies"][1])


def examine(folder: Folder, fault: Fault) -> Result:
    """Plant a fault, ask doctor, follow its remedy, and ask again."""
    fault.plant(folder)
    found = finding(folder, fault.subject)
    if found is None:
        return Result(fault, "", "", "")
    remedy = found["remedies"][0]
    if fault.remedy is None:
        follow(folder, remedy)
    else:
        fault.remedy(folder)
    after = finding(folder, fault.subject)
    return Result(fault, found["text"], remedy, (after or {}).get("text", ""))


@contextmanager
def sick_cloud(path: Path) -> Iterator[Folder]:
    """Yield a folder with a healthy dayfly.toml and a running local cloud."""
    folder = Folder(path)
    healthy(folder)
    up = folder.dayfly("local", "up")
    assert up.returncode == 0, up.stderr
    yield folder
    folder.dayfly("local", "down")


def results(folder: Folder) -> Iterator[Result]:
    """Yield the result of each fault, those of an empty account first."""
    for fault in BEFORE:
        yield examine(folder, fault)
    healthy(folder)
    give_way_out(folder)
    folder.control("ec2/conditions", method="DELETE")
    deployed = folder.dayfly("deploy", "--local", "--yes")
    assert deployed.returncode == 0, deployed.stderr
    for fault in AFTER:
        yield examine(folder, fault)


def main() -> int:
    """Show all faults. Exit 1 if one was not found, or its remedy did not work."""
    bad = number = 0
    with tempfile.TemporaryDirectory() as path, sick_cloud(Path(path)) as folder:
        for number, result in enumerate(results(folder), 1):
            bad += not result.is_good
            sys.stdout.write(result.shown(number))
            sys.stdout.flush()
    sys.stdout.write(f"{number} faults planted, {number - bad} found and repaired by what doctor prints\n")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
