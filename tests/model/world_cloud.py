"""The cloud of a random world: its servers have lives of their own, EC2 is eventually consistent, and answers are lost.

What a server will do is chosen at its launch, by chance. What flows do is in world.py, what must hold in invariants.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from dayfly.core import names
from dayfly.core.facts import NotShown, Server
from dayfly.core.record_json import encode
from dayfly.core.records import Ended, FleetError
from dayfly.core.sweeper_event import ServerState, StateChange
from dayfly.errors import Refused, Unclear
from dayfly.flows import calls
from model.cloud import PROJECT, ROLE, ModelCloud

FULL = (FleetError(code="InsufficientInstanceCapacity", message=""),)
LOCAL = (calls.Now, calls.Log, calls.Sleep, calls.ShowBytes)
"""Calls that do not leave the process, so their answer is never lost."""
MARKETS, TYPES, SUBNETS = ("spot", "on-demand"), ("c8g.large", "c7g.large"), ("subnet-1", "subnet-2")
NO_GO_WITHIN = timedelta(minutes=10)
LISTED_WITHIN_S = 300
CALL_TAKES = timedelta(milliseconds=5)
SHOWN_AFTER_END = timedelta(hours=1)
BY_ITSELF, BY_API = "Client.InstanceInitiatedShutdown", "Client.UserInitiatedShutdown"

FATES = ("succeed",) * 6 + ("fail",) * 3 + ("no output", "time out", "hang", "hang", "stop", "end from outside")
LOST_TAGS = (names.TAG_PROJECT, names.TAG_RUN, names.TAG_DEADLINE)


@dataclass
class Life:
    """What becomes of a server, whatever its tags are now."""

    run: names.RunName
    attempt: int
    deadline: datetime
    fate: str
    switch: bool
    """Whether its own switch works: it powers off at its deadline, and after 10 minutes without go.json."""
    hidden_until: datetime
    stopped: bool = False
    ended_at: datetime | None = None
    outcome: str = ""
    """What the agent stored in ended.json; empty while it stored none."""


@dataclass
class WorldCloud(ModelCloud):
    """A model cloud whose servers, losses and delays come from `chance`."""

    chance: Random = field(default_factory=Random)
    losing: float = 0
    lives: dict[str, Life] = field(default_factory=dict)
    answers_lost: int = 0
    refused_tokens: set[str] = field(default_factory=set)
    events: list[StateChange] = field(default_factory=list)
    """Those that EC2 has sent and nobody has delivered yet."""
    check: Callable[[calls.Call[Any], list[Any]], object] = lambda call, changes: None  # noqa: ARG005

    # --- answers -------------------------------------------------------------------------------------------------------

    def answer(self, call: calls.Call[Any]) -> Any:
        self.calls_answered += 1
        self.now += CALL_TAKES
        lost = ""
        if not isinstance(call, LOCAL) and self.chance.random() < self.losing:
            lost = self.chance.choice(["before", "after"])
            self.answers_lost += 1
        if lost == "before":
            raise Unclear("model: not done, answer lost")
        result = self.take_effect(call)
        if lost == "after":
            raise Unclear("model: done, answer lost")
        return result

    def take_effect(self, call: calls.Call[Any]) -> Any:
        keys = _written(call)
        before = {key: self.objects.get(key) for key in keys}
        try:
            return super().take_effect(call)
        finally:
            after = [(key, old, self.objects.get(key)) for key, old in before.items()]
            self.check(call, [change for change in after if change[1] != change[2]])

    # --- EC2 -----------------------------------------------------------------------------------------------------------

    def create_fleet(self, call: calls.CreateFleet) -> Any:
        answer = super().create_fleet(call)
        _, ids, _ = self.fleets[call.request["ClientToken"]]
        if not ids:
            self.refused_tokens.add(call.request["ClientToken"])
        return answer

    def _launch(self, request: Mapping[str, Any], market: str, kind: str) -> str:
        name = super()._launch(request, market, kind)
        server = self.servers[name]
        delay = 0
        if self.chance.random() < 0.2:
            delay = self.chance.randint(1, LISTED_WITHIN_S)
        assert server.deadline is not None
        self.lives[name] = Life(
            run=names.run_name(server.run),
            attempt=server.attempt,
            deadline=server.deadline,
            fate=self.chance.choice(FATES),
            switch=self.chance.random() < 0.5,
            hidden_until=self.now + timedelta(seconds=delay),
        )
        return name

    def change_capacity(self) -> None:
        """Let EC2 have no capacity at all in some markets, and in others none in some pools."""
        chance = self.chance
        self.refuse = {market: FULL for market in MARKETS if chance.random() < 0.4}
        pools = [(market, kind, subnet) for market in MARKETS for kind in TYPES for subnet in SUBNETS]
        self.full = {pool for pool in pools if chance.random() < 0.7}

    def is_shown(self, server: str) -> bool:
        """Return whether EC2 lists the server now: not in its first minutes perhaps, and not long after its end."""
        life = self.lives.get(server)
        if life is None:
            return True
        if life.ended_at is not None and self.now > life.ended_at + SHOWN_AFTER_END:
            return False
        return self.now >= life.hidden_until

    def shown_servers(self, call: calls.ListServers) -> tuple[Server, ...]:
        return tuple(server for server in super().shown_servers(call) if self.is_shown(server.id))

    def find_server(self, call: calls.FindServer) -> Server | NotShown:
        if not self.is_shown(call.server):
            return NotShown()
        return super().find_server(call)

    def terminate_server(self, call: calls.TerminateServer) -> None:
        server = self.servers[call.server]
        if not self.is_shown(call.server):
            return
        if server.gone or call.server in self.shutting_down:
            return
        if server.project != PROJECT:
            raise Refused(f"{call.server} is not a server of this project")
        self.terminate_calls.append(call.server)
        self.terminate(call.server, BY_API)

    # --- servers -------------------------------------------------------------------------------------------------------

    def live(self) -> list[str]:
        """Return the project's servers that are not terminated."""
        return [server for server in self.lives if not self.servers[server].gone]

    def terminate(self, server: str, reason: str = BY_ITSELF) -> None:
        """Begin to end a server. It is terminated at once, or after `shutdown_s`."""
        shown = self.servers[server]
        if shown.gone or server in self.shutting_down:
            return
        self.servers[server] = replace(shown, state="shutting-down", reason_code=reason)
        self.shutting_down[server] = self.now + timedelta(seconds=self.shutdown_s)
        if not self.shutdown_s:
            self._gone(server)

    def _gone(self, server: str) -> None:
        del self.shutting_down[server]
        super().terminate(server, self.servers[server].reason_code)
        self.lives[server].ended_at = self.now
        self.announce(server, ServerState.TERMINATED)

    def announce(self, server: str, state: ServerState) -> None:
        self.events.append(StateChange(server=server, state=state, at=self.now.replace(microsecond=0)))

    def act(self, server: str) -> None:
        """Let a server do what is its fate, if it has go.json and is running."""
        life = self.lives[server]
        if self.go_of(server) is None or self.servers[server].state != "running" or life.fate == "hang":
            return
        if names.go_cancel_key(ROLE, server) in self.objects and self.chance.random() < 0.8:
            life.outcome = "cancelled"
            self.obey_cancel(server)
        elif life.fate != "stop" and self.chance.random() < 0.3:
            self.start_job(server)
        elif life.fate == "stop":
            self.servers[server] = replace(self.servers[server], state="stopped", reason_code=BY_API)
            life.stopped = True
            self.announce(server, ServerState.STOPPED)
        elif life.fate == "end from outside":
            self.terminate(server, BY_API)
        elif life.fate == "time out":
            self._time_out(server)
        else:
            self._run_job(server)

    def _run_job(self, server: str) -> None:
        life = self.lives[server]
        life.outcome = {"succeed": "succeeded"}.get(life.fate, "failed")
        missing = {"no output": ("out/pi.txt",)}.get(life.fate, ())
        self.run_agent(server, exit_code={"fail": 3}.get(life.fate, 0), missing=missing)

    def _time_out(self, server: str) -> None:
        self.lives[server].outcome = "timed-out"
        go = self.go_of(server)
        assert go is not None
        self.objects[go["prefix"] + "ended.json"] = encode(Ended(at=self.now, outcome="timed-out", reason="time-limit"))
        self.terminate(server)

    def add_foreign(self, server: str, tags: Mapping[str, str]) -> None:
        """Add a running server that is not the project's."""
        self.servers[server] = Server(
            id=server,
            state="running",
            launched=self.now,
            type="c8g.large",
            zone="eu-west-1a",
            market="on-demand",
            image="ami-0other",
            tags=tags,
        )

    def lose_tag(self, server: str, tag: str) -> None:
        """Remove a tag. Without the project's tag only the server's own switch is sure to end it, so that works then."""
        shown = self.servers[server]
        self.servers[server] = replace(shown, tags={key: text for key, text in shown.tags.items() if key != tag})
        if tag == names.TAG_PROJECT:
            self.lives[server].switch = True

    # --- time ----------------------------------------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        """Move the clock forward, through everything that is due on the way."""
        until = self.now + timedelta(seconds=seconds)
        while due := [event for event in self._events() if event[0] <= until]:
            at, what, server = min(due)
            self.now = max(self.now, at)
            if what == "kill":
                del self.kill_schedules[server]
            if what == "gone":
                self._gone(server)
            else:
                self.terminate(server, {"kill": BY_API}.get(what, BY_ITSELF))
        self.now = until

    def _events(self) -> Iterator[tuple[datetime, str, str]]:
        yield from ((at, "gone", server) for server, at in self.shutting_down.items())
        yield from ((at, "kill", server) for server, at in self.kill_schedules.items())
        for server, life in self.lives.items():
            if not life.switch or self.servers[server].state != "running":
                continue
            yield (life.deadline, "switch", server)
            if self.go_of(server) is None:
                yield (self.servers[server].launched + NO_GO_WITHIN, "switch", server)


def _written(call: calls.Call[Any]) -> tuple[str, ...]:
    """Return the keys that a call may change."""
    match call:
        case calls.PutNew(key=key) | calls.PutMatch(key=key) | calls.Put(key=key) | calls.Delete(key=key):
            return (key,)
        case calls.DeleteMany(keys=keys):
            return keys
    return ()
