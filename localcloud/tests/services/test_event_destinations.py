"""Asynchronous events of a function: records at each kind of destination, dead letters, limits."""

import json
from typing import Any

import pytest

import instances
from lambda_functions import make_function, make_role
from running_cloud import Running

pytestmark = pytest.mark.cloud

ACCOUNT = "000000000000"
FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:"
SOURCE = """
def handler(event, context):
    if event["n"] < 0:
        raise ValueError("below zero")
    return {"doubled": 2 * event["n"]}
"""
ANY = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


class RecordQueue:
    """A queue that receives all records, and functions that report to it."""

    def __init__(self, cloud: Running) -> None:
        self.cloud = cloud
        self.sqs, self.functions = cloud.client("sqs"), cloud.client("lambda")
        self.url = self.sqs.create_queue(QueueName="records")["QueueUrl"]
        self.queue = f"arn:aws:sqs:us-east-1:{ACCOUNT}:records"
        self.role = make_role(cloud, "teller", ANY)
        services = ["sns.amazonaws.com", "events.amazonaws.com"]
        allow = {"Effect": "Allow", "Principal": {"Service": services}, "Action": "sqs:SendMessage", "Resource": "*"}
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": json.dumps({"Statement": [allow]})})

    def make(self, name: str, destinations: dict[str, str] | None = None, **limits: int) -> None:
        make_function(self.cloud, name, SOURCE, self.role)
        config = {outcome: {"Destination": arn} for outcome, arn in (destinations or {}).items()}
        self.functions.put_function_event_invoke_config(FunctionName=name, DestinationConfig=config, **limits)

    def send(self, name: str, number: int) -> str:
        answer = self.functions.invoke(
            FunctionName=name, InvocationType="Event", Payload=json.dumps({"n": number}).encode()
        )
        assert answer["StatusCode"] == 202
        return str(answer["ResponseMetadata"]["RequestId"])

    def message(self, limit: float = 30) -> dict[str, Any]:
        """Return the next message; wait at most `limit` seconds."""
        found: list[dict[str, Any]] = []

        def came() -> bool:
            answer = self.sqs.receive_message(QueueUrl=self.url, WaitTimeSeconds=1, MessageAttributeNames=["All"])
            for message in answer.get("Messages", []):
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
                found.append(message)
            return bool(found)

        instances.wait_until(came, limit)
        [message] = found
        return message

    def record(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self.message()["Body"])
        return record


@pytest.fixture(scope="module")
def records(cloud: Running) -> RecordQueue:
    return RecordQueue(cloud)


def test_destination_gets_the_response_or_the_error(records: RecordQueue) -> None:
    records.make("both", {"OnSuccess": records.queue, "OnFailure": records.queue}, MaximumRetryAttempts=0)
    records.send("both", 4)
    record = records.record()
    assert record["version"] == "1.0"
    context = record["requestContext"]
    assert context["functionArn"] == FUNCTION + "both:$LATEST"
    assert (context["condition"], context["approximateInvokeCount"]) == ("Success", 1)
    assert record["requestPayload"] == {"n": 4}
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}
    assert record["responsePayload"] == {"doubled": 8}
    records.send("both", -1)
    record = records.record()
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["responseContext"]["functionError"] == "Unhandled"
    assert record["responsePayload"]["errorMessage"] == "below zero"


def test_destination_can_be_topic_bus_function_or_bucket(records: RecordQueue) -> None:
    cloud = records.cloud
    topic = cloud.client("sns").create_topic(Name="told-topic")["TopicArn"]
    cloud.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=records.queue)
    records.make("to-topic", {"OnSuccess": topic})
    records.send("to-topic", 1)
    assert json.loads(records.record()["Message"])["responsePayload"] == {"doubled": 2}

    events = cloud.client("events")
    pattern = {"source": ["lambda"], "detail-type": ["Lambda Function Invocation Result - Success"]}
    events.put_rule(Name="results", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="results", Targets=[{"Id": "one", "Arn": records.queue}])
    bus = f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default"
    records.make("to-bus", {"OnSuccess": bus})
    records.send("to-bus", 2)
    event = records.record()
    assert event["detail"]["responsePayload"] == {"doubled": 4}
    assert FUNCTION + "to-bus:$LATEST" in event["resources"]

    records.make("first", {"OnSuccess": FUNCTION + "second"})
    second = "def handler(event, context): return event['requestContext']['condition']"
    make_function(cloud, "second", second, records.role)
    on_success = {"OnSuccess": {"Destination": records.queue}}
    records.functions.put_function_event_invoke_config(FunctionName="second", DestinationConfig=on_success)
    records.send("first", 3)
    record = records.record()
    assert record["responsePayload"] == "Success"
    assert record["requestPayload"]["responsePayload"] == {"doubled": 6}

    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="told-bucket")
    records.make("to-bucket", {"OnFailure": "arn:aws:s3:::told-bucket"}, MaximumRetryAttempts=0)
    records.send("to-bucket", -1)
    instances.wait_until(lambda: s3.list_objects_v2(Bucket="told-bucket")["KeyCount"] == 1, 30)
    [found] = s3.list_objects_v2(Bucket="told-bucket")["Contents"]
    assert found["Key"].startswith("aws/lambda/async/to-bucket/")
    assert json.load(s3.get_object(Bucket="told-bucket", Key=found["Key"])["Body"])["requestPayload"] == {"n": -1}


def test_dead_letter_is_the_event_with_error_attributes(records: RecordQueue) -> None:
    make_function(records.cloud, "buries", SOURCE, records.role, DeadLetterConfig={"TargetArn": records.queue})
    records.functions.put_function_event_invoke_config(FunctionName="buries", MaximumRetryAttempts=0)
    records.send("buries", -7)
    message = records.message()
    assert json.loads(message["Body"]) == {"n": -7}
    attributes = message["MessageAttributes"]
    assert attributes["ErrorMessage"]["StringValue"] == "below zero"
    assert (attributes["ErrorCode"]["DataType"], attributes["ErrorCode"]["StringValue"]) == ("Number", "200")
    assert attributes["RequestID"]["StringValue"]


def test_event_is_dropped_if_its_next_attempt_exceeds_the_age(records: RecordQueue) -> None:
    records.make("ages", {"OnFailure": records.queue}, MaximumEventAgeInSeconds=90, MaximumRetryAttempts=2)
    records.send("ages", -1)
    logs = records.cloud.client("logs")
    instances.wait_until(
        lambda: "/aws/lambda/ages" in [g["logGroupName"] for g in logs.describe_log_groups()["logGroups"]], 30
    )
    records.cloud.advance(70)
    record = records.record()
    assert record["requestContext"]["condition"] == "EventAgeExceeded"
    assert record["requestContext"]["approximateInvokeCount"] == 2


def test_zero_concurrency_drops_events_at_once(records: RecordQueue) -> None:
    records.make("stopped", {"OnFailure": records.queue})
    records.functions.put_function_concurrency(FunctionName="stopped", ReservedConcurrentExecutions=0)
    records.send("stopped", 1)
    record = records.record()
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert record["requestPayload"] == {"n": 1}
    assert "responsePayload" not in record


def test_destination_needs_a_permission_of_the_functions_role(records: RecordQueue) -> None:
    mute = make_role(records.cloud, "mute")
    make_function(records.cloud, "silent", SOURCE, mute)
    records.functions.put_function_event_invoke_config(
        FunctionName="silent", DestinationConfig={"OnSuccess": {"Destination": records.queue}}
    )
    records.send("silent", 1)
    log = records.cloud.directory / "cloud.log"
    instances.wait_until(lambda: f"silent could not send to {records.queue}" in log.read_text(), 30)
    assert "Messages" not in records.sqs.receive_message(QueueUrl=records.url)
