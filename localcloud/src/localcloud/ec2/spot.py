"""Spot interruptions on request: gives notices and rebalance recommendations, and terminates the instances.

    POST /_localcloud/ec2/interrupt {"instance": ID, "seconds": 120}   notice now, termination after so many seconds
    POST /_localcloud/ec2/rebalance {"instance": ID}                   a rebalance recommendation now

AWS terminates an instance two minutes after its notice ("EC2 User Guide", Spot Instance interruption notices), whether or
not the instance read it. Prices and capacity live elsewhere.
"""

import asyncio
import datetime
from typing import Any

from localcloud.cloud.clock import Clock
from localcloud.ec2.context import Supervisor, iso
from localcloud.ec2.events import InstanceEvents
from localcloud.ec2.identity import Identity
from localcloud.ec2.records import RUNNING, SHUTTING_DOWN, SPOT, Instance, RecordStore

_NOTICE_SECONDS = 120.0
_REASON = "Server.SpotInstanceTermination"


class SpotInterruptions:
    """Interrupts spot instances. Use it on the event loop's thread."""

    def __init__(
        self, store: RecordStore, identity: Identity, events: InstanceEvents, clock: Clock, supervisor: Supervisor
    ) -> None:
        self._store = store
        self._identity = identity
        self._events = events
        self._clock = clock
        self._supervisor = supervisor

    def interrupt(self, document: Any) -> dict[str, Any] | None:
        """Give a notice and return it, or None if no such spot instance runs. Raises ValueError for bad `seconds`."""
        values = _mapping(document)
        seconds = values.get("seconds", _NOTICE_SECONDS)
        if not isinstance(seconds, int | float) or not 0 <= seconds <= _NOTICE_SECONDS:
            raise ValueError(f"`seconds` must be a number from 0 to {_NOTICE_SECONDS:g}")
        found = self._find_running(values)
        if found is None:
            return None
        region, instance = found
        end = self._clock.now() + datetime.timedelta(seconds=seconds)
        notice = {"action": "terminate", "time": iso(end)}
        self._identity.set_spot_notice(instance.id, notice)
        self._events.spot_warning(region, instance)
        # The task sleeps on the cloud's clock, so an advance past its end ends the wait, and then waits for the termination.
        self._clock.work(self._terminate_later(region, instance, seconds))
        return {"instance": instance.id, "notice": notice}

    def rebalance(self, document: Any) -> dict[str, Any] | None:
        """Give a rebalance recommendation and return it, or None if no such spot instance runs."""
        found = self._find_running(_mapping(document))
        if found is None:
            return None
        region, instance = found
        moment = iso(self._clock.now())
        self._identity.set_rebalance_time(instance.id, moment)
        self._events.rebalance(region, instance.id)
        return {"instance": instance.id, "noticeTime": moment}

    def _find_running(self, values: dict[str, Any]) -> tuple[str, Instance] | None:
        found = self._store.find(str(values.get("instance", "")))
        if found is None or found[1].market != SPOT or found[1].state != RUNNING:
            return None
        return found

    async def _terminate_later(self, region: str, instance: Instance, seconds: float) -> None:
        await self._clock.sleep(seconds)
        await asyncio.sleep(0)
        if instance.state != RUNNING:
            return
        with self._store.lock:
            instance.state = SHUTTING_DOWN
            instance.reason_code, instance.reason = _REASON, f"{_REASON}: Spot instance termination"
            instance.transition = f"{_REASON} ({self._clock.now():%Y-%m-%d %H:%M:%S} GMT)"
            self._store.save(region)
        self._supervisor.end(instance)


def _mapping(document: Any) -> dict[str, Any]:
    if isinstance(document, dict):
        return document
    return {}
