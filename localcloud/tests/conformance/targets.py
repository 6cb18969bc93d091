"""The targets that the rows are asked of: a running local cloud or a real account, with the same methods.

A target removes what a row made through it (`tidy`). No row lives here.
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
KIND = "t3.nano"
# No template, profile or bucket of another run has this number.
RUN = os.urandom(3).hex()

Keys = dict[str, str]


class Target:
    """One AWS, or what plays it."""

    name = ""
    patience = 60.0

    def __init__(self, endpoint: str | None, keys: Keys) -> None:
        self.endpoint = endpoint
        self._keys = keys
        self._clients: dict[tuple[str, str], Any] = {}
        self._numbers = itertools.count()
        self._undo: list[Callable[[], Any]] = []
        self._last: list[Callable[[], Any]] = []
        self._kept: dict[str, Any] = {}

    def client(self, service: str, region: str = REGION, keys: Keys | None = None) -> Any:
        """A client of the administrator, or of whom `keys` belong to. It never repeats a call by itself."""
        if keys is None and (service, region) in self._clients:
            return self._clients[service, region]
        config = Config(retries={"total_max_attempts": 1}, read_timeout=60, max_pool_connections=30)
        if service == "s3":
            # Links in the older form are signed over the content type, which whoever uses them cannot know.
            config = config.merge(Config(signature_version="s3v4"))
        said = self._keys if keys is None else keys
        made = boto3.client(service, region_name=region, endpoint_url=self.endpoint, config=config, **said)
        if keys is None:
            self._clients[service, region] = made
        return made

    @property
    def account(self) -> str:
        """The account's number."""
        return str(self.once("account", lambda: self.client("sts").get_caller_identity()["Account"]))

    def name_for(self, kind: str) -> str:
        """A name that nothing else has."""
        return f"conf-{kind}-{RUN}-{next(self._numbers)}"

    def after(self, undo: Callable[..., Any], **said: Any) -> None:
        """Have `undo` called when the row is done; the last one noted goes first."""
        self._undo.append(lambda: undo(**said))

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Something that several rows share, made by the first that wants it."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def at_last(self, undo: Callable[..., Any], **said: Any) -> None:
        """Have `undo` called when everything is done."""
        self._last.append(lambda: undo(**said))

    def tidy(self) -> None:
        """Remove what the last row made; what is gone already is no trouble."""
        _call_all(self._undo)

    def close(self) -> None:
        """Remove everything."""
        self.tidy()
        _call_all(self._last)

    def until(self, true: Callable[[], Any], what: str = "it") -> Any:
        """What `true` gives when it is no longer false; fails after the target's patience."""
        deadline = time.monotonic() + self.patience
        while not (found := true()):
            assert time.monotonic() < deadline, f"{what} did not happen in time"
            time.sleep(0.05 if self.name != "aws" else 2.0)
        return found

    def settled(self, call: Callable[[], Any]) -> Any:
        """The answer of a call that may be refused until IAM knows everywhere what was made a moment ago."""
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

    def come(self, seconds: float) -> None:
        """Have that time come: waited for by whoever asks, but where a clock can be turned it is over at once."""

    # Servers

    def image(self, region: str = REGION) -> str:
        """The id of a stock image for x86_64."""
        found = self.client("ssm", region).get_parameter(Name=IMAGE)["Parameter"]["Value"]
        return str(found)

    def launch(self, region: str = REGION, **more: Any) -> list[str]:
        """RunInstances; the ids. What is launched is terminated when the row is done."""
        return [one["InstanceId"] for one in self.reservation(region, **more)["Instances"]]

    def reservation(self, region: str = REGION, **more: Any) -> dict[str, Any]:
        """RunInstances; the whole answer."""
        ec2 = self.client("ec2", region)
        asked = {"MinCount": 1, "MaxCount": 1, **more}
        if "LaunchTemplate" not in asked:
            asked = {"ImageId": self.once(f"image {region}", lambda: self.image(region)), "InstanceType": KIND} | asked
        made: dict[str, Any] = ec2.run_instances(**asked)
        self.after(ec2.terminate_instances, InstanceIds=[one["InstanceId"] for one in made["Instances"]])
        return made

    def shown(self, instance: str, region: str = REGION) -> dict[str, Any]:
        """The instance as DescribeInstances shows it."""
        answer = self.client("ec2", region).describe_instances(InstanceIds=[instance])
        found: dict[str, Any] = answer["Reservations"][0]["Instances"][0]
        return found

    def becomes(self, instance: str, state: str) -> dict[str, Any]:
        """Wait for a state; the instance as it is shown then."""
        self.until(lambda: self.shown(instance)["State"]["Name"] == state, f"{instance} {state}")
        return self.shown(instance)

    def template(self, **data: Any) -> str:
        """A launch template with that data; its id."""
        ec2 = self.client("ec2")
        said = {"ImageId": self.once(f"image {REGION}", self.image), "InstanceType": KIND} | data
        made = ec2.create_launch_template(LaunchTemplateName=self.name_for("template"), LaunchTemplateData=said)
        identifier = str(made["LaunchTemplate"]["LaunchTemplateId"])
        self.after(ec2.delete_launch_template, LaunchTemplateId=identifier)
        return identifier

    def fleet(self, template: str, **more: Any) -> dict[str, Any]:
        """An instant fleet of one on-demand server from version 1 of a template; its servers are terminated after the row."""
        specification = {"LaunchTemplateId": template, "Version": "1"}
        asked = {
            "Type": "instant",
            "TargetCapacitySpecification": {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"},
            "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": specification}],
        }
        ec2 = self.client("ec2")
        made: dict[str, Any] = ec2.create_fleet(**(asked | more))
        for one in made.get("Instances", []):
            self.after(ec2.terminate_instances, InstanceIds=one["InstanceIds"])
        return made

    # Identities

    def role(self, service: str, statements: list[dict[str, Any]] | None = None, trust: Any = None) -> str:
        """A role that `service` (such as "ec2") may assume, with those rights; its ARN."""
        iam, name = self.client("iam"), self.name_for("role")
        principal = {"AWS": self.account} if service == "account" else {"Service": f"{service}.amazonaws.com"}
        said = trust or {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [said]})
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        self.after(iam.delete_role, RoleName=name)
        if statements:
            policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy)
            self.after(iam.delete_role_policy, RoleName=name, PolicyName="own")
        return str(arn)

    def profile(self, statements: list[dict[str, Any]] | None = None) -> tuple[str, str]:
        """An instance profile with a role of its own; the profile's name and the role's ARN."""
        iam, arn = self.client("iam"), self.role("ec2", statements)
        role, name = arn.rsplit("/", 1)[-1], self.name_for("profile")
        iam.create_instance_profile(InstanceProfileName=name)
        self.after(iam.delete_instance_profile, InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role)
        self.after(iam.remove_role_from_instance_profile, InstanceProfileName=name, RoleName=role)
        return name, arn

    def session(self, *statements: dict[str, Any], called: str = "conformance", **more: Any) -> Keys:
        """Keys of a session of a new role with those rights."""
        arn = self.role("account", list(statements))
        sts = self.client("sts")
        said = self.settled(lambda: sts.assume_role(RoleArn=arn, RoleSessionName=called, **more))["Credentials"]
        return keys_of(said)

    # Stores

    def bucket(self) -> str:
        """A bucket that the rows share."""
        return str(self.once("bucket", self._bucket))

    def _bucket(self) -> str:
        s3, name = self.client("s3"), f"conf-bucket-{RUN}"
        s3.create_bucket(Bucket=name)

        def remove() -> None:
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
                for one in page.get("Contents", []):
                    s3.delete_object(Bucket=name, Key=one["Key"])
            s3.delete_bucket(Bucket=name)

        self.at_last(remove)
        return name

    def queue(self) -> tuple[str, str]:
        """A queue; its URL and ARN."""
        sqs = self.client("sqs")
        url = sqs.create_queue(QueueName=self.name_for("queue"))["QueueUrl"]
        self.after(sqs.delete_queue, QueueUrl=url)
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        return url, arn

    def message(self, url: str, patience: float | None = None) -> dict[str, Any] | None:
        """The next message of a queue, taken out of it; None when none comes."""
        sqs = self.client("sqs")
        deadline = time.monotonic() + (self.patience if patience is None else patience)
        while time.monotonic() < deadline:
            said = {"QueueUrl": url, "WaitTimeSeconds": 1, "MessageAttributeNames": ["All"]}
            for one in sqs.receive_message(**said).get("Messages", []):
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

    def control(self, path: str, said: Any = None, method: str = "POST") -> Any:
        """Use a control of the local cloud, such as `ec2/interrupt`."""
        data = None if said is None else json.dumps(said).encode()
        request = urllib.request.Request(f"{self.endpoint}/_localcloud/{path}", data=data, method=method)
        # A turn of the clock waits for what it fires.
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def come(self, seconds: float) -> None:
        self.after(self.control, path="clock", method="DELETE")
        self.control("clock", {"advance": seconds})


class Aws(Target):
    """A real account with its default VPC, by the credentials of the environment; only the one that is named (12 digits).

    Raises PermissionError, before anything else is asked, when the credentials are of another account. It costs some cents:
    servers of the smallest type for a minute each. What is not asked says why in its row.
    """

    name = "aws"
    patience = 240.0
    spread = 12.0
    """Seconds after which IAM's new roles and profiles are taken to be known everywhere; AWS promises no number."""

    def __init__(self, account: str) -> None:
        # Taken now: no variable of the environment is left while a test runs.
        given = boto3.Session().get_credentials()
        if given is None:
            raise PermissionError("no AWS credentials found; nothing was asked")
        found = given.get_frozen_credentials()
        keys = {"aws_access_key_id": found.access_key, "aws_secret_access_key": found.secret_key}
        super().__init__(None, keys | ({"aws_session_token": found.token} if found.token else {}))
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
    """Raises PermissionError when the target is another account than the one that was named beforehand."""
    if target.account != account:
        raise PermissionError(
            f"the credentials belong to account {target.account}, not to {account}; nothing was asked"
        )


def keys_of(said: dict[str, str]) -> Keys:
    """A client's keys, from credentials as AssumeRole or instance metadata give them."""
    return {
        "aws_access_key_id": said["AccessKeyId"],
        "aws_secret_access_key": said["SecretAccessKey"],
        "aws_session_token": said.get("SessionToken") or said["Token"],
    }


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    """A statement that allows."""
    return {"Effect": "Allow", "Action": action, "Resource": resource} | more


def deny(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    """A statement that denies."""
    return {"Effect": "Deny", "Action": action, "Resource": resource} | more


def refusal(call: Callable[..., Any], **said: Any) -> str:
    """The error code that a call answers; "" when it does not refuse."""
    try:
        call(**said)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def _call_all(undo: list[Callable[[], Any]]) -> None:
    while undo:
        with contextlib.suppress(ClientError, BotoCoreError):
            undo.pop()()
