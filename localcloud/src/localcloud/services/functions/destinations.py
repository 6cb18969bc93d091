"""What is sent at the end of an asynchronous event: a record to the destination, the event to the dead-letter target.

Shapes: Lambda Developer Guide, "Capturing records of Lambda asynchronous invocations" (the record, the object's key in
S3) and "Dead-letter queues" (the event itself, with RequestID, ErrorCode, ErrorMessage). When an event ends is decided in events.py.
"""

import json
import logging
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.cloud.facts import Cloud
from localcloud.services.clients import client
from localcloud.services.iam import roles

_log = logging.getLogger("localcloud.functions")
_SERVICE = "lambda.amazonaws.com"
_ERROR_TEXT = 1024
SUCCESS = "Success"

Limits = dict[str, Any]
Config = dict[str, Any]


@dataclass(frozen=True)
class Ending:
    """The end of one event: `condition` is Success or why the event was given up, `answer` the last value or error."""

    request_id: str
    event: Any
    attempts: int
    condition: str
    answer: Any
    moment: datetime

    @property
    def failed(self) -> bool:
        """Whether the event was given up."""
        return self.condition != SUCCESS


class Destinations:
    """Sends the ends of events with the function's own role; what cannot be sent is logged."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def send(self, config: Config, limits: Limits, ending: Ending) -> None:
        """Send the record to the destination of this outcome and, after a failure, the event to the dead-letter target."""
        outcome = "OnFailure" if ending.failed else "OnSuccess"
        arn = ((limits["DestinationConfig"] or {}).get(outcome) or {}).get("Destination")
        if arn:
            self._try(config, arn, lambda session: self._send_record(config, arn, ending, session))
        dead = (config.get("DeadLetterConfig") or {}).get("TargetArn")
        if dead and ending.failed:
            self._try(config, dead, lambda session: self._send_event(dead, ending, session))

    def _try(self, config: Config, arn: str, send: Any) -> None:
        try:
            session = roles.assume(config["Role"], _SERVICE, config["FunctionName"][:64])
            try:
                send(session)
            finally:
                roles.end(session)
        except (ClientError, BotoCoreError, roles.RoleRefused) as error:
            _log.warning("%s could not send to %s: %s", config["FunctionName"], arn, error)

    def _send_record(self, config: Config, arn: str, ending: Ending, session: roles.Session) -> None:
        service, region = arn.split(":")[2], arn.split(":")[3] or config["FunctionArn"].split(":")[3]
        api = client(self._cloud, service, region, session)
        document = record(config, ending)
        body = json.dumps(document)
        if service == "sqs":
            api.send_message(QueueUrl=self._queue(arn), MessageBody=body)
        elif service == "sns":
            api.publish(TopicArn=arn, Message=body)
        elif service == "lambda":
            api.invoke(FunctionName=arn, InvocationType="Event", Payload=body.encode())
        elif service == "events":
            # PutEvents answers 200 and lists refused entries inside.
            answer = api.put_events(Entries=[_entry(arn, document, ending, body)])
            if answer["FailedEntryCount"]:
                _log.warning("%s: the event bus refused: %s", config["FunctionName"], answer["Entries"])
        elif service == "s3" and ending.failed:
            stamp = f"{ending.moment:%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"
            key = f"aws/lambda/async/{config['FunctionName']}/{stamp}"
            api.put_object(Bucket=arn.split(":::")[1], Key=key, Body=body.encode())

    def _send_event(self, arn: str, ending: Ending, session: roles.Session) -> None:
        text = ending.condition
        if isinstance(ending.answer, dict):
            text = str(ending.answer.get("errorMessage", ""))[:_ERROR_TEXT] or text
        attributes = {
            "RequestID": {"DataType": "String", "StringValue": ending.request_id},
            "ErrorCode": {"DataType": "Number", "StringValue": "200"},
            "ErrorMessage": {"DataType": "String", "StringValue": text},
        }
        service, region = arn.split(":")[2], arn.split(":")[3]
        api, body = client(self._cloud, service, region, session), json.dumps(ending.event)
        if service == "sqs":
            api.send_message(QueueUrl=self._queue(arn), MessageBody=body, MessageAttributes=attributes)
        else:
            api.publish(TopicArn=arn, Message=body, MessageAttributes=attributes)

    def _queue(self, arn: str) -> str:
        return f"{self._cloud.endpoint}/{arn.split(':')[4]}/{arn.split(':')[5]}"


def record(config: Config, ending: Ending) -> dict[str, Any]:
    """Return the record of an event's end, as a destination receives it; without a response when the function never ran."""
    version = config.get("Version", "$LATEST")
    document = {
        "version": "1.0",
        "timestamp": ending.moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ending.moment.microsecond // 1000:03d}Z",
        "requestContext": {
            "requestId": ending.request_id,
            "functionArn": f"{config['FunctionArn']}:{version}",
            "condition": ending.condition,
            "approximateInvokeCount": ending.attempts,
        },
        "requestPayload": ending.event,
    }
    if ending.attempts:
        context = {"statusCode": 200, "executedVersion": version}
        if ending.failed:
            context["functionError"] = "Unhandled"
        document["responseContext"] = context
        document["responsePayload"] = ending.answer
    return document


def _entry(arn: str, document: dict[str, Any], ending: Ending, body: str) -> dict[str, Any]:
    """Return the record as an event of the bus `arn`."""
    kind = "Failure" if ending.failed else "Success"
    return {
        "EventBusName": arn,
        "Source": "lambda",
        "DetailType": f"Lambda Function Invocation Result - {kind}",
        "Detail": body,
        "Resources": [arn, document["requestContext"]["functionArn"]],
        "Time": ending.moment,
    }
