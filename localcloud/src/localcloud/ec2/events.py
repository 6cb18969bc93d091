"""Sends EC2's events to EventBridge: state changes, spot interruption warnings and rebalance recommendations.

As on AWS, delivery is best effort; DescribeInstances has the authoritative state. MiniStack applies the rules.
"""

import asyncio
import contextlib
import json
import logging
from typing import Any

from localcloud.ec2.records import Instance
from localcloud.ministack import bus

_log = logging.getLogger("localcloud.ec2")


class InstanceEvents:
    """Puts events on the default bus of one account, in the order in which they happened. Call it from any thread."""

    def __init__(self, account: str, loop: asyncio.AbstractEventLoop) -> None:
        self._account = account
        self._loop = loop

    def state_changed(self, region: str, instance: str, state: str) -> None:
        """Send `EC2 Instance State-change Notification`."""
        self._send(region, instance, "EC2 Instance State-change Notification", {"state": state})

    def spot_warning(self, region: str, instance: Instance) -> None:
        """Send `EC2 Spot Instance Interruption Warning`.

        The ARN of its resource has a special form: "EC2 User Guide", Spot Instance interruption notices, the note on the ARN.
        """
        arn = f"arn:aws:ec2:{instance.zone}:instance/{instance.id}"
        self._send(region, instance.id, "EC2 Spot Instance Interruption Warning", {"instance-action": "terminate"}, arn)

    def rebalance(self, region: str, instance: str) -> None:
        """Send `EC2 Instance Rebalance Recommendation`."""
        self._send(region, instance, "EC2 Instance Rebalance Recommendation", {})

    def _send(self, region: str, instance: str, kind: str, more: dict[str, Any], arn: str = "") -> None:
        # RuntimeError: the loop is closed, and the bus with it.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._put, region, instance, kind, more, arn)

    def _put(self, region: str, instance: str, kind: str, more: dict[str, Any], arn: str) -> None:
        entry = {
            "Source": "aws.ec2",
            "DetailType": kind,
            "Detail": json.dumps({"instance-id": instance} | more),
            "Resources": [arn or f"arn:aws:ec2:{region}:{self._account}:instance/{instance}"],
        }
        try:
            bus.put_event(self._account, region, entry)
        except Exception:
            _log.exception("the event of %s was not delivered", instance)
