"""Fires schedules that are due: one loop over all schedules, exact to a fraction of a second.

Recurring times that passed while the cloud was down are skipped; AWS is never down, so it has no rule for them. A one-time
schedule whose time passed fires as soon as the cloud is up, within the age that its retry policy allows.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from localcloud.cloud.facts import Cloud
from localcloud.services.scheduler.delivery import Due, dead_letter, deliver, max_age
from localcloud.services.scheduler.expressions import At, BadExpression, Expression, parse
from localcloud.services.scheduler.store import Fields, Schedule, Schedules, place_of

_log = logging.getLogger("localcloud.scheduler")
_STEP = 0.2
"""Seconds between two turns of the loop."""
_LATE = timedelta(seconds=60)
"""A recurring time that is later than this is skipped."""
_TIMES = (
    "ScheduleExpression",
    "ScheduleExpressionTimezone",
    "StartDate",
    "EndDate",
    "CreationDate",
    "LastModificationDate",
)


@dataclass
class _Plan:
    """The time fields of a schedule when they were last read, its parsed expression, and when it is due next."""

    times: tuple[Any, ...]
    expression: Expression
    due: datetime | None

    @property
    def once(self) -> bool:
        return isinstance(self.expression, At)


class Engine:
    """The loop. It reads the schedules at each step, so it does not matter who changed them."""

    def __init__(self, cloud: Cloud, schedules: Schedules) -> None:
        self._cloud = cloud
        self._store = schedules
        self._began = cloud.clock.now()
        self._plans: dict[str, _Plan] = {}
        self._delivering: set[tuple[str, float]] = set()

    async def run(self) -> None:
        """Fire until the task is canceled."""
        while True:
            try:
                self.tick(self._cloud.clock.now())
            except Exception:
                _log.exception("firing the schedules failed; it is tried again")
            await asyncio.sleep(_STEP)

    def next_due(self) -> datetime | None:
        """Return when the next schedule is due, among those that `tick` has read; or None."""
        return min((plan.due for plan in self._plans.values() if plan.due is not None), default=None)

    def set_back(self) -> None:
        """Compute every due time again, since the clock was set back."""
        self._began = self._cloud.clock.now()
        self._plans.clear()

    def tick(self, now: datetime) -> None:
        """Start the delivery of everything that is due at `now`."""
        for arn in [arn for arn in self._plans if arn not in self._store.schedules]:
            del self._plans[arn]
        for arn, schedule in list(self._store.schedules.items()):
            if schedule.fields["State"] != "ENABLED" or schedule.done:
                self._plans.pop(arn, None)
                continue
            plan = self._plan(arn, schedule.fields)
            if plan is None:
                continue
            while plan.due is not None and plan.due <= now:
                self._handle_due(arn, schedule, plan, plan.due, now)
            if plan.due is None and not plan.once:
                self._complete(arn, schedule)

    def _handle_due(self, arn: str, schedule: Schedule, plan: _Plan, due: datetime, now: datetime) -> None:
        """Fire one due time, or skip it, and move the plan on to the next."""
        plan.due = _next(plan.expression, schedule.fields, due)
        if plan.once:
            self._fire(arn, schedule, due, once=True)
        elif not self._cloud.recurring:
            return
        elif now - due <= _LATE:
            self._fire(arn, schedule, due, once=False)
        elif plan.due is not None and plan.due < now - _LATE:
            # The machine slept: skip what passed, however many times that are.
            plan.due = _next(plan.expression, schedule.fields, now - _LATE)

    def _plan(self, arn: str, fields: Fields) -> _Plan | None:
        """Return the plan of a schedule, made again when its times changed; None when it is never due."""
        times = tuple(str(fields.get(name)) for name in _TIMES)
        known, now = self._plans.get(arn), self._cloud.clock.now()
        if known is not None and known.times == times:
            return known
        try:
            expression = expression_of(fields, now)
        except BadExpression as bad:
            _log.warning("%s is never due: %s", arn, bad)
            return None
        modified = moment(fields["LastModificationDate"])
        # If the schedule was created while the clock was further ahead than it is now, it counts from now.
        changed = now if modified > now else modified - timedelta(milliseconds=1)
        due: datetime | None
        if isinstance(expression, At):
            due = expression.moment
        else:
            due = _next(expression, fields, max(changed, self._began))
        plan = self._plans[arn] = _Plan(times, expression, due)
        return plan

    def _fire(self, arn: str, schedule: Schedule, due: datetime, once: bool) -> None:
        mark = (arn, schedule.fields["CreationDate"])
        if once and mark in self._delivering:
            return
        self._delivering.add(mark)
        place = place_of(arn)
        delivery = Due(dict(schedule.fields), place.account, place.region, due)
        self._cloud.clock.work(self._deliver(arn, delivery, once))

    async def _deliver(self, arn: str, due: Due, once: bool) -> None:
        created = due.schedule["CreationDate"]

        def exists() -> bool:
            found = self._store.schedules.get(arn)
            return found is not None and bool(found.fields["CreationDate"] == created)

        if self._cloud.clock.now() - due.time > timedelta(seconds=max_age(due.schedule)):
            failure = ("MaximumEventAgeExceeded", "The event is older than its retry policy allows.")
            await asyncio.to_thread(dead_letter, self._cloud, due, failure, 0, "MaximumEventAgeInSeconds")
        else:
            await deliver(self._cloud, due, exists)
        self._delivering.discard((arn, created))
        if once and exists():
            self._complete(arn, self._store.schedules[arn])

    def _complete(self, arn: str, schedule: Schedule) -> None:
        """End a schedule that will never be due again; it is deleted if it asks for that."""
        if schedule.fields["ActionAfterCompletion"] == "DELETE":
            self._store.remove(arn)
        else:
            schedule.done = True


def _next(expression: Expression, fields: Fields, after: datetime) -> datetime | None:
    """Return the next due time within StartDate and EndDate, which a one-time schedule ignores."""
    if isinstance(expression, At):
        return expression.after(after)
    start, end = fields.get("StartDate"), fields.get("EndDate")
    if start is not None:
        after = max(after, moment(start) - timedelta(microseconds=1))
    due = expression.after(after)
    if due is not None and end is not None and due > moment(end):
        return None
    return due


def moment(value: Any) -> datetime:
    """Return a date of a schedule, epoch seconds or ISO text, as an aware datetime."""
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    parsed = datetime.fromisoformat(str(value))
    return parsed.replace(tzinfo=parsed.tzinfo or UTC)


def expression_of(fields: Fields, now: datetime | None = None) -> Expression:
    """Return a schedule's expression in its time zone. Raises BadExpression, also for a zone that does not exist.

    A rate counts from the schedule's StartDate, else from its creation, but from `now` when that lies ahead.
    """
    name = fields.get("ScheduleExpressionTimezone") or "UTC"
    try:
        zone = ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise BadExpression(f"Invalid Timezone {name}.") from error
    anchor = moment(fields["CreationDate"])
    if now is not None:
        anchor = min(anchor, now)
    if fields.get("StartDate"):
        anchor = moment(fields["StartDate"])
    return parse(fields.get("ScheduleExpression", ""), zone, anchor)
