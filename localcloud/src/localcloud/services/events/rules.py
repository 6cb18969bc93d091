"""Rules of the event bus that fire on a schedule, by the cloud's clock.

The rules, their expressions and their targets are MiniStack's. Its own ticker reads the machine's clock every ten seconds
and is not started.
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from localcloud.cloud.facts import Cloud
from localcloud.ministack import bus
from localcloud.ministack.bus import RuleKey

_log = logging.getLogger("localcloud.scheduler")
_STEP = 0.5


class Rules:
    """The loop over the scheduled rules of every account and region. A rule's event has the time at which it fires."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        bus.use_clock(lambda: cloud.clock.now().timestamp())
        self._fired = bus.last_fired()
        self._firing = False
        self._skip_missed()

    async def run(self) -> None:
        """Fire until the task is canceled."""
        while True:
            try:
                self.tick(self._cloud.clock.now())
            except Exception:
                _log.exception("the scheduled rules of the event bus failed; they are tried again")
            await asyncio.sleep(_STEP)

    def tick(self, now: datetime) -> None:
        """Start firing every rule that is due at `now`; a rule that is seen for the first time only begins to count."""
        due = self.next_due()
        if due is None or due > now or self._firing:
            return
        self._firing = True
        self._cloud.clock.work(self._fire())

    def next_due(self) -> datetime | None:
        """Return when the next rule is due; rules that were not seen before count from now."""
        if not self._cloud.recurring:
            return None
        for key in [key for key in list(self._fired) if not bus.rule_exists(key)]:
            # A new rule of the same name counts from its own creation.
            self._fired.pop(key, None)
        times = (self._due(key, rule) for key, rule in bus.scheduled_rules().items())
        return min((due for due in times if due is not None), default=None)

    def set_back(self) -> None:
        """Forget firings at times that are in the future again, because the clock was set back."""
        now = self._cloud.clock.now().timestamp()
        for key, fired in list(self._fired.items()):
            self._fired[key] = min(fired, now)

    def _due(self, key: RuleKey, rule: dict[str, Any]) -> datetime | None:
        now = self._cloud.clock.now().timestamp()
        interval = bus.rate_seconds(rule["ScheduleExpression"])
        if interval is not None:
            # A rule that a stack created has no CreationTime: it counts from when it is first seen.
            created = min(rule.get("CreationTime", now), now)
            return datetime.fromtimestamp(self._fired.setdefault(key, created) + interval, UTC)
        return bus.next_cron(rule["ScheduleExpression"], datetime.fromtimestamp(self._fired.setdefault(key, now), UTC))

    async def _fire(self) -> None:
        try:
            await asyncio.to_thread(bus.fire_due_rules)
        except Exception:
            _log.exception("firing the scheduled rules of the event bus failed")
        finally:
            self._firing = False

    def _skip_missed(self) -> None:
        """Keep the rhythm of each rate, and skip the times that were due while the cloud was down."""
        now = self._cloud.clock.now()
        for key, rule in bus.scheduled_rules().items():
            interval, created = bus.rate_seconds(rule["ScheduleExpression"]), rule.get("CreationTime")
            if interval and isinstance(created, int | float):
                step, begun = timedelta(seconds=interval), datetime.fromtimestamp(created, UTC)
                self._fired[key] = (begun + (now - begun) // step * step).timestamp()
