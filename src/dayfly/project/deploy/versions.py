"""Read and write the versions of jobs in the bucket: those deployed now, those of a deploy, and the last ones of a destroy."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from dayfly.core import names
from dayfly.core.model import Deployed, Removed, Version
from dayfly.core.versions import write_version
from dayfly.errors import Unclear, Vanished
from dayfly.flows import read
from dayfly.flows.calls import Flow, List, Now, PutNew, ask
from dayfly.project.deploy import plan
from dayfly.project.deploy.bucket import bucket_exists
from dayfly.project.deploy.scope import Scope


def deployed(scope: Scope) -> Flow[dict[str, Version]]:
    """Return the newest version of every job in the bucket, by name; nothing if there is no bucket."""
    if not (yield from bucket_exists(scope)):
        return {}
    found: dict[str, Version] = {}
    for folder in (yield from ask(List(names.VERSIONS, folders=True))):
        keys = [key for key in (yield from ask(List(folder))) if names.is_version_key(key)]
        if not keys:  # only stray objects, or another destroy deletes them now
            continue
        match (yield from read.version(max(keys, key=names.effective_from_of))):
            case Deployed() | Removed() as version:
                found[version.name] = version
    return found


def paused(scope: Scope) -> Flow[tuple[str, ...]]:
    """Return the jobs that are paused; none if there is no bucket."""
    if not (yield from bucket_exists(scope)):
        return ()
    keys = yield from ask(List(names.PAUSED))
    return tuple(sorted(key.removeprefix(names.PAUSED) for key in keys))


def write_changes(changes: tuple[plan.JobChange, ...], since: datetime, by: str) -> Flow[None]:
    """Write a version for each job that changes, in effect from `since` on. Raises Unclear if another deploy wrote it first."""
    for change in changes:
        version = plan.changed_version(change, since, by)
        if version is not None and not (yield from ask(PutNew(version.key, write_version(version)))):
            raise Unclear(f"another deploy of {change.name} ran at the same moment", hint="dayfly deploy")


def retire(scope: Scope) -> Flow[None]:
    """Record for every job that it is no longer deployed, so that its later ticks do not count as missed."""
    with suppress(Vanished):  # another destroy deleted the bucket
        yield from _retire(scope)


def _retire(scope: Scope) -> Flow[None]:
    existing = yield from deployed(scope)
    since = plan.effective_from((yield from ask(Now())), existing)
    for version in existing.values():
        if isinstance(version, Deployed):
            removed = plan.removed(version.name, since, scope.who)
            yield from ask(PutNew(removed.key, write_version(removed)))
