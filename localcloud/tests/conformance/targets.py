"""The targets that the rows are asked of: a running local cloud or a real account, with the same methods.

A target removes what a row made through it (`clean_up`). No row lives here.
"""

import contextlib
import itertools
import json
import os
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

REGION = "us-east-1"
IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
TYPE = "t3.nano"
# No template, profile or bucket of another run has this number.
RUN = os.urandom(3).hex()

Keys = dict[str, str]


class Target:
    """An endpoint that answers AWS requests, with helpers to create what rows need."""

    name = ""
    patience = 60.0
    """Seconds to wait for a condition."""
    pause = 0.05
    """Seconds between two checks of a condition."""
    until_due = 300.0
    """Seconds from creating a schedule until it is due."""

    def __init__(self, endpoint: str | None, keys: Keys) -> None:
        self.endpoint = endpoint
        self._keys = keys
        self._clients: dict[tuple[str, str], Any] = {}
        self._numbers = itertools.count()
        self._undo: list[Callable[[], Any]] = []
        self._last: list[Callable[[], Any]] = []
        self._kept: dict[str, Any] = {}

    def client(self, service: str, region: str = REGION, keys: Keys | None = None) -> Any:
        """Return a client for the administrator or for other keys. It never retries a call."""
        if keys is None and (service, region) in self._clients:
            return self._clients[service, region]
        config = Config(retries={"total_max_attempts": 1}, read_timeout=60, max_pool_connections=30)
        if service == "s3":
            # Version 2 signatures of links cover the content type, which the user of a link does not know.
            config = config.merge(Config(signature_version="s3v4"))
        if keys is not None:
            return boto3.client(service, region_name=region, endpoint_url=self.endpoint, config=config, **keys)
        made = boto3.client(service, region_name=region, endpoint_url=self.endpoint, config=config, **self._keys)
        self._clients[service, region] = made
        return made

    @property
    def account(self) -> str:
        """Return the account number."""
        return str(self.shared("account", lambda: self.client("sts").get_caller_identity()["Account"]))

    def name_for(self, kind: str) -> str:
        """Return a unique name."""
        return f"conf-{kind}-{RUN}-{next(self._numbers)}"

    def undo_after_row(self, undo: Callable[..., Any], **parameters: Any) -> None:
        """Call `undo` after the row, in reverse order of registration."""
        self._undo.append(lambda: undo(**parameters))

    def shared(self, name: str, make: Callable[[], Any]) -> Any:
        """Return a value that several rows share; make it at the first call."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def undo_at_end(self, undo: Callable[..., Any], **parameters: Any) -> None:
        """Call `undo` after all rows."""
        self._last.append(lambda: undo(**parameters))

    def clean_up(self) -> None:
        """Remove what the row made; ignore what no longer exists."""
        _call_all(self._undo)

    def close(self) -> None:
        """Remove everything that the rows made."""
        self.clean_up()
        _call_all(self._last)

    def wait_for(self, condition: Callable[[], Any], what: str = "the condition") -> Any:
        """Wait until `condition` returns something true and return that; fail after the target's patience."""
        deadline = time.monotonic() + self.patience
        while not (found := condition()):
            assert time.monotonic() < deadline, f"{what} was not met in time"
            time.sleep(self.pause)
        return found

    def retried(self, call: Callable[[], Any]) -> Any:
        """Return the answer of a call; on AWS, retry while a change in IAM may not have spread."""
        if self.name != "aws":
            return call()
        deadline = time.monotonic() + self.patience
        while True:
            try:
                return call()
            except ClientError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(3)

    def let_pass(self, seconds: float) -> None:
        """Let this time pass: advance the clock where that is possible; elsewhere the row has to wait."""

    # Instances

    def image(self, region: str = REGION) -> str:
        """Return the id of a stock image for x86_64."""
        found = self.client("ssm", region).get_parameter(Name=IMAGE)["Parameter"]["Value"]
        return str(found)

    def launch(self, region: str = REGION, **more: Any) -> list[str]:
        """Call RunInstances and return the instance ids. The instances are terminated after the row."""
        return [one["InstanceId"] for one in self.reservation(region, **more)["Instances"]]

    def reservation(self, region: str = REGION, **more: Any) -> dict[str, Any]:
        """Call RunInstances and return the whole answer."""
        ec2 = self.client("ec2", region)
        parameters = {"MinCount": 1, "MaxCount": 1, **more}
        if "LaunchTemplate" not in parameters:
            parameters = {
                "ImageId": self.shared(f"image {region}", lambda: self.image(region)),
                "InstanceType": TYPE,
            } | parameters
        made: dict[str, Any] = ec2.run_instances(**parameters)
        self.undo_after_row(ec2.terminate_instances, InstanceIds=[one["InstanceId"] for one in made["Instances"]])
        return made

    def describe(self, instance: str, region: str = REGION) -> dict[str, Any]:
        """Return the instance as DescribeInstances shows it."""
        answer = self.client("ec2", region).describe_instances(InstanceIds=[instance])
        found: dict[str, Any] = answer["Reservations"][0]["Instances"][0]
        return found

    def wait_for_state(self, instance: str, state: str) -> dict[str, Any]:
        """Wait for a state and return the instance as DescribeInstances shows it then."""
        self.wait_for(lambda: self.describe(instance)["State"]["Name"] == state, f"{instance} {state}")
        return self.describe(instance)

    def template(self, **data: Any) -> str:
        """Create a launch template with this data and return its id."""
        ec2 = self.client("ec2")
        parameters = {"ImageId": self.shared(f"image {REGION}", self.image), "InstanceType": TYPE} | data
        made = ec2.create_launch_template(LaunchTemplateName=self.name_for("template"), LaunchTemplateData=parameters)
        identifier = str(made["LaunchTemplate"]["LaunchTemplateId"])
        self.undo_after_row(ec2.delete_launch_template, LaunchTemplateId=identifier)
        return identifier

    def fleet(self, template: str, **more: Any) -> dict[str, Any]:
        """Create an instant fleet of one on-demand instance from version 1 of a template; terminate it after the row."""
        specification = {"LaunchTemplateId": template, "Version": "1"}
        parameters = {
            "Type": "instant",
            "TargetCapacitySpecification": {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"},
            "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": specification}],
        }
        ec2 = self.client("ec2")
        made: dict[str, Any] = ec2.create_fleet(**(parameters | more))
        for one in made.get("Instances", []):
            self.undo_after_row(ec2.terminate_instances, InstanceIds=one["InstanceIds"])
        return made

    # Identities

    def role(self, service: str, statements: list[dict[str, Any]] | None = None, trust: Any = None) -> str:
        """Create a role that `service` (such as "ec2") may assume, with these statements; return its ARN."""
        iam, name = self.client("iam"), self.name_for("role")
        principal = {"Service": f"{service}.amazonaws.com"}
        if service == "account":
            principal = {"AWS": self.account}
        answer = trust or {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [answer]})
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        self.undo_after_row(iam.delete_role, RoleName=name)
        if statements:
            policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy)
            self.undo_after_row(iam.delete_role_policy, RoleName=name, PolicyName="own")
        return str(arn)

    def profile(self, statements: list[dict[str, Any]] | None = None) -> tuple[str, str]:
        """Create an instance profile with a new role; return the profile's name and the role's ARN."""
        iam, arn = self.client("iam"), self.role("ec2", statements)
        role, name = arn.rsplit("/", 1)[-1], self.name_for("profile")
        iam.create_instance_profile(InstanceProfileName=name)
        self.undo_after_row(iam.delete_instance_profile, InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role)
        self.undo_after_row(iam.remove_role_from_instance_profile, InstanceProfileName=name, RoleName=role)
        return name, arn

    def session(self, *statements: dict[str, Any], called: str = "conformance", **more: Any) -> Keys:
        """Return the keys of a session of a new role with these statements."""
        arn = self.role("account", list(statements))
        sts = self.client("sts")
        answer = self.retried(lambda: sts.assume_role(RoleArn=arn, RoleSessionName=called, **more))["Credentials"]
        return keys_of(answer)

    # Buckets and queues

    def bucket(self) -> str:
        """Return the bucket that the rows share."""
        return str(self.shared("bucket", self._bucket))

    def _bucket(self) -> str:
        s3, name = self.client("s3"), f"conf-bucket-{RUN}"
        s3.create_bucket(Bucket=name)

        def remove() -> None:
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
                for one in page.get("Contents", []):
                    s3.delete_object(Bucket=name, Key=one["Key"])
            s3.delete_bucket(Bucket=name)

        self.undo_at_end(remove)
        return name

    def queue(self) -> tuple[str, str]:
        """Create a queue; return its URL and ARN."""
        sqs = self.client("sqs")
        url = sqs.create_queue(QueueName=self.name_for("queue"))["QueueUrl"]
        self.undo_after_row(sqs.delete_queue, QueueUrl=url)
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        return url, arn

    def message(self, url: str, patience: float | None = None) -> dict[str, Any] | None:
        """Receive and delete the next message of a queue; return None when none arrives in time."""
        sqs = self.client("sqs")
        if patience is None:
            patience = self.patience
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            parameters = {"QueueUrl": url, "WaitTimeSeconds": 1, "MessageAttributeNames": ["All"]}
            for one in sqs.receive_message(**parameters).get("Messages", []):
                sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
                return dict(one)
        return None


class LocalCloud(Target):
    """A running local cloud."""

    name = "localcloud"

    def __init__(self, running: Any) -> None:
        environment = running.environment
        keys = {
            "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
        }
        super().__init__(running.facts["endpoint"], keys)
        self.running = running

    def control(self, path: str, body: Any = None, method: str = "POST") -> Any:
        """Call a control of the local cloud, such as `ec2/interrupt`."""
        data = None
        if body is not None:
            data = json.dumps(body).encode()
        request = urllib.request.Request(f"{self.endpoint}/_localcloud/{path}", data=data, method=method)
        # Advancing the clock waits until everything that was due is done.
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def let_pass(self, seconds: float) -> None:
        self.undo_after_row(self.control, path="clock", method="DELETE")
        self.control("clock", {"advance": seconds})


class Aws(Target):
    """A real account with its default VPC, by the credentials in the environment. The account must be named (12 digits).

    Raises PermissionError before anything else when the credentials belong to another account. The rows cost some cents: small
    instances for a minute each.
    """

    name = "aws"
    patience = 240.0
    pause = 2.0
    until_due = 90.0
    spread = 12.0
    """Seconds to wait for a new role or profile to spread in IAM; AWS gives no number."""

    def __init__(self, account: str) -> None:
        # Read now: during a test the variables of the environment are removed.
        given = boto3.Session().get_credentials()
        if given is None:
            raise PermissionError("no AWS credentials found; nothing was asked")
        found = given.get_frozen_credentials()
        keys = {"aws_access_key_id": found.access_key, "aws_secret_access_key": found.secret_key}
        if found.token:
            keys["aws_session_token"] = found.token
        super().__init__(None, keys)
        require(self, account)

    def role(self, service: str, statements: list[dict[str, Any]] | None = None, trust: Any = None) -> str:
        made = super().role(service, statements, trust)
        time.sleep(self.spread)
        return made

    def profile(self, statements: list[dict[str, Any]] | None = None) -> tuple[str, str]:
        made = super().profile(statements)
        time.sleep(self.spread)
        return made


def require(target: Target, account: str) -> None:
    """Raise PermissionError unless the target is the named account."""
    if target.account != account:
        raise PermissionError(
            f"the credentials belong to account {target.account}, not to {account}; nothing was asked"
        )


def keys_of(said: dict[str, str]) -> Keys:
    """Return a client's keys from credentials of AssumeRole or of the instance metadata."""
    return {
        "aws_access_key_id": said["AccessKeyId"],
        "aws_secret_access_key": said["SecretAccessKey"],
        "aws_session_token": said.get("SessionToken") or said["Token"],
    }


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    """Return a policy statement that allows."""
    return {"Effect": "Allow", "Action": action, "Resource": resource} | more


def deny(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    """Return a policy statement that denies."""
    return {"Effect": "Deny", "Action": action, "Resource": resource} | more


def error_code(call: Callable[..., Any], **parameters: Any) -> str:
    """Return the error code that a call answers, or "" if it succeeds."""
    try:
        call(**parameters)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def _call_all(undo: list[Callable[[], Any]]) -> None:
    while undo:
        with contextlib.suppress(ClientError, BotoCoreError):
            undo.pop()()
