"""The queue of asynchronous invocations: every accepted event is a file until it ran, was sent on, or was given up.

So an event that was answered with 202 is not lost by a crash. Retries follow Lambda's: one minute after the first
failure, two after the second, within the function's own limits. Running is execution.py's.
"""

import json
import logging
import threading
import time
import uuid
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud import roles, seams
from localcloud.clients import client
from localcloud.cloud import Cloud
from localcloud.state import write_whole

_log = logging.getLogger("localcloud.functions")
_SERVICE = "lambda.amazonaws.com"
_RETRIES = 2
_MAX_AGE = 21600
_THROTTLED_WAIT = 5.0

Item = dict[str, Any]


class Events:
    """Takes the place of MiniStack's asynchronous invocation, whose events live in memory only."""

    def __init__(self, cloud: Cloud, waits: tuple[float, ...] = (60.0, 120.0)) -> None:
        self._cloud = cloud
        self._waits = waits
        self._home = cloud.state / "functions" / "events"
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lambda = seams.module("lambda_svc")
        seams.put(self._lambda, "invoke_async_with_retry", self.accept)
        self._closed = threading.Event()

    def resume(self) -> None:
        """Go on with the events that an earlier cloud of this directory accepted and did not finish."""
        for path in sorted(self._home.glob("*.json")):
            try:
                item = json.loads(path.read_text())
            except ValueError:
                path.unlink()
                continue
            self._start(item)

    def close(self) -> None:
        """Start no further attempt; what is unfinished stays on disk."""
        self._closed.set()

    def accept(self, record: dict[str, Any], event: Any) -> None:
        """Store an event and begin its first attempt; returns at once."""
        config = record.get("config") or record
        item = {
            "id": str(uuid.uuid4()),
            "function": config["FunctionArn"],
            "event": event,
            "accepted": self._cloud.clock.now().timestamp(),
            "attempts": 0,
            "due": 0.0,
        }
        self._save(item)
        self._start(item)

    def _start(self, item: Item) -> None:
        threading.Thread(target=self._live, args=(item,), name="function-event", daemon=True).start()

    def _live(self, item: Item) -> None:
        """Attempt after attempt until the event is finished or the cloud ends."""
        account, region = item["function"].split(":")[4], item["function"].split(":")[3]
        while not self._closed.wait(max(0.0, item["due"] - self._cloud.clock.now().timestamp())):
            try:
                finished = seams.within(account, region, lambda: self._attempt(item))
            except Exception:
                _log.exception("an event of %s stumbled", item["function"])
                finished = True
            if self._closed.is_set() and not finished:
                return
            if finished:
                (self._home / f"{item['id']}.json").unlink(missing_ok=True)
                return

    def _attempt(self, item: Item) -> bool:
        """Run once; True when the event is finished, else `due` says when to try again."""
        record, config, _ = self._lambda._get_func_record_for_ref(item["function"])
        if record is None or config is None:
            return True
        base, _, _ = self._lambda._get_base_func_record_for_ref(item["function"])
        limits = _limits(base or record, item["function"])
        age = self._cloud.clock.now().timestamp() - item["accepted"]
        if item["attempts"] and age > limits["MaximumEventAgeInSeconds"]:
            return self._give_up(item, config, limits, item.get("last"), "EventAgeExceeded")
        result = self._lambda._execute_function(
            self._lambda._execution_record_for_config(record, config), item["event"]
        )
        if self._closed.is_set():
            return False
        if result.get("throttle"):
            return self._again(item, _THROTTLED_WAIT)
        item["attempts"] += 1
        if not result.get("error"):
            self._send_on(config, limits, "OnSuccess", _told(item, config, result, "Success"))
            return True
        item["last"] = result.get("body")
        if item["attempts"] > limits["MaximumRetryAttempts"]:
            return self._give_up(item, config, limits, item["last"], "RetriesExhausted")
        wait = self._waits[min(item["attempts"], len(self._waits)) - 1]
        if age + wait > limits["MaximumEventAgeInSeconds"]:
            return self._give_up(item, config, limits, item["last"], "EventAgeExceeded")
        return self._again(item, wait)

    def _again(self, item: Item, wait: float) -> bool:
        item["due"] = self._cloud.clock.now().timestamp() + wait
        self._save(item)
        return False

    def _give_up(self, item: Item, config: Item, limits: Item, error: Any, why: str) -> bool:
        """Tell the failure's destination and the dead-letter queue, which receives the event itself."""
        result = {"error": True, "body": error}
        self._send_on(config, limits, "OnFailure", _told(item, config, result, why))
        dead = (config.get("DeadLetterConfig") or {}).get("TargetArn")
        if dead:
            said = {"RequestID": item["id"], "ErrorCode": "200", "ErrorMessage": (error or {}).get("errorMessage", "")}
            self._send(config, dead, json.dumps(item["event"]), said)
        return True

    def _send_on(self, config: Item, limits: Item, outcome: str, told: Item) -> None:
        arn = ((limits["DestinationConfig"] or {}).get(outcome) or {}).get("Destination")
        if arn:
            self._send(config, arn, json.dumps(told), {})

    def _send(self, config: Item, arn: str, body: str, attributes: dict[str, str]) -> None:
        """To an SQS queue, an SNS topic or another function, as this function's role."""
        region, account = arn.split(":")[3], arn.split(":")[4]
        typed = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items() if value}
        try:
            session = roles.assume(config["Role"], _SERVICE, config["FunctionName"][:64])
            if arn.startswith("arn:aws:sqs:"):
                url = f"{self._cloud.endpoint}/{account}/{arn.split(':')[5]}"
                client(self._cloud, "sqs", region, session).send_message(
                    QueueUrl=url, MessageBody=body, MessageAttributes=typed
                )
            elif arn.startswith("arn:aws:sns:"):
                client(self._cloud, "sns", region, session).publish(TopicArn=arn, Message=body, MessageAttributes=typed)
            else:
                client(self._cloud, "lambda", region, session).invoke(
                    FunctionName=arn, InvocationType="Event", Payload=body.encode()
                )
        except (ClientError, BotoCoreError, roles.RoleRefused) as error:
            _log.warning("%s could not tell %s: %s", config["FunctionName"], arn, error)

    def _save(self, item: Item) -> None:
        write_whole(self._home / f"{item['id']}.json", json.dumps(item).encode())


def _limits(record: dict[str, Any], function: str) -> Item:
    """The function's own limits for asynchronous events, Lambda's defaults where it has none."""
    qualifier = function.split(":")[7] if function.count(":") == 7 else "$LATEST"
    every = record.get("event_invoke_configs") or {}
    own = every.get(qualifier) or every.get("") or record.get("event_invoke_config") or {}
    retries, age = own.get("MaximumRetryAttempts"), own.get("MaximumEventAgeInSeconds")
    return {
        "MaximumRetryAttempts": _RETRIES if retries is None else int(retries),
        "MaximumEventAgeInSeconds": _MAX_AGE if age is None else int(age),
        "DestinationConfig": own.get("DestinationConfig"),
    }


def _told(item: Item, config: Item, result: dict[str, Any], condition: str) -> Item:
    """The record that a destination receives."""
    context = {"statusCode": 200, "executedVersion": config.get("Version", "$LATEST")}
    return {
        "version": "1.0",
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "requestContext": {
            "requestId": item["id"],
            "functionArn": f"{config['FunctionArn']}:{config.get('Version', '$LATEST')}",
            "condition": condition,
            "approximateInvokeCount": item["attempts"],
        },
        "requestPayload": item["event"],
        "responseContext": context | ({"functionError": "Unhandled"} if result.get("error") else {}),
        "responsePayload": result.get("body"),
    }
