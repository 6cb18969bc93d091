"""Removes the stored files that nothing names any more. core/stored_files.py says which versions and ages count.

The sweeper runs it once a day, after the old runs are removed. If a record that might name a file cannot be read, nothing is removed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from dayfly.core import names, stored_files
from dayfly.core.facts import Unreadable
from dayfly.core.model import Deployed, Removed
from dayfly.core.records import Intent, Latest
from dayfly.flows import read
from dayfly.flows.calls import DeleteMany, Flow, List, ListOlder, ask

MOST_VERSIONS = 2_000
"""How many versions one sweep reads. A project with more in use keeps its files."""


class _Unknown(Exception):
    """What files are named cannot be said."""


def remove_unused_files(now: datetime, keep_s: int, own: tuple[str, ...], running: Iterable[str]) -> Flow[int]:
    """Remove files, and return how many. `own`: the functions' zips; if they are unknown, none is removed. `running`: open runs."""
    prefixes = (names.BUNDLES, names.AGENTS, *([names.FUNCTIONS] if own else []))
    before = now - stored_files.MIN_AGE
    if not set((yield from _older(prefixes, before))) - set(own):
        return 0
    try:
        named = yield from _named(now, keep_s, running)
    except _Unknown:
        return 0
    # Looked at again: a deploy may have stored one of them meanwhile.
    unused = tuple(sorted(set((yield from _older(prefixes, before))) - named - set(own)))
    if unused:
        yield from ask(DeleteMany(unused))
    return len(unused)


def _older(prefixes: tuple[str, ...], before: datetime) -> Flow[list[str]]:
    found: list[str] = []
    for prefix in prefixes:
        found += yield from ask(ListOlder(prefix, before))
    return found


def _named(now: datetime, keep_s: int, running: Iterable[str]) -> Flow[set[str]]:
    """Return the keys of the files that versions name. Raises _Unknown."""
    keys = yield from ask(List(names.VERSIONS))
    versions = set(stored_files.versions_in_use(keys, now, keep_s))
    jobs = {key.split("/")[1] for key in keys if names.is_version_key(key)}
    for run in names.run_names([*running, *(yield from _latest_runs(jobs))]):
        versions |= yield from _versions_of(run)
    if len(versions) > MOST_VERSIONS:
        raise _Unknown
    named: set[str] = set()
    for key in sorted(versions):
        match (yield from read.version(key)):
            case Deployed() | Removed() as version:
                named |= stored_files.named_by(version)
            case Unreadable():
                raise _Unknown
    return named


def _latest_runs(jobs: Iterable[str]) -> Flow[list[str]]:
    """Return the runs that `latest` names. They are kept for ever."""
    found: list[str] = []
    for job in sorted(jobs):
        match (yield from read.record(Latest, names.latest_key(job))):
            case Latest(run=run):
                found.append(run)
            case Unreadable():
                raise _Unknown
    return found


def _versions_of(run: names.RunName) -> Flow[set[str]]:
    """Return the versions that the attempts of a run were launched with."""
    found: set[str] = set()
    for key in (yield from ask(List(names.run_prefix(run)))):
        if key.endswith(f"/{Intent.file}.json"):
            match (yield from read.record(Intent, key)):
                case Intent(version=version):
                    found.add(version)
                case Unreadable():
                    raise _Unknown
    return found
