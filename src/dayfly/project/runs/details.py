"""Look up one run for `show`: its facts, its receipt, and what ends its server. Flows that only read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dayfly.core import names
from dayfly.core.facts import Attempt, Facts
from dayfly.core.records import Heartbeat, Latest
from dayfly.flows.calls import Flow, Get, Now, ReadConsole, ask
from dayfly.flows.gather import gather, record


@dataclass(frozen=True, kw_only=True)
class RunDetails:
    """All that `show` needs of a run. `at`: when it was looked up.

    `heartbeat`, and `console` (dayfly's lines on the server's console), are looked up only for a run with a live server.
    """

    facts: Facts
    at: datetime
    receipt: Mapping[str, Any] | None = None
    latest: Latest | None = None
    heartbeat: Heartbeat | None = None
    console: tuple[str, ...] = ()


def look_up(run: names.RunName) -> Flow[RunDetails]:
    """Return what is known of a run now."""
    facts = yield from gather(run)
    receipt = yield from _receipt(facts)
    latest = yield from record(Latest, names.latest_key(run.job))
    heartbeat: Heartbeat | None = None
    console: tuple[str, ...] = ()
    attempt = facts.attempt
    if attempt is not None and attempt.closed is None and attempt.server is not None:
        heartbeat = yield from record(Heartbeat, names.HEARTBEAT)
        console = yield from ask(ReadConsole(attempt.server.id))
    now = yield from ask(Now())
    return RunDetails(facts=facts, at=now, receipt=receipt, latest=latest, heartbeat=heartbeat, console=console)


def _receipt(facts: Facts) -> Flow[dict[str, Any] | None]:
    attempt = facts.attempt
    if attempt is None or not attempt.receipt:
        return None
    stored = yield from ask(Get(names.attempt_key(facts.run, attempt.number, "receipt")))
    if stored is None:
        return None
    receipt: dict[str, Any] = json.loads(stored.body)
    return receipt


def out_prefix(run: names.RunName, attempt: Attempt) -> str | None:
    """Return the prefix under which the attempt's server stores its log and outputs; None if there is no server."""
    elected = attempt.elected
    if elected is None:
        return None
    return names.out_prefix(run, attempt.number, attempt.intent.role_id, elected.server)
