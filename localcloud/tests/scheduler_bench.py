"""Creates schedules for tests, with queues, roles and the cloud's time."""

import json
import time
from datetime import datetime, timedelta
from typing import Any

from running_cloud import Running

ACCOUNT = "000000000000"


def trust(group: str = "*") -> str:
    arn = f"arn:aws:scheduler:us-east-1:{ACCOUNT}:schedule-group/{group}"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "scheduler.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}, "ArnLike": {"aws:SourceArn": arn}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class Bench:
    """A target queue, a dead-letter queue, and a role that may send to both."""

    def __init__(self, cloud: Running) -> None:
        self.cloud = cloud
        self.sqs = cloud.client("sqs")
        self.scheduler = cloud.client("scheduler")
        self.url = self.sqs.create_queue(QueueName="sink")["QueueUrl"]
        self.dead = self.sqs.create_queue(QueueName="dead")["QueueUrl"]
        self.role = self.make_role("sender", ["sink", "dead"])

    def make_role(self, name: str, queues: list[str]) -> str:
        iam = self.cloud.client("iam")
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust())["Role"]["Arn"]
        resources = [f"arn:aws:sqs:us-east-1:{ACCOUNT}:{queue}" for queue in queues]
        policy = {"Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": resources}]}
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(policy))
        return arn

    def create(self, name: str, expression: str, target: dict[str, Any] | None = None, **more: Any) -> None:
        sink = {"Arn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:sink", "RoleArn": self.role, "Input": name}
        self.scheduler.create_schedule(
            Name=name,
            ScheduleExpression=expression,
            FlexibleTimeWindow={"Mode": "OFF"},
            Target=sink | (target or {}),
            **more,
        )

    def now(self) -> datetime:
        """Return the cloud's time."""
        return datetime.fromisoformat(self.cloud.control("clock", method="GET")["now"])

    def soon(self, seconds: float) -> str:
        """Return an `at()` expression for a time this many seconds ahead on the cloud's clock."""
        return f"at({self.now() + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S})"

    def receive(self, url: str, wanted: str, limit: float = 60) -> dict[str, Any] | None:
        """Return the first message whose body contains `wanted`; delete others. A limit of 0 does not wait."""
        deadline = time.monotonic() + limit
        answer: dict[str, Any] = {"Messages": []}
        while "Messages" in answer or time.monotonic() < deadline:
            wait = 1 if limit else 0
            answer = self.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=wait, MessageAttributeNames=["All"])
            for message in answer.get("Messages", []):
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                if wanted in message["Body"]:
                    found: dict[str, Any] = message
                    return found
        return None
