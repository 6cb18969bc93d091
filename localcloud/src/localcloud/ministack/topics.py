"""The topics that MiniStack keeps, their subscriptions, and each message that it delivers to them."""

from collections.abc import Callable
from typing import Any

from localcloud.ministack.requests import service

Record = dict[str, Any]
Deliver = Callable[[str, Record, str, str], None]
"""Called with a topic's ARN, a subscription, a subject and a message."""


def topic(arn: str) -> Record | None:
    """Return MiniStack's own record of a topic of the current account and region, or None."""
    found: Record | None = service("sns")._topics.get(arn)
    return found


def all_topics() -> list[Record]:
    """Return MiniStack's own records of all topics of the current account and region."""
    return list(service("sns")._topics.values())


def on_delivery(protocols: tuple[str, ...], deliver: Deliver) -> None:
    """Call `deliver` for each message to a confirmed subscription of these protocols, whose filter lets it through."""
    sns = service("sns")
    hand_on = sns._fanout

    def handed_on(
        arn: str, identifier: str, message: str, subject: str, structure: str = "", attributes: Any = None, *more: Any, **named: Any
    ) -> None:  # fmt: skip
        hand_on(arn, identifier, message, subject, structure, attributes, *more, **named)
        for one in (sns._topic_by_arn_any_scope(arn) or {}).get("subscriptions", ()):
            text = sns._resolve_message_for_protocol(message, structure, one["protocol"])
            wanted = one["confirmed"] and one["protocol"] in protocols
            if wanted and sns._matches_filter_policy(one, attributes or {}, text):
                deliver(arn, one, subject, text)

    sns._fanout = handed_on
