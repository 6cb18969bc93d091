"""Tells EventBridge when an instance changes its state, and when its spot market takes it back.

Like AWS it is best effort: truth is what DescribeInstances says. What a rule does with an event is MiniStack's.
"""

import asyncio
import contextlib
import importlib
import json
import logging
from typing import Any

from localcloud.ec2.records import Instance
from localcloud.ministack import seams

_log = logging.getLogger("localcloud.ec2")


class InstanceEvents:
    """Puts EC2's events on the default bus of one account, in the order in which they happened."""

    def __init__(self, account: str, loop: asyncio.AbstractEventLoop) -> None:
        self._account = account
        self._loop = loop

    def state_changed(self, region: str, instance: str, state: str) -> None:
        """`EC2 Instance State-change Notification`. From any thread."""
        self._tell(region, instance, "EC2 Instance State-change Notification", {"state": state})

    def spot_warning(self, region: str, one: Instance) -> None:
        """`EC2 Spot Instance Interruption Warning`. From any thread.

        Its resource has a form of its own: "EC2 User Guide", Spot Instance interruption notices, the note on the ARN.
        """
        arn = f"arn:aws:ec2:{one.zone}:instance/{one.id}"
        self._tell(region, one.id, "EC2 Spot Instance Interruption Warning", {"instance-action": "terminate"}, arn)

    def rebalance(self, region: str, instance: str) -> None:
        """`EC2 Instance Rebalance Recommendation`. From any thread."""
        self._tell(region, instance, "EC2 Instance Rebalance Recommendation", {})

    def _tell(self, region: str, instance: str, kind: str, more: dict[str, Any], arn: str = "") -> None:
        # A loop that is closed has no bus to tell any more.
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
            with importlib.import_module("ministack.core.responses").request_scope(self._account, region):
                seams.module("eventbridge")._put_events({"Entries": [entry]}, allow_aws_source=True)
        except Exception:
            _log.exception("the event of %s was not delivered", instance)
