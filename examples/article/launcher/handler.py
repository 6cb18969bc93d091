"""Lambda function: launch one server for one event.

Only launching lives here; what the server does is in server.py, which is part of the user data.
"""

import hashlib
import json
import logging
import os
import shlex
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

log = logging.getLogger("launcher")
log.setLevel(logging.INFO)

_LAUNCHED_BEFORE = ("IdempotentInstanceTerminated", "IdempotentParameterMismatch")
_END_OF_CODE = "END-OF-SERVER-PY"


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Launch this event's server, or find the one of an earlier delivery; return {"instance": id, "token": token}.

    Raises ClientError for anything else that EC2 refuses, so that Lambda retries the event.
    """
    settings, ec2 = os.environ, boto3.client("ec2")
    token = token_of(event, context.aws_request_id)
    launch = {
        "ImageId": settings["IMAGE_ID"],
        "InstanceType": settings["INSTANCE_TYPE"],
        "IamInstanceProfile": {"Arn": settings["INSTANCE_PROFILE"]},
        "UserData": user_data(settings["DURATION"], settings["BUCKET"], settings["AWS_REGION"]),
        "MinCount": 1,
        "MaxCount": 1,
        # This makes the server transient: its own `shutdown` terminates it.
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "stack", "Value": settings["STACK"]}]}],
        "ClientToken": token,
    }
    try:
        instance = ec2.run_instances(**launch)["Instances"][0]["InstanceId"]
    except ClientError as error:
        if error.response["Error"]["Code"] not in _LAUNCHED_BEFORE:
            raise
        # The same event was delivered again, after its server was terminated or the stack was changed.
        instance = _launched(ec2, token)
        log.info("nothing launched: token %s was used for %s", token, instance)
    else:
        log.info("server %s image %s type %s token %s", instance, launch["ImageId"], launch["InstanceType"], token)
    return {"instance": instance, "token": token}


def token_of(event: Any, request_id: str) -> str:
    """Return the same 64 hexadecimal digits for every delivery of one event.

    A tick of a rule is identified by the rule and its time, since EventBridge may fire it twice and promises no common id;
    another event by its id; an event without an id by the request id, which Lambda keeps when it retries.
    """
    fields: dict[str, Any] = {}
    if isinstance(event, dict):
        fields = event
    if fields.get("source") == "aws.events" and fields.get("time"):
        name = json.dumps([fields.get("resources"), fields["time"]])
    else:
        name = str(fields.get("id") or request_id)
    return hashlib.sha256(name.encode()).hexdigest()


def user_data(duration: str, bucket: str, region: str) -> str:
    """Return a shell script that runs server.py with these settings and then shuts the server down, whatever happened."""
    code = Path(__file__).with_name("server.py").read_text()
    command = shlex.join(["python3", "-", duration, bucket, region])
    return f"#!/bin/sh\n{command} <<'{_END_OF_CODE}'\n{code}{_END_OF_CODE}\nshutdown -h now\n"


def _launched(ec2: Any, token: str) -> str | None:
    """Return the id of the server launched with `token`, or None if EC2 no longer shows it."""
    found = ec2.describe_instances(Filters=[{"Name": "client-token", "Values": [token]}])
    for reservation in found["Reservations"]:
        for instance in reservation["Instances"]:
            return str(instance["InstanceId"])
    return None
