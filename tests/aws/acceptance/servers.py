"""The trial's own servers: role, bucket, launch template, instant fleets; plain calls to AWS, without dayfly.

Everything has the trial's tag or name, so that a clean-up finds it. Conclusions are drawn in points.py.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from typing import Any

import botocore.exceptions

from acceptance.target import IAM_PATH, TAG, Target, code_of

KIND = "t4g.micro"
"""A type that an account on the free plan may start."""
IMAGE = "resolve:ssm:/aws/service/debian/release/13/latest/arm64"
LINGER_S, LINGER_LOCAL_S, BOUND_S = 20, 4, 600
"""The probe waits this long after its work, so that a request can be repeated while its server runs (a server of the local cloud
boots at once; ACCEPTANCE_LINGER_S sets another time, there only); after BOUND_S it powers off in any case."""
READY_S = 120
"""How long a new role, profile or launch template may take to be known everywhere."""
_YOUNG = ("profile", "not found", "does not exist", "notfound")


def tags(name: str) -> list[dict[str, str]]:
    return [{"Key": TAG, "Value": name}, {"Key": "Name", "Value": f"dayfly {name}"}]


def role_name(target: Target, name: str) -> str:
    """Return the name of role and profile. Both are global; the region in it keeps trials of other regions from deleting them."""
    return f"dayfly-{name}-{target.region}"


def bucket_name(target: Target, name: str) -> str:
    return f"dayfly-{name}-probe-{target.account}-{target.region}"


@dataclass(frozen=True)
class Prepared:
    """What the servers are started from."""

    name: str
    template: str
    role_id: str
    bucket: str
    subnets: tuple[str, ...]


def prepare(target: Target, name: str) -> Prepared:
    """Create bucket, role and template. The role may write under its own aws:userid, and nothing else."""
    bucket = bucket_name(target, name)
    bucket_options: dict[str, Any] = {}
    if target.region != "us-east-1":
        bucket_options = {"CreateBucketConfiguration": {"LocationConstraint": target.region}}
    target.client("s3").create_bucket(Bucket=bucket, **bucket_options)
    role = _role(target, name, bucket)
    found = target.client("ec2").describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
    if not found:
        raise RuntimeError(f"{target.region} has no default VPC; use another region")
    data = {
        "ImageId": IMAGE,
        "IamInstanceProfile": {"Name": role_name(target, name)},
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MaintenanceOptions": {"AutoRecovery": "disabled"},
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
        # Without this a T type could cost more than its hourly price while it bursts.
        "CreditSpecification": {"CpuCredits": "standard"},
        "NetworkInterfaces": [{"DeviceIndex": 0, "AssociatePublicIpAddress": True, "DeleteOnTermination": True}],
        "UserData": base64.b64encode(_probe(target, bucket, role)).decode(),
    }
    made = target.client("ec2").create_launch_template(
        LaunchTemplateName=f"dayfly-{name}",
        LaunchTemplateData=data,
        TagSpecifications=[{"ResourceType": "launch-template", "Tags": tags(name)}],
    )
    template = made["LaunchTemplate"]["LaunchTemplateId"]
    return Prepared(name, template, role, bucket, tuple(sorted(each["SubnetId"] for each in found)))


def _role(target: Target, name: str, bucket: str) -> str:
    iam, called = target.client("iam"), role_name(target, name)
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    own = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/probe/${{aws:userid}}/*"}
    made = iam.create_role(
        Path=IAM_PATH,
        RoleName=called,
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        Tags=[{"Key": TAG, "Value": name}],
    )
    iam.put_role_policy(
        RoleName=called,
        PolicyName="own",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [own]}),
    )
    iam.create_instance_profile(Path=IAM_PATH, InstanceProfileName=called)
    iam.add_role_to_instance_profile(InstanceProfileName=called, RoleName=called)
    iam.get_waiter("instance_profile_exists").wait(InstanceProfileName=called)
    return str(made["Role"]["RoleId"])


def _probe(target: Target, bucket: str, role_id: str) -> bytes:
    text = (Path(__file__).parent / "probe.py").read_text()
    linger: object = LINGER_S
    if target.local:
        linger = os.environ.get("ACCEPTANCE_LINGER_S", LINGER_LOCAL_S)
    words = {"BUCKET": bucket, "REGION": target.region, "ROLE_ID": role_id, "LINGER_S": linger, "BOUND_S": BOUND_S}
    for word, value in words.items():
        text = text.replace(f"@{word}@", str(value))
    return text.encode()


@dataclass(frozen=True)
class Answer:
    """What CreateFleet answered: the fleet, its servers, its errors (code, message), or the error of the call itself."""

    fleet: str | None
    servers: tuple[str, ...]
    errors: tuple[tuple[str, str], ...]
    error: str = ""

    def facts(self) -> dict[str, Any]:
        return {
            "fleet": self.fleet,
            "servers": list(self.servers),
            "errors": [": ".join(each)[:300] for each in self.errors],
            "error": self.error or None,
        }


def fleet(target: Target, request: Mapping[str, Any]) -> Answer:
    """Send the request once."""
    try:
        answer = target.client("ec2").create_fleet(**request)
    except botocore.exceptions.ClientError as error:
        message = str(error.response.get("Error", {}).get("Message", ""))
        return Answer(None, (), ((code_of(error), message),), code_of(error))
    servers = tuple(one for each in answer.get("Instances", []) for one in each.get("InstanceIds", []))
    errors = tuple((each.get("ErrorCode", ""), each.get("ErrorMessage", "")) for each in answer.get("Errors", []))
    return Answer(answer.get("FleetId"), servers, errors)


def at_once(target: Target, request: Mapping[str, Any]) -> tuple[Answer, ...]:
    """Send the request twice at the same moment, and return both answers."""
    together = Barrier(2)
    target.client("ec2")  # made before the threads, which share it

    def send(_number: int) -> Answer:
        together.wait(30)
        return fleet(target, request)

    with ThreadPoolExecutor(2) as pool:
        return tuple(pool.map(send, range(2)))


def request(prepared: Prepared, market: str, token: str) -> dict[str, Any]:
    """Return a request for one server of KIND in any default subnet that offers it."""
    pools = [{"InstanceType": KIND, "SubnetId": subnet} for subnet in prepared.subnets]
    template = {"LaunchTemplateId": prepared.template, "Version": "$Latest"}
    capacity, options = {"OnDemandTargetCapacity": 1, "SpotTargetCapacity": 0}, {}
    if market == "spot":
        capacity = {"OnDemandTargetCapacity": 0, "SpotTargetCapacity": 1}
        options = {"SpotOptions": {"AllocationStrategy": "price-capacity-optimized"}}
    return {
        "Type": "instant",
        "ClientToken": f"{prepared.name}-{token}",
        "TargetCapacitySpecification": {
            "TotalTargetCapacity": 1,
            "DefaultTargetCapacityType": market,
            **capacity,
        },
        "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": template, "Overrides": pools}],
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": tags(prepared.name)} for kind in ("fleet", "instance", "volume")
        ],
        **options,
    }


def start(target: Target, prepared: Prepared, market: str, token: str) -> tuple[dict[str, Any], Answer]:
    """Start a first server once its profile is known everywhere; return the answered request and its answer."""
    until = time.monotonic() + READY_S
    attempt = 0
    while True:
        attempt += 1
        # A failed call uses up its token too, so each attempt has its own.
        asked = request(prepared, market, f"{token}{attempt}")
        answer = fleet(target, asked)
        if answer.servers or not _is_young(answer) or time.monotonic() > until:
            return asked, answer
        time.sleep(target.pause_s)


def start_twice(target: Target, prepared: Prepared) -> tuple[dict[str, Any], tuple[Answer, ...]]:
    """Start a first server by two calls at once with one token, once its profile is known everywhere.

    Returns the request and both answers.
    """
    until = time.monotonic() + READY_S
    attempt = 0
    while True:
        attempt += 1
        asked = request(prepared, "on-demand", f"d{attempt}")
        both = at_once(target, asked)
        if any(each.servers for each in both) or not any(map(_is_young, both)) or time.monotonic() > until:
            return asked, both
        time.sleep(target.pause_s)


def _is_young(answer: Answer) -> bool:
    """Return whether EC2 does not know yet what the trial made."""
    return any(word in f"{code} {message}".lower() for code, message in answer.errors for word in _YOUNG)


def shown(target: Target, name: str) -> dict[str, dict[str, Any]]:
    """Return every server of the trial that EC2 shows, by id."""
    pages = target.client("ec2").get_paginator("describe_instances")
    found = pages.paginate(Filters=[{"Name": f"tag:{TAG}", "Values": [name]}])
    return {one["InstanceId"]: one for page in found for group in page["Reservations"] for one in group["Instances"]}


def behavior(target: Target, server: str) -> str | None:
    """Return what EC2 does when this server powers off, once EC2 knows the server."""
    target.client("ec2").get_waiter("instance_exists").wait(InstanceIds=[server])
    answer = target.client("ec2").describe_instance_attribute(
        InstanceId=server, Attribute="instanceInitiatedShutdownBehavior"
    )
    value: str | None = answer["InstanceInitiatedShutdownBehavior"].get("Value")
    return value


def wait_until_off(target: Target, server: str, seconds: float = 420) -> dict[str, Any]:
    """Wait until the server is off, at most `seconds`; return it as EC2 then shows it."""
    until = time.monotonic() + seconds
    while True:
        answer = target.client("ec2").describe_instances(InstanceIds=[server])
        one: dict[str, Any] = answer["Reservations"][0]["Instances"][0]
        if one["State"]["Name"] in ("terminated", "stopped") or time.monotonic() > until:
            return one
        time.sleep(target.pause_s)


def probe_result(target: Target, prepared: Prepared, server: str) -> dict[str, Any] | None:
    """Return what the probe stored about its permissions, or None if it stored nothing."""
    key = f"probe/{prepared.role_id}:{server}/seen.json"
    try:
        body = target.client("s3").get_object(Bucket=prepared.bucket, Key=key)["Body"].read()
    except botocore.exceptions.ClientError as error:
        if code_of(error) in ("NoSuchKey", "404"):
            return None
        raise
    found: dict[str, Any] = json.loads(body)
    return found
