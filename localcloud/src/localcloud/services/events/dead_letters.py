"""The dead-letter queue of a rule's target: events that cannot be delivered go there at once, if the queue's policy allows it.

Source: "EventBridge User Guide", Using dead-letter queues to process undelivered events. A missing permission and a missing target
are not retried. Deliveries to MiniStack's other kinds of target never fail, so nothing else comes here.
"""

import logging
import threading
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.cloud.facts import Cloud
from localcloud.services.clients import client
from localcloud.services.iam import authorization

SERVICE = "events.amazonaws.com"
_log = logging.getLogger("localcloud.events")


@dataclass(frozen=True)
class Undelivered:
    """An event as JSON text, the rule and target by their ARNs, and why it was not delivered, by AWS's code and in words."""

    event: str
    rule: str
    target: str
    code: str
    why: str


class DeadLetters:
    """Sends undelivered events to queues."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def send(self, target: dict[str, Any], undelivered: Undelivered) -> None:
        """Send the event to the target's queue, if it has one, on a thread of its own. Returns at once."""
        _log.warning("%s did not reach %s: %s", undelivered.rule, undelivered.target, undelivered.why)
        queue = (target.get("DeadLetterConfig") or {}).get("Arn")
        if queue:
            threading.Thread(target=self._try, args=(queue, undelivered), name="dead-letter", daemon=True).start()

    def _try(self, queue: str, undelivered: Undelivered) -> None:
        try:
            self._send(queue, undelivered)
        except (ClientError, BotoCoreError) as error:
            _log.warning("%s: its dead-letter queue %s cannot be reached: %s", undelivered.rule, queue, error)

    def _send(self, queue: str, undelivered: Undelivered) -> None:
        _, _, _, region, account, name = queue.split(":")
        api, url = client(self._cloud, "sqs", region), f"{self._cloud.endpoint}/{account}/{name}"
        policy = api.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]).get("Attributes", {}).get("Policy")
        keys = {"aws:sourcearn": undelivered.rule, "aws:sourceaccount": account}
        if not policy or not authorization.lets_service(policy, SERVICE, "sqs:SendMessage", queue, keys):
            _log.warning("%s may not send to %s: the queue's policy does not allow it", undelivered.rule, queue)
            return
        values = {
            "RULE_ARN": undelivered.rule,
            "TARGET_ARN": undelivered.target,
            "ERROR_CODE": undelivered.code,
            "ERROR_MESSAGE": undelivered.why,
        }
        attributes = {key: {"DataType": "String", "StringValue": value} for key, value in values.items()}
        api.send_message(QueueUrl=url, MessageBody=undelivered.event, MessageAttributes=attributes)
