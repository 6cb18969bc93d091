"""Roles and Lambda functions for tests: make them, invoke them, find the processes they left."""

import base64
import io
import json
import os
import zipfile
from typing import Any

from running_cloud import Running

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def zipped(source: str) -> bytes:
    """Return the zip file of a function with this source."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("main.py", source)
    return buffer.getvalue()


def make_role(cloud: Running, name: str, policy: dict[str, Any] | None = None, trust: dict[str, Any] = TRUST) -> str:
    """Create a role with this policy; return its ARN."""
    iam = cloud.client("iam")
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    if policy:
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(policy))
    return arn


def make_function(cloud: Running, name: str, source: str, role: str, **more: Any) -> Any:
    """Create a function and wait until it is active; return the Lambda client."""
    functions = cloud.client("lambda")
    functions.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="main.handler",
        Role=role,
        Code={"ZipFile": zipped(source)},
        **({"Timeout": 20} | more),
    )
    functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    return functions


def call(functions: Any, name: str, event: Any = None) -> tuple[Any, str | None, str]:
    """Invoke a function; return its result, its error and the end of its log."""
    answer = functions.invoke(FunctionName=name, Payload=json.dumps(event or {}), LogType="Tail")
    log = base64.b64decode(answer.get("LogResult", "")).decode()
    return json.loads(answer["Payload"].read()), answer.get("FunctionError"), log


def sleepers(seconds: str) -> list[str]:
    """Return the ids of the processes `sleep SECONDS`."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as line:
                words = line.read().split("\0")
        except OSError:
            continue
        if words[:2] == ["sleep", seconds]:
            found.append(pid)
    return found
