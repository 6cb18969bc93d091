"""How long dayfly waits before it acts: values for production, and others for tests. Pure.

What only one job can change, such as its time_limit, is in core/model.py; what the agent waits for is in remote/boot and remote/agent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import timedelta


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """Intervals of one deployment. Production uses NORMAL; tests shorten some.

    `kill_after`: the kill schedule fires this long after the deadline, so that normally agent or switch ends the server first.
    `launch_for`: how long after the intent EC2 may be asked; after that the attempt has no server.
    `absent_after`: EC2 shows a terminated server for about an hour; one that it does not show before that may still run.
    `between_sightings`: two sightings this far apart come from two sweeps, which run every 5 minutes.
    `sighting_expires`: after this long, EC2 has shown the server again, or no sweep ran.
    `without_intent`: grace period for a server that has no intent record; no launch takes longer.
    `after_cancel`: a cancelled job has this long to end and store what it wrote; then its server is ended.
    `tell_again_after`: so long a process may take to send a message; what no address confirmed by then is sent again.
    `delivery`: a tick has this long to be delivered, and a delivery in progress this long beyond start_within.
    """

    kill_after: timedelta = timedelta(minutes=1)
    launch_for: timedelta = timedelta(minutes=5)
    absent_after: timedelta = timedelta(hours=1)
    between_sightings: timedelta = timedelta(minutes=4)
    sighting_expires: timedelta = timedelta(minutes=15)
    without_intent: timedelta = timedelta(minutes=15)
    after_cancel: timedelta = timedelta(minutes=5)
    delivery: timedelta = timedelta(minutes=2)
    tell_again_after: timedelta = timedelta(minutes=4)


NORMAL = Intervals()


def from_json(text: str) -> Intervals:
    """Return the normal intervals, changed by a JSON object of seconds by name. Raises ValueError."""
    content = json.loads(text or "{}")
    known = {field.name for field in fields(Intervals)}
    if not isinstance(content, dict) or not content.keys() <= known:
        raise ValueError(f"not intervals: {text!r}")
    return Intervals(**{name: timedelta(seconds=seconds) for name, seconds in content.items()})
