"""Subscriptions of SNS that wait for their owner: by e-mail they stay pending until somebody confirms.

Nothing is sent anywhere: what SNS would mail is kept for the person who runs the cloud, with the token that confirms.
"""

import re
import secrets
from collections import deque
from dataclasses import dataclass
from typing import Any

from localcloud.ministack import requests, topics
from localcloud.services.iam.resources import parameter

_MAIL = ("email", "email-json")
_KEPT = 1000
_ASKED = "_LocalcloudAsked"
_LISTINGS = ("ListSubscriptions", "ListSubscriptionsByTopic")


@dataclass(frozen=True)
class Mail:
    """One mail: its topic's ARN, its address, and the token that confirms the subscription ("" in a notification)."""

    topic: str
    to: str
    subject: str
    message: str
    token: str = ""


class Mailbox:
    """The last mails that SNS would have sent, oldest first."""

    def __init__(self) -> None:
        self.mails: deque[Mail] = deque(maxlen=_KEPT)

    def install(self) -> None:
        """Keep subscriptions by e-mail pending, and their mails; once, before the first request."""
        topics.on_delivery(_MAIL, self._notify)
        answer = requests.handler("sns")

        async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
            action = parameter(body, query, "Action")
            status, sent, content = await answer(method, path, headers, body, query)
            if status == 200 and action == "Subscribe":
                self.ask(parameter(body, query, "TopicArn"))
                content = _hidden(content, "pending confirmation")
            elif status == 200 and action in _LISTINGS:
                content = _hidden(content, "PendingConfirmation")
            return status, sent, content

        requests.replace_handler("sns", handle)

    def ask(self, arn: str) -> None:
        """Mail the owner of each new subscription of a topic by e-mail, and keep it pending until they confirm."""
        for one in (topics.topic(arn) or {}).get("subscriptions", ()):
            if one["protocol"] in _MAIL and _ASKED not in one:
                token = secrets.token_hex(20)
                one |= {"token": token, "confirmed": False, _ASKED: True}
                one["attributes"] |= {"PendingConfirmation": "true", "ConfirmationWasAuthenticated": "false"}
                subject, text = (
                    "AWS Notification - Subscription Confirmation",
                    f"To confirm the topic {arn}, use the token.",
                )
                self.mails.append(Mail(arn, one["endpoint"], subject, text, token))

    def _notify(self, arn: str, subscription: dict[str, Any], subject: str, message: str) -> None:
        self.mails.append(Mail(arn, subscription["endpoint"], subject or "AWS Notification Message", message))


def _hidden(content: Any, word: str) -> bytes:
    """Return an answer with `word` in place of the ARNs of subscriptions that nobody has confirmed."""
    text = content.decode() if isinstance(content, bytes) else str(content)
    pending = {one["arn"] for topic in topics.all_topics() for one in topic["subscriptions"] if not one["confirmed"]}

    def shown(found: re.Match[str]) -> str:
        return f"<SubscriptionArn>{word if found[1] in pending else found[1]}</SubscriptionArn>"

    return re.sub(r"<SubscriptionArn>([^<]*)</SubscriptionArn>", shown, text).encode()
