"""Rules of the event bus that fire by the clock: MiniStack's rules, reader of expressions and targets; our clock.

MiniStack's own ticker looks every ten seconds at the machine's clock; it is not started.
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from localcloud.cloud.facts import Cloud
from localcloud.ministack import seams

_log = logging.getLogger("localcloud.scheduler")
_STEP = 0.5

Key = tuple[str, str, str]


class Rules:
    """The loop over the scheduled rules of every account and region. A rule that fires looks at the time of firing."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._bus = seams.module("eventbridge")
        seams.put(self._bus, "_now_ts", lambda: cloud.clock.now().timestamp())
        self._fired: dict[Key, float] = self._bus._rule_last_fired
        self._under_way = False
        self._forgive()

    async def run(self) -> None:
        """Fire until cancelled."""
        while True:
            try:
                self.tick(self._cloud.clock.now())
            except Exception:
                _log.exception("the rules of the event bus stumbled")
            await asyncio.sleep(_STEP)

    def tick(self, now: datetime) -> None:
        """Start firing every rule that is due at `now`; a rule seen for the first time only begins to count."""
        due = self.next_due()
        if due is None or due > now or self._under_way or not self._cloud.recurring:
            return
        self._under_way = True
        self._cloud.clock.work(self._fire())

    def next_due(self) -> datetime | None:
        """When the next rule is due; rules that were not seen before count from now."""
        if not self._cloud.recurring:
            return None
        for key in [key for key in list(self._fired) if key not in self._bus._rules._data]:
            # Made anew under its name, a rule counts anew.
            self._fired.pop(key, None)
        return min((due for key, rule in self._rules() if (due := self._due(key, rule)) is not None), default=None)

    def turned_back(self) -> None:
        """The clock went back: nothing was fired in what is now to come."""
        now = self._cloud.clock.now().timestamp()
        for key, fired in list(self._fired.items()):
            self._fired[key] = min(fired, now)

    def _rules(self) -> list[tuple[Key, dict[str, Any]]]:
        return [
            (key, rule)
            for key, rule in list(self._bus._rules._data.items())
            if rule.get("State") == "ENABLED" and rule.get("ScheduleExpression")
        ]

    def _due(self, key: Key, rule: dict[str, Any]) -> datetime | None:
        now = self._cloud.clock.now().timestamp()
        interval = self._bus._parse_rate_seconds(rule["ScheduleExpression"])
        if interval is not None:
            # A rule that a stack made has no CreationTime: it counts from when it is first seen.
            made = min(rule.get("CreationTime", now), now)
            return datetime.fromtimestamp(self._fired.setdefault(key, made) + interval, UTC)
        fields = self._bus._parse_cron_fields(rule["ScheduleExpression"])
        if fields is None:
            return None
        found: datetime | None = self._bus._cron_next_fire(
            fields, datetime.fromtimestamp(self._fired.setdefault(key, now), UTC)
        )
        return found

    async def _fire(self) -> None:
        try:
            await asyncio.to_thread(self._bus._tick_scheduled_rules)
        except Exception:
            _log.exception("the rules of the event bus stumbled")
        finally:
            self._under_way = False

    def _forgive(self) -> None:
        """What was due while the cloud was down is not made up for: a rate goes on in its rhythm."""
        now = self._cloud.clock.now()
        for key, rule in self._rules():
            interval = self._bus._parse_rate_seconds(rule["ScheduleExpression"])
            made = rule.get("CreationTime")
            if interval and isinstance(made, int | float):
                step = timedelta(seconds=interval)
                begun = datetime.fromtimestamp(made, UTC)
                self._fired[key] = (begun + (now - begun) // step * step).timestamp()
