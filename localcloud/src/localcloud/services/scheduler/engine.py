"""Firing what is due: one loop over MiniStack's store of schedules, exact to a fraction of a second.

Recurring times that passed while the cloud was down are not made up for (AWS has no such gap to fill); a one-time
schedule that passed meanwhile fires as soon as the cloud is up, within its retry policy's age.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from localcloud.cloud.facts import Cloud
from localcloud.ministack import seams
from localcloud.services.scheduler.delivery import Due, dead_letter, deliver
from localcloud.services.scheduler.expressions import At, BadExpression, Expression, parse

_log = logging.getLogger("localcloud.scheduler")
_STEP = 0.2
_LATE = timedelta(seconds=60)
_DONE = "_Done"

Key = tuple[str, str, str]


@dataclass
class _Plan:
    """A schedule as last seen, and when it is due next."""

    seen: tuple[Any, ...]
    expression: Expression
    due: datetime | None


class Engine:
    """The loop. It reads the store itself, so it does not matter who wrote a schedule."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._store: dict[Key, dict[str, Any]] = seams.module("scheduler")._schedules._data
        self._began = cloud.clock.now()
        self._plans: dict[Key, _Plan] = {}
        self._busy: set[tuple[Key, float]] = set()

    async def run(self) -> None:
        """Fire until cancelled."""
        while True:
            try:
                self.tick(self._cloud.clock.now())
            except Exception:
                _log.exception("the scheduler stumbled")
            await asyncio.sleep(_STEP)

    def next_due(self) -> datetime | None:
        """When a schedule is due next, as far as it was seen."""
        return min((plan.due for plan in self._plans.values() if plan.due is not None), default=None)

    def turned_back(self) -> None:
        """The clock went back: every due time is worked out anew."""
        self._began = self._cloud.clock.now()
        self._plans.clear()

    def tick(self, now: datetime) -> None:
        """Start the delivery of everything that is due at `now`."""
        for key in [key for key in self._plans if key not in self._store]:
            del self._plans[key]
        for key, record in list(self._store.items()):
            if record.get("State", "ENABLED") != "ENABLED" or record.get(_DONE):
                self._plans.pop(key, None)
                continue
            plan = self._plan(key, record)
            while plan is not None and plan.due is not None and plan.due <= now:
                due, plan.due = plan.due, self._next(plan.expression, record, plan.due)
                if not isinstance(plan.expression, At) and not self._cloud.recurring:
                    continue
                if isinstance(plan.expression, At) or now - due <= _LATE:
                    self._fire(key, record, due, once=isinstance(plan.expression, At))
                elif plan.due is not None and plan.due < now - _LATE:
                    plan.due = self._next(plan.expression, record, now - _LATE)
            if plan is not None and plan.due is None and not isinstance(plan.expression, At):
                self._complete(key, record)

    def _plan(self, key: Key, record: dict[str, Any]) -> _Plan | None:
        seen = tuple(
            str(record.get(name))
            for name in (
                "ScheduleExpression",
                "ScheduleExpressionTimezone",
                "StartDate",
                "EndDate",
                "CreationDate",
                "LastModificationDate",
            )
        )
        known, now = self._plans.get(key), self._cloud.clock.now()
        if known is not None and known.seen == seen:
            return known
        try:
            expression = expression_of(record, now)
        except BadExpression as bad:
            _log.warning("%s is never due: %s", record["Arn"], bad)
            return None
        modified = moment(record["LastModificationDate"])
        # Made while the clock was turned on further than it is now: as if it were made now.
        changed = now if modified > now else modified - timedelta(milliseconds=1)
        if isinstance(expression, At):
            due: datetime | None = expression.moment
        else:
            due = self._next(expression, record, max(changed, self._began))
        plan = self._plans[key] = _Plan(seen, expression, due)
        return plan

    def _next(self, expression: Expression, record: dict[str, Any], after: datetime) -> datetime | None:
        """The next due time within StartDate and EndDate, which a one-time schedule ignores."""
        if isinstance(expression, At):
            return expression.after(after)
        start, end = record.get("StartDate"), record.get("EndDate")
        if start is not None:
            after = max(after, moment(start) - timedelta(microseconds=1))
        due = expression.after(after)
        return None if due is None or (end is not None and due > moment(end)) else due

    def _fire(self, key: Key, record: dict[str, Any], due: datetime, once: bool) -> None:
        mark = (key, record["CreationDate"])
        if once and mark in self._busy:
            return
        self._busy.add(mark)
        account, region, _ = key
        self._cloud.clock.work(self._deliver(key, record, Due(dict(record), account, region, due), once))

    async def _deliver(self, key: Key, record: dict[str, Any], due: Due, once: bool) -> None:
        policy = record["Target"].get("RetryPolicy") or {}
        age = timedelta(seconds=float(policy.get("MaximumEventAgeInSeconds", 86400)))
        created = record["CreationDate"]

        def still_there() -> bool:
            return bool(self._store.get(key, {}).get("CreationDate") == created)

        if self._cloud.clock.now() - due.time > age:
            failure = ("MaximumEventAgeExceeded", "The event is older than its retry policy allows.")
            await asyncio.to_thread(dead_letter, self._cloud, due, failure, 0, "MaximumEventAgeInSeconds")
        else:
            await deliver(self._cloud, due, still_there)
        self._busy.discard((key, created))
        if once and still_there():
            self._complete(key, self._store[key])

    def _complete(self, key: Key, record: dict[str, Any]) -> None:
        """A schedule that will never be due again: deleted if it asked for that."""
        if record.get("ActionAfterCompletion") == "DELETE":
            self._store.pop(key, None)
            seams.within(key[0], key[1], lambda: seams.module("scheduler")._tags.pop(record["Arn"], None))
        else:
            record[_DONE] = True


def moment(value: Any) -> datetime:
    """A date of the store, epoch seconds or ISO text, as an aware datetime."""
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    parsed = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def expression_of(record: dict[str, Any], now: datetime | None = None) -> Expression:
    """A record's expression in its zone; a rate counts from its creation, but from `now` if that is to come yet.

    Raises BadExpression, also for a zone that does not exist.
    """
    name = record.get("ScheduleExpressionTimezone") or "UTC"
    try:
        zone = ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise BadExpression(f"Invalid Timezone {name}.") from error
    created = moment(record["CreationDate"])
    anchor = moment(record["StartDate"]) if record.get("StartDate") else min(created, now or created)
    return parse(record.get("ScheduleExpression", ""), zone, anchor)
