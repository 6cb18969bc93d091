"""The trial's own servers: role, bucket, launch template, instant fleets; plain calls, nothing of dayfly between.

Everything carries the trial's tag or name, so that it is found again. What is concluded from it lives in points.py.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.exceptions

from acceptance.place import IAM_PATH, TAG, Place, code_of

KIND = "t4g.nano"
IMAGE = "resolve:ssm:/aws/service/debian/release/13/latest/arm64"
LINGER_S, LINGER_HERE_S, BOUND_S = 20, 4, 600
"""The probe stays so long after its work, so that a request can be repeated while it lives (a server of the local cloud boots at
once; ACCEPTANCE_LINGER_S, there only, is another time); and powers off then at the latest."""
READY_S = 90
"""A new instance profile is not known everywhere at once."""


def tags(name: str) -> list[dict[str, str]]:
    return [{"Key": TAG, "Value": name}, {"Key": "Name", "Value": f"dayfly {name}"}]


def role_name(place: Place, name: str) -> str:
    """Of role and profile, which are of all regions: with the region, so that a trial elsewhere does not take them for its own."""
    return f"dayfly-{name}-{place.region}"


def bucket_name(place: Place, name: str) -> str:
    return f"dayfly-{name}-probe-{place.account}-{place.region}"


@dataclass(frozen=True)
class Ground:
    """What the servers start from."""

    name: str
    template: str
    role_id: str
    bucket: str
    subnets: tuple[str, ...]


def prepare(place: Place, name: str) -> Ground:
    """Bucket, role and template. The role may write below its own aws:userid, and nothing else at all."""
    bucket = bucket_name(place, name)
    where = {} if place.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": place.region}}
    place.client("s3").create_bucket(Bucket=bucket, **where)
    role = _role(place, name, bucket)
    found = place.client("ec2").describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
    if not found:
        raise RuntimeError(f"there is no default VPC in {place.region}: use another region")
    data = {
        "ImageId": IMAGE,
        "IamInstanceProfile": {"Name": role_name(place, name)},
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MaintenanceOptions": {"AutoRecovery": "disabled"},
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
        # Without this a burst of a T type could cost more than its hours.
        "CreditSpecification": {"CpuCredits": "standard"},
        "NetworkInterfaces": [{"DeviceIndex": 0, "AssociatePublicIpAddress": True, "DeleteOnTermination": True}],
        "UserData": base64.b64encode(_probe(place, bucket, role)).decode(),
    }
    made = place.client("ec2").create_launch_template(
        LaunchTemplateName=f"dayfly-{name}",
        LaunchTemplateData=data,
        TagSpecifications=[{"ResourceType": "launch-template", "Tags": tags(name)}],
    )
    template = made["LaunchTemplate"]["LaunchTemplateId"]
    return Ground(name, template, role, bucket, tuple(sorted(each["SubnetId"] for each in found)))


def _role(place: Place, name: str, bucket: str) -> str:
    iam, called = place.client("iam"), role_name(place, name)
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


def _probe(place: Place, bucket: str, role_id: str) -> bytes:
    text = (Path(__file__).parent / "probe.py").read_text()
    linger = os.environ.get("ACCEPTANCE_LINGER_S", LINGER_HERE_S) if place.local else LINGER_S
    words = {"BUCKET": bucket, "REGION": place.region, "ROLE_ID": role_id, "LINGER_S": linger, "BOUND_S": BOUND_S}
    for word, value in words.items():
        text = text.replace(f"@{word}@", str(value))
    return text.encode()


@dataclass(frozen=True)
class Answer:
    """What CreateFleet said: the fleet, the servers it names, its errors (codes and messages), or the call's own error."""

    fleet: str | None
    servers: tuple[str, ...]
    errors: tuple[tuple[str, str], ...]
    error: str = ""

    def facts(self) -> dict[str, Any]:
        return {
            "fleet": self.fleet,
            "servers": list(self.servers),
            "errors": [code for code, _message in self.errors],
            "error": self.error or None,
        }


def fleet(place: Place, request: Mapping[str, Any]) -> Answer:
    """Sends the request, once."""
    try:
        told = place.client("ec2").create_fleet(**request)
    except botocore.exceptions.ClientError as error:
        message = str(error.response.get("Error", {}).get("Message", ""))
        return Answer(None, (), ((code_of(error), message),), code_of(error))
    servers = tuple(one for each in told.get("Instances", []) for one in each.get("InstanceIds", []))
    errors = tuple((each.get("ErrorCode", ""), each.get("ErrorMessage", "")) for each in told.get("Errors", []))
    return Answer(told.get("FleetId"), servers, errors)


def request(ground: Ground, market: str, token: str) -> dict[str, Any]:
    """One server of KIND in whichever default subnet has it."""
    spot = market == "spot"
    pools = [{"InstanceType": KIND, "SubnetId": subnet} for subnet in ground.subnets]
    template = {"LaunchTemplateId": ground.template, "Version": "$Latest"}
    options = {"SpotOptions": {"AllocationStrategy": "price-capacity-optimized"}} if spot else {}
    return {
        "Type": "instant",
        "ClientToken": f"{ground.name}-{token}",
        "TargetCapacitySpecification": {
            "TotalTargetCapacity": 1,
            "SpotTargetCapacity": 1 if spot else 0,
            "OnDemandTargetCapacity": 0 if spot else 1,
            "DefaultTargetCapacityType": market,
        },
        "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": template, "Overrides": pools}],
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": tags(ground.name)} for kind in ("fleet", "instance", "volume")
        ],
        **options,
    }


def start(place: Place, ground: Ground, market: str, token: str) -> tuple[dict[str, Any], Answer]:
    """A first server, once its profile is known everywhere: the request that was answered, and the answer."""
    until = time.monotonic() + READY_S
    turn = 0
    while True:
        turn += 1
        # A token is bound by a failed call too, so each try has its own.
        asked = request(ground, market, f"{token}{turn}")
        answer = fleet(place, asked)
        young = any("profile" in message.lower() for _code, message in answer.errors)
        if answer.servers or not young or time.monotonic() > until:
            return asked, answer
        time.sleep(place.pause_s)


def shown(place: Place, name: str) -> dict[str, dict[str, Any]]:
    """Every server of the trial that EC2 shows, by id."""
    pages = place.client("ec2").get_paginator("describe_instances")
    found = pages.paginate(Filters=[{"Name": f"tag:{TAG}", "Values": [name]}])
    return {one["InstanceId"]: one for page in found for group in page["Reservations"] for one in group["Instances"]}


def behaviour(place: Place, server: str) -> str | None:
    """What EC2 does when this server powers off; asked until EC2 knows the server, which is not at once everywhere."""
    place.client("ec2").get_waiter("instance_exists").wait(InstanceIds=[server])
    told = place.client("ec2").describe_instance_attribute(
        InstanceId=server, Attribute="instanceInitiatedShutdownBehavior"
    )
    value: str | None = told["InstanceInitiatedShutdownBehavior"].get("Value")
    return value


def wait_until_off(place: Place, server: str, seconds: float = 420) -> dict[str, Any]:
    """The server as EC2 shows it once it is off, or after so long as it then is."""
    until = time.monotonic() + seconds
    while True:
        told = place.client("ec2").describe_instances(InstanceIds=[server])
        one: dict[str, Any] = told["Reservations"][0]["Instances"][0]
        if one["State"]["Name"] in ("terminated", "stopped") or time.monotonic() > until:
            return one
        time.sleep(place.pause_s)


def said(place: Place, ground: Ground, server: str) -> dict[str, Any] | None:
    """What the probe stored about its rights; None when it could not."""
    key = f"probe/{ground.role_id}:{server}/seen.json"
    try:
        body = place.client("s3").get_object(Bucket=ground.bucket, Key=key)["Body"].read()
    except botocore.exceptions.ClientError as error:
        if code_of(error) in ("NoSuchKey", "404"):
            return None
        raise
    found: dict[str, Any] = json.loads(body)
    return found
