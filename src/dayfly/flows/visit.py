"""Visits a run: while its server simply runs, at most four calls show that there is nothing to do. Otherwise the run is walked.

A visit concludes nothing but "nothing to do", so it may read the bucket before it asks EC2. Every step is taken by a walk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dayfly.core import names
from dayfly.core.facts import NotShown, Server
from dayfly.core.records import Cancel, Closed, Elected, Sent
from dayfly.core.standing import Cancelling, standing
from dayfly.core.states import State
from dayfly.flows import read
from dayfly.flows.actor import Actor
from dayfly.flows.calls import FindServer, Flow, IsArmed, Now, ask
from dayfly.flows.gather import attempt_numbers
from dayfly.flows.walk import WalkResult, walk


@dataclass(frozen=True)
class OnServer:
    """The run is on its elected server, and there is nothing to do now."""

    server: Server


@dataclass(frozen=True)
class _Unsure:
    """The run may need a step."""


def visit(
    run: names.RunName, keys: tuple[str, ...], actor: Actor, shown: Mapping[str, Server]
) -> Flow[WalkResult | OnServer]:
    """Visit one run. `keys`: the listing of its records. `shown`: servers by id, as EC2 showed them a moment ago."""
    for number in attempt_numbers(run, keys)[-1:]:
        match (yield from _glance(run, number, keys, shown)):
            case OnServer() as on_server:
                return on_server
    return (yield from walk(run, actor))


def _glance(
    run: names.RunName, number: int, keys: tuple[str, ...], shown: Mapping[str, Server]
) -> Flow[OnServer | _Unsure]:
    listed = {kind for kind in (Elected, Sent, Closed, Cancel) if names.attempt_key(run, number, kind.file) in keys}
    if listed != {Elected, Sent}:
        return _Unsure()
    match (yield from read.election(run, number)):
        case Elected(server=name, deadline=deadline):
            server = yield from _find(name, shown)
        case _:
            return _Unsure()
    if isinstance(server, NotShown):
        return _Unsure()
    armed = yield from ask(IsArmed(name))
    now = yield from ask(Now())
    found = standing(server, deadline, armed=armed, sent=True, cancel=Cancelling.NONE, now=now)
    if found.state != State.RUNNING:
        return _Unsure()
    return OnServer(server)


def _find(name: str, shown: Mapping[str, Server]) -> Flow[Server | NotShown]:
    if name in shown:
        return shown[name]
    return (yield from ask(FindServer(name)))
