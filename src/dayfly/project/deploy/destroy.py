"""Ends a project in one region and looks again: servers, schedules, stack, and the bucket unless the user keeps it.

Schedules go first, so that nothing new starts; then servers; the stack with its sweeper last. Only what bears the project's
tag or name is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

from dayfly.core.facts import Server
from dayfly.errors import SupplyError, UnfinishedError
from dayfly.flows.calls import FindStack, Flow, ListServers, Log, MeasureBucket, Stack, TerminateServer, ask
from dayfly.project.deploy.bucket import bucket_exists, delete_bucket
from dayfly.project.deploy.schedules import job_schedules, remove_schedules
from dayfly.project.deploy.scope import Scope
from dayfly.project.deploy.versions import retire
from dayfly.project.stack.change import delete_stack
from dayfly.project.waiting import ask_until

GONE_WITHIN_S = 180
"""How long to wait until EC2 shows all servers as terminated."""


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """All that a project has in a region now. `bytes` and `objects` are the bucket's."""

    servers: tuple[Server, ...]
    schedules: int
    stack: Stack | None
    has_bucket: bool
    objects: int
    bytes: int

    @property
    def is_empty(self) -> bool:
        return not (self.servers or self.schedules or self.stack or self.has_bucket)

    def remains(self, *, keep: bool) -> tuple[str, ...]:
        """What is left against the user's will, in words. `keep`: the bucket may stay."""
        found = [server.id for server in self.servers]
        if self.schedules:
            found.append(f"{self.schedules} schedules")
        if self.stack is not None:
            found.append("the stack")
        if self.has_bucket and not keep:
            found.append("the bucket")
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Destroyed:
    """What a second look found after the end, and why something is left, as far as AWS said."""

    left: Inventory
    why: str


def take_inventory(scope: Scope) -> Flow[Inventory]:
    """Looks for everything of the project. Changes nothing. Raises FileError when another account has the bucket's name."""
    stack = yield from ask(FindStack(scope.stack))
    has_bucket = yield from bucket_exists(scope)
    objects, size = 0, 0
    if has_bucket:
        measured = yield from ask(MeasureBucket())
        objects, size = measured.objects, measured.bytes
    return Inventory(
        servers=(yield from _live_servers()),
        schedules=len((yield from job_schedules())),
        stack=stack,
        has_bucket=has_bucket,
        objects=objects,
        bytes=size,
    )


def destroy(scope: Scope, *, keep: bool) -> Flow[Destroyed]:
    """Ends everything and looks again. `keep`: the bucket stays, with all results."""
    if keep and (yield from bucket_exists(scope)):
        yield from retire(scope)
    removed = yield from remove_schedules()
    yield from ask(Log(f"schedules {removed}", {}))
    yield from _end_servers(scope)
    why = yield from _end_stack(scope)
    if not keep and (yield from bucket_exists(scope)):
        yield from delete_bucket(scope)
        yield from ask(Log("bucket", {}))
    return Destroyed(left=(yield from take_inventory(scope)), why=why)


def _end_stack(scope: Scope) -> Flow[str]:
    """Deletes the stack. Returns why it is left, or an empty string.

    A launch may have been under way when the schedules went; with the stack goes the right to launch. So servers are ended once
    more, and if there was one, it may have been what kept the stack.
    """
    why = ""
    for _ in range(2):
        stack = yield from ask(FindStack(scope.stack))
        if stack is None:
            return ""
        why = yield from _try_to_delete(stack, scope.poll_s)
        if not (yield from _end_servers(scope)):
            break
    return why


def _try_to_delete(stack: Stack, poll_s: float) -> Flow[str]:
    """Deletes the stack. Returns why it is left, or an empty string: what else costs money must go all the same."""
    try:
        yield from delete_stack(stack, poll_s)
    except (SupplyError, UnfinishedError) as error:
        return error.message
    yield from ask(Log("stack", {}))
    return ""


def _live_servers() -> Flow[tuple[Server, ...]]:
    """The project's servers that still exist. A stopped one counts: its disk costs money."""
    servers = yield from ask(ListServers())
    return tuple(server for server in servers if not server.gone)


def _end_servers(scope: Scope) -> Flow[int]:
    """Terminates all servers of the project and waits until EC2 shows them as gone, or the time is up. Returns how many."""
    ended: set[str] = set()

    def end() -> Flow[tuple[Server, ...]]:
        live = yield from _live_servers()
        for server in live:
            if server.id not in ended:
                yield from ask(TerminateServer(server.id))
                ended.add(server.id)
        return live

    yield from ask_until(lambda live: not live, end, every_s=scope.poll_s, within_s=GONE_WITHIN_S)
    if ended:
        yield from ask(Log(f"servers ended {len(ended)}", {}))
    return len(ended)
