"""The spot market at a test's word: it gives notices and recommendations, and takes instances back.

    POST /_localcloud/ec2/interrupt {"instance": ID, "seconds": 120}   notice now, taken back after so many seconds
    POST /_localcloud/ec2/rebalance {"instance": ID}                   a rebalance recommendation now

AWS takes an instance back two minutes after its notice ("EC2 User Guide", Spot Instance interruption notices), whether or
not it heard it. Prices and capacity are elsewhere.
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
_TAKEN = "Server.SpotInstanceTermination"


class SpotMarket:
    """Who takes spot instances back. Used on the event loop's thread."""

    def __init__(
        self, store: RecordStore, identity: Identity, events: InstanceEvents, clock: Clock, supervisor: Supervisor
    ) -> None:
        self._store = store
        self._identity = identity
        self._events = events
        self._clock = clock
        self._supervisor = supervisor

    def interrupt(self, said: Any) -> dict[str, Any] | None:
        """Give the notice; its words, or None when no such spot instance runs. Raises ValueError for a bad number."""
        seconds = said.get("seconds", _NOTICE_SECONDS) if isinstance(said, dict) else 0
        if not isinstance(seconds, int | float) or not 0 <= seconds <= _NOTICE_SECONDS:
            raise ValueError(f"`seconds` is a number from 0 to {_NOTICE_SECONDS:g}")
        found = self._running(said)
        if found is None:
            return None
        region, one = found
        end = self._clock.now() + datetime.timedelta(seconds=seconds)
        notice = {"action": "terminate", "time": iso(end)}
        self._identity.notice(one.id, notice)
        self._events.spot_warning(region, one)
        # Waited for on the cloud's clock, and not in the way of a turn of it.
        self._clock.work(self._take_back(region, one, seconds))
        return {"instance": one.id, "notice": notice}

    def rebalance(self, said: Any) -> dict[str, Any] | None:
        """Give a rebalance recommendation; its words, or None when no such spot instance runs."""
        found = self._running(said)
        if found is None:
            return None
        region, one = found
        moment = iso(self._clock.now())
        self._identity.rebalance(one.id, moment)
        self._events.rebalance(region, one.id)
        return {"instance": one.id, "noticeTime": moment}

    def _running(self, said: Any) -> tuple[str, Instance] | None:
        found = self._store.find(str(said.get("instance", ""))) if isinstance(said, dict) else None
        return found if found is not None and found[1].market == SPOT and found[1].state == RUNNING else None

    async def _take_back(self, region: str, one: Instance, seconds: float) -> None:
        await self._clock.sleep(seconds)
        await asyncio.sleep(0)
        if one.state != RUNNING:
            return
        with self._store.lock:
            one.state = SHUTTING_DOWN
            one.reason_code, one.reason = _TAKEN, f"{_TAKEN}: Spot instance termination"
            one.transition = f"Server.SpotInstanceTermination ({self._clock.now():%Y-%m-%d %H:%M:%S} GMT)"
            self._store.save(region)
        self._supervisor.end(one)
