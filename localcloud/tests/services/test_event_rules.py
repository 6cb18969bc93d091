"""Event bus rules with a function as target: permission, retries, destinations."""

import json
from typing import Any

import pytest

import instances
from lambda_functions import make_function, make_role
from running_cloud import Running

pytestmark = pytest.mark.cloud

WRITES = """
import boto3
def handler(event, context):
    boto3.client("s3").put_object(Bucket="rule-events", Key=event["source"] + "/" + event["detail"]["name"], Body=b"")
"""
FAILS = "def handler(event, context):\n    raise RuntimeError(event['detail']['name'])\n"


def policy(action: str, resource: str) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]}


class Bus:
    """Creates a rule for each function and sends events to it."""

    def __init__(self, cloud: Running) -> None:
        self.cloud = cloud
        self.events, self.functions, self.s3 = cloud.client("events"), cloud.client("lambda"), cloud.client("s3")
        self.s3.create_bucket(Bucket="rule-events")

    def rule(self, name: str, source: str, role: str, **more: Any) -> str:
        make_function(self.cloud, name, source, role, **more)
        arn = self.functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
        rule: str = self.events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))["RuleArn"]
        self.events.put_targets(Rule=name, Targets=[{"Id": "one", "Arn": arn}])
        return rule

    def permit(self, name: str, statement: str, source: str) -> None:
        self.functions.add_permission(
            FunctionName=name,
            StatementId=statement,
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
            SourceArn=source,
        )

    def put(self, source: str, name: str) -> None:
        entry = {"Source": source, "DetailType": "said", "Detail": json.dumps({"name": name})}
        assert self.events.put_events(Entries=[entry])["FailedEntryCount"] == 0

    def received(self, source: str) -> list[str]:
        found = self.s3.list_objects_v2(Bucket="rule-events", Prefix=source + "/").get("Contents", [])
        return [each["Key"].partition("/")[2] for each in found]


@pytest.fixture(scope="module")
def bus(cloud: Running) -> Bus:
    return Bus(cloud)


def test_rule_needs_a_permission_in_the_functions_policy(bus: Bus) -> None:
    role = make_role(bus.cloud, "writes", policy("s3:PutObject", "arn:aws:s3:::rule-events/*"))
    rule = bus.rule("asked", WRITES, role)
    bus.put("asked", "unasked")
    bus.permit("asked", "another", rule.replace("/asked", "/another"))
    bus.put("asked", "by-another")
    bus.permit("asked", "this", rule)
    bus.put("asked", "by-this")
    instances.wait_until(lambda: "by-this" in bus.received("asked"), 60)
    assert bus.received("asked") == ["by-this"]
    bus.functions.remove_permission(FunctionName="asked", StatementId="this")
    bus.put("asked", "no-more")
    bus.permit("asked", "again", rule)
    bus.put("asked", "and-again")
    instances.wait_until(lambda: "and-again" in bus.received("asked"), 60)
    assert bus.received("asked") == ["and-again", "by-this"]


def test_failed_rule_event_goes_to_the_functions_destination(bus: Bus) -> None:
    queues = bus.cloud.client("sqs")
    queue = queues.create_queue(QueueName="undone")["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    role = make_role(bus.cloud, "fails", policy("sqs:SendMessage", arn))
    rule = bus.rule("fails", FAILS, role, DeadLetterConfig={"TargetArn": arn})
    bus.functions.put_function_event_invoke_config(FunctionName="fails", MaximumRetryAttempts=0)
    bus.permit("fails", "this", rule)
    bus.put("fails", "broken")
    found: list[Any] = []
    instances.wait_until(
        lambda: bool(found) or bool(found.extend(queues.receive_message(QueueUrl=queue).get("Messages", []))), 60
    )
    event = json.loads(found[0]["Body"])
    assert (event["source"], event["detail"]) == ("fails", {"name": "broken"})
