"""Launches and watches instances for the tests of EC2 and guests."""

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from localcloud.cloud.clock import AdjustableClock
from localcloud.ec2.records import ON_DEMAND, PENDING, Instance, Volume

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
)


def image(ec2: Any, architecture: str = "x86_64") -> str:
    """Return the id of the Debian 13 image of an architecture."""
    word = {"x86_64": "amd64"}.get(architecture, architecture)
    found = ec2.describe_images(Filters=[{"Name": "name", "Values": [f"debian-13-{word}-*"]}])["Images"]
    return str(found[0]["ImageId"])


def subnets(ec2: Any, kind: str) -> list[str]:
    """Return the default subnets whose zone offers a type."""
    asked = [{"Name": "instance-type", "Values": [kind]}]
    offers = ec2.describe_instance_type_offerings(LocationType="availability-zone", Filters=asked)
    zones = [one["Location"] for one in offers["InstanceTypeOfferings"]]
    found = ec2.describe_subnets(Filters=[{"Name": "availability-zone", "Values": zones}])["Subnets"]
    return sorted(one["SubnetId"] for one in found)


def run(ec2: Any, script: str = "", **more: Any) -> str:
    """Launch one instance with this user data and return its id."""
    parameters = {
        "ImageId": image(ec2),
        "InstanceType": "t3.micro",
        "MinCount": 1,
        "MaxCount": 1,
        "UserData": script,
    } | more
    return str(ec2.run_instances(**parameters)["Instances"][0]["InstanceId"])


def pending(identifier: str = "i-0123456789abcdef0") -> Instance:
    """Return a record of an instance that is pending and stops at power-off."""
    launched = AdjustableClock().now().isoformat()
    return Instance(
        id=identifier,
        reservation="r-1",
        image="ami-1",
        instance_type="t3.micro",
        architecture="x86_64",
        state=PENDING,
        launched=launched,
        zone="us-east-1a",
        zone_id="use1-az1",
        subnet="subnet-1",
        vpc="vpc-1",
        address="172.31.0.9",
        mac="0a:00:00:00:00:01",
        groups=[],
        market=ON_DEMAND,
        shutdown="stop",
        volume=Volume("vol-1", "/dev/xvda", 8, "gp3", False, True, launched),
    )


def shown(ec2: Any, instance: str) -> dict[str, Any]:
    """Return the instance as DescribeInstances shows it."""
    found: dict[str, Any] = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    return found


def state(ec2: Any, instance: str) -> str:
    """Return the name of the instance's state."""
    return str(shown(ec2, instance)["State"]["Name"])


def wait_until(condition: Callable[[], bool], limit: float = 60.0) -> None:
    """Wait for a condition; fail after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.03)


def wait_for_state(ec2: Any, instance: str, name: str, limit: float = 60.0) -> None:
    """Wait until an instance is in a state."""
    wait_until(lambda: state(ec2, instance) == name, limit)


def console(ec2: Any, instance: str) -> str:
    """Return the console output so far."""
    return str(ec2.get_console_output(InstanceId=instance).get("Output", ""))


def wait_for_output(ec2: Any, instance: str, text: str, limit: float = 60.0) -> None:
    """Wait until the console output contains `text`."""
    deadline = time.monotonic() + limit
    while text not in console(ec2, instance):
        assert time.monotonic() < deadline, console(ec2, instance)
        time.sleep(0.03)


def refusal(call: Callable[..., Any], **arguments: Any) -> str:
    """Return the error code that a call answers, or "none"."""
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "none"


def control(endpoint: str, path: str, body: Any = None, method: str = "POST") -> Any:
    """Call a control of the cloud's EC2 and return its answer."""
    request = urllib.request.Request(
        f"{endpoint}/_localcloud/ec2/{path}",
        data=json.dumps(body).encode() if body is not None else None,
        method=method,
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def profile(iam: Any, name: str, document: dict[str, Any] | None = None) -> str:
    """Create a role for instances in a profile of the same name; return the role's id."""
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]
    if document is not None:
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(document))
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return str(role["RoleId"])


def encoded(text: str) -> str:
    """Return the text in base64, as launch templates hold user data."""
    return base64.b64encode(text.encode()).decode()
