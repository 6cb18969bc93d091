"""Delete a project in one region (servers, schedules, stack, and the bucket unless the user keeps it), then look for what is left.

Its functions are stopped first, so that nothing new starts; then servers are terminated, and runs are closed if the results are
kept; the stack is last. Only things with the project's tag or name are listed.
"""

from __future__ import annotations

from dataclasses import dataclass

from dayfly.core.facts import Server
from dayfly.errors import Refused, SupplyError, UnfinishedError
from dayfly.flows.calls import BucketSize, FindStack, Flow, ListServers, Log, NoStack, Stack, TerminateServer, ask
from dayfly.project.deploy.bucket import bucket_exists, delete_bucket, measure_bucket
from dayfly.project.deploy.functions import functions_stopped, stop_functions
from dayfly.project.deploy.notification import remove_key
from dayfly.project.deploy.open_runs import close_open_runs, open_runs
from dayfly.project.deploy.schedules import job_schedules, remove_schedules
from dayfly.project.deploy.scope import Scope
from dayfly.project.deploy.versions import retire
from dayfly.project.stack.change import delete_stack
from dayfly.project.waiting import ask_until

GONE_WITHIN_S = 180
"""How long to wait until EC2 shows all servers as terminated."""
CLOSED_WITHIN_S = 30
"""How long to repeat the closing of runs after their servers are gone."""


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """Everything that a project has in a region now. `objects` and `bytes`: number and total size of the bucket's objects.

    `open_runs`: the runs that are not closed, or hold a slot. `stopped`: an earlier destroy stopped the functions and was cut off.
    """

    servers: tuple[Server, ...]
    schedules: int
    stack: Stack | NoStack
    has_bucket: bool
    objects: int
    bytes: int
    open_runs: tuple[str, ...] = ()
    stopped: bool = False

    @property
    def has_stack(self) -> bool:
        return isinstance(self.stack, Stack)

    @property
    def is_empty(self) -> bool:
        return not (self.servers or self.schedules or self.has_stack or self.has_bucket)

    def remains(self, *, keep: bool) -> tuple[str, ...]:
        """Return in words what is left and should not be. `keep`: the bucket should be left."""
        found = [server.id for server in self.servers]
        if self.schedules:
            found.append(f"{self.schedules} schedules")
        if self.has_stack:
            found.append("the stack")
        if self.has_bucket and not keep:
            found.append("the bucket")
        if keep:
            found += [f"open run {name}" for name in self.open_runs]
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Destroyed:
    """What is left after a destroy, and why, if AWS gave a reason."""

    left: Inventory
    why: str


def take_inventory(scope: Scope) -> Flow[Inventory]:
    """Return everything that the project has. Changes nothing. Raises FileError if another account owns the bucket's name."""
    stack = yield from ask(FindStack(scope.stack))
    measured = yield from measure_bucket(scope)
    size = measured or BucketSize(objects=0, bytes=0)
    return Inventory(
        servers=(yield from _live_servers()),
        schedules=len((yield from job_schedules())),
        stack=stack,
        has_bucket=measured is not None,
        objects=size.objects,
        bytes=size.bytes,
        open_runs=(yield from open_runs(scope)),
        stopped=(yield from functions_stopped(scope.project)),
    )


def destroy(scope: Scope, *, keep: bool) -> Flow[Destroyed]:
    """Delete everything and list what is left. `keep`: the bucket stays, with all results, and no run in it stays open."""
    yield from stop_functions(scope)
    yield from ask(Log("functions stopped", {}))
    if keep and (yield from bucket_exists(scope)):
        yield from retire(scope)
    removed = yield from remove_schedules()
    yield from ask(Log(f"schedules {removed}", {}))
    yield from _end_servers(scope)
    yield from _close_runs(scope, keep=keep)
    reasons = [(yield from _end_stack(scope)), (yield from remove_key(scope))]
    if keep:
        # A launch that was in progress may have opened a run after the others were closed.
        reasons.append((yield from _close_runs(scope, keep=keep)))
    elif (yield from bucket_exists(scope)):
        yield from delete_bucket(scope)
        yield from ask(Log("bucket", {}))
    why = "; ".join(reason for reason in reasons if reason)
    return Destroyed(left=(yield from take_inventory(scope)), why=why)


def _close_runs(scope: Scope, *, keep: bool) -> Flow[str]:
    """Close the open runs if the results are kept. Return why one is left, or an empty string."""
    if not keep:
        return ""
    left = yield from ask_until(
        lambda left: not left, lambda: close_open_runs(scope), every_s=scope.poll_s, within_s=CLOSED_WITHIN_S
    )
    return "; ".join(f"{name}: {why}" for name, why in left.items())


def _end_stack(scope: Scope) -> Flow[str]:
    """Delete the stack. Returns why it is left, or an empty string.

    A launch may have been in progress when the schedules were deleted. Without the stack none is permitted any more, so servers are
    terminated once more. If there was one, it may have blocked the deletion of the stack, which is then tried again.
    """
    why = ""
    for _ in range(2):
        stack = yield from ask(FindStack(scope.stack))
        if isinstance(stack, NoStack):
            return ""
        why = yield from _try_to_delete(stack, scope.poll_s)
        if not (yield from _end_servers(scope)):
            break
    return why


def _try_to_delete(stack: Stack, poll_s: float) -> Flow[str]:
    """Delete the stack. Returns why it is left, or an empty string. Does not raise, so that the rest is still deleted."""
    try:
        yield from delete_stack(stack, poll_s)
    except (Refused, SupplyError, UnfinishedError) as error:
        return error.message
    yield from ask(Log("stack", {}))
    return ""


def _live_servers() -> Flow[tuple[Server, ...]]:
    """Return the project's servers that are not terminated. A stopped one counts: its disk costs money."""
    servers = yield from ask(ListServers())
    return tuple(server for server in servers if not server.gone)


def _end_servers(scope: Scope) -> Flow[int]:
    """Terminate the project's servers, and wait until EC2 shows them as terminated or the time is up. Returns how many there were."""
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
