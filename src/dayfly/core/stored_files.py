"""Which stored files are still named: bundles, agents, the functions' zips and large templates. Pure.

A deploy stores files before a version names them, and a run uses those of its version. So a young file stays, and so do the files of
every version that a run which is kept may have used.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import groupby

from dayfly.core import names
from dayfly.core.model import Deployed, Version

MIN_AGE = timedelta(days=2)
"""A file that was stored later than this may belong to a deploy that has not named it yet."""
STORED_AGAIN_AFTER = timedelta(days=1)
"""A deploy that finds a file which is older than this stores it again, so that it is young while the deploy needs it."""
GRACE = timedelta(days=2)
"""A run is kept by the day of its tick, and a retry of the last day may go on for a while."""


def versions_in_use(keys: Iterable[str], now: datetime, keep_s: int) -> tuple[str, ...]:
    """Return the keys of the versions that are in force, will be, or were while a run that is kept may have used them."""
    since = now - timedelta(seconds=keep_s) - GRACE
    wanted = sorted(filter(names.is_version_key, keys))
    found: list[str] = []
    for _, group in groupby(wanted, key=lambda key: key.split("/")[1]):
        versions = list(group)
        starts = sorted(set(map(names.effective_from_of, versions)))
        # Of two versions from the same second, both count as long as one may.
        end = dict(zip(starts, [*starts[1:], max(now, starts[-1])], strict=True))
        found += [key for key in versions if end[names.effective_from_of(key)] >= since]
    return tuple(found)


def named_by(version: Version) -> frozenset[str]:
    """Return the keys of the files that a version names."""
    match version:
        case Deployed(code=code, agent=agent):
            bundles = {code.bundle} if code else set()
            agents = {agent.key} if agent else set()
            return frozenset(bundles | agents)
    return frozenset()
