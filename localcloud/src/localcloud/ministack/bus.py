"""MiniStack's event bus (EventBridge): events that are put on it, its rules, and the targets that it invokes.

When a rule is due, and what a target may be, is decided in services.events.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from localcloud.ministack.requests import scope, service

Record = dict[str, Any]
RuleKey = tuple[str, str, str]
"""Account, region, and the name of a rule on its bus."""
Invoke = Callable[[Record, Record, Record, Any], None]
"""Invokes a target: its record, the event, the rule's record, and what MiniStack passes along."""


def put_event(account: str, region: str, entry: Record) -> None:
    """Put an event that an AWS service sends on the bus of that account and region; `entry` has the shape of PutEvents."""
    with scope(account, region):
        _bus()._put_events({"Entries": [entry]}, allow_aws_source=True)


def wrap_invoke(wrap: Callable[[Invoke], Invoke]) -> None:
    """Replace MiniStack's function that invokes a target by `wrap(that function)`."""
    bus = _bus()
    invoke: Invoke = bus._invoke_target

    changed = wrap(invoke)

    def wrapped(target: Record, event: Record, rule: Record, view: Any = None) -> None:
        changed(target, event, rule, view)

    bus._invoke_target = wrapped


def event_text(event: Record, view: Any) -> str:
    """Return an event as its targets receive it, as JSON text; `view` is what MiniStack passes along."""
    view = view or _bus()._pattern_event_view(event)
    return json.dumps(view.event_with_detail())


def replace_function_target(send: Callable[[str, str], None]) -> None:
    """Have events for a function sent by `send(ARN of the function, event as JSON text)`."""
    _bus()._dispatch_to_lambda = send


def use_clock(seconds: Callable[[], float]) -> None:
    """Let rules that fire on a schedule read the time, in seconds of the epoch, from `seconds`."""
    _bus()._now_ts = seconds


def scheduled_rules() -> dict[RuleKey, Record]:
    """Return MiniStack's records of the enabled rules with a schedule, of every account and region."""
    rules: dict[RuleKey, Record] = _bus()._rules.to_dict()
    return {
        key: rule for key, rule in rules.items() if rule.get("State") == "ENABLED" and rule.get("ScheduleExpression")
    }


def rule_exists(key: RuleKey) -> bool:
    """Return whether a rule, enabled or not, exists under that key."""
    account, region, name = key
    found: bool = _bus()._rules.contains_scoped(account, region, name)
    return found


def last_fired() -> dict[RuleKey, float]:
    """Return MiniStack's own record of when rules fired last, in seconds of the epoch; writing to it changes that."""
    found: dict[RuleKey, float] = _bus()._rule_last_fired
    return found


def rate_seconds(expression: str) -> float | None:
    """Return the interval of a rate expression; None for another expression."""
    found: float | None = _bus()._parse_rate_seconds(expression)
    return found


def next_cron(expression: str, after: datetime) -> datetime | None:
    """Return when a cron expression is due next after `after`; None for one that MiniStack cannot read."""
    bus = _bus()
    fields = bus._parse_cron_fields(expression)
    if fields is None:
        return None
    found: datetime | None = bus._cron_next_fire(fields, after)
    return found


def fire_due_rules() -> None:
    """Fire every rule that is due. Blocks until its targets are invoked."""
    _bus()._tick_scheduled_rules()


def _bus() -> Any:
    return service("eventbridge")
