"""The sweeper's flow for a state-change event of EC2: close the run of a server that ended, without waiting for the next sweep.

The event is only a hint: EC2 is asked whether the server is this project's and whether it is gone, and the walk decides as in a sweep.
A lost, late, repeated or false event does no harm, because the next sweep does the same. No heartbeat is written here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dayfly.core import names
from dayfly.core.facts import BadRunTags, NotShown, RunTags, Server
from dayfly.core.sweeper_event import ServerState, StateChange
from dayfly.flows.actor import Actor
from dayfly.flows.calls import FindServer, Flow, Sleep, ask
from dayfly.flows.gather import gather
from dayfly.flows.sweep import SweepResult, end_by_tags
from dayfly.flows.walk import walk_from

LOOKS = 3
BETWEEN_LOOKS_S = 2
"""EC2's answers may be some seconds behind its events. After this many looks the run is left to the next sweep."""


@dataclass(frozen=True)
class Closing:
    """What was done for an event: the run that was walked, and why the server was ended; empty if there was none."""

    run: str = ""
    ended: str = ""


def close_after(event: StateChange, actor: Actor) -> Flow[Closing]:
    """End the server if it must end, and walk the run that its tags name. Do nothing for a server of another project."""
    match (yield from _find(event, actor)):
        case Server() as server:
            return (yield from _close(server, actor))
        case NotShown():
            return Closing()


def _close(server: Server, actor: Actor) -> Flow[Closing]:
    result = SweepResult()
    yield from end_by_tags(server, actor, result)
    ended = result.ended.get(server.id, "")
    match server.run_tags:
        case RunTags(run=run):
            facts = yield from gather(run, (server,))
            yield from walk_from(facts, actor, (server,))
            return Closing(run=str(run), ended=ended)
        case BadRunTags():
            return Closing(ended=ended)


def _find(event: StateChange, actor: Actor) -> Flow[Server | NotShown]:
    """Return the server, with the time of its end. If it is another project's, one request shows that."""
    server = yield from _own(event, actor)
    if event.state != ServerState.TERMINATED or isinstance(server, NotShown):
        return server
    for _ in range(LOOKS - 1):
        if server.gone:
            break
        yield from ask(Sleep(BETWEEN_LOOKS_S))
        server = yield from _own(event, actor)
    match server:
        case Server(gone=True):
            return replace(server, event_at=event.at)
    return server


def _own(event: StateChange, actor: Actor) -> Flow[Server | NotShown]:
    match (yield from ask(FindServer(event.server))):
        case Server(tags=tags) as found if tags.get(names.TAG_PROJECT) == actor.project:
            return found
    return NotShown()
