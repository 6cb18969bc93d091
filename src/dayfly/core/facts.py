"""Everything known about one run at one moment: what EC2 shows, and what the bucket holds.

Values only. flows/gather.py reads them; core/advance.py and core/verdict.py decide from them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from dayfly.core import names
from dayfly.core.model import LONGEST_LIFETIME, Deployed, Removed, Version
from dayfly.core.reasons import Decision, Flaw, Source
from dayfly.core.records import (
    Absent,
    Cancel,
    Claim,
    Closed,
    Elected,
    Election,
    Ended,
    EndOrder,
    FleetError,
    Intent,
    Latest,
    Log,
    NextAsk,
    Opened,
    Output,
    Paused,
    Slot,
    SpotRefused,
    Started,
    Telling,
    Trouble,
)

R = TypeVar("R")

INTENT, CLOSED = f"/{Intent.file}.json", f"/{Closed.file}.json"  # how the keys of these records of an attempt end
UNKNOWN_HOLDER = "a run that its record does not name"  # the holder of a slot that cannot be read

_TRANSITION = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")


class RunTags(NamedTuple):
    """The run and the attempt that a server belongs to, as its tags say."""

    run: names.RunName
    attempt: int


@dataclass(frozen=True)
class BadRunTags:
    """A server's tag for its run or its attempt is missing or bad."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server as EC2 shows it. `reason_code` is EC2's StateReason code, e.g. Client.UserInitiatedShutdown; `reason_text` its message.

    `event_at`: when EC2's event says that it entered this state, if one was received.
    """

    id: str
    state: str
    launched: datetime
    type: str
    zone: str
    market: str
    image: str
    tags: Mapping[str, str]
    reason_code: str = ""
    reason_text: str = ""
    transition: str = ""
    event_at: datetime | None = None

    @property
    def gone(self) -> bool:
        """Return whether it is terminated. A stopped server is not gone: its disk still costs money."""
        return self.state == "terminated"

    @property
    def project(self) -> str:
        """Return the project that its tag names; empty when the tag is missing."""
        return self.tags.get(names.TAG_PROJECT, "")

    @property
    def run(self) -> str:
        """Return the run that its tag names, unchecked; empty when the tag is missing."""
        return self.tags.get(names.TAG_RUN, "")

    @property
    def attempt(self) -> int:
        """Return the number of the attempt that its tag names; 0 when the tag is missing or bad."""
        text = self.tags.get(names.TAG_ATTEMPT, "")
        if not text.isdecimal():
            return 0
        return int(text)

    @property
    def run_tags(self) -> RunTags | BadRunTags:
        """Return the run and the attempt that its tags name."""
        if not self.attempt:
            return BadRunTags()
        try:
            return RunTags(names.run_name(self.run), self.attempt)
        except ValueError:
            return BadRunTags()

    @property
    def deadline(self) -> datetime | None:
        """Return the deadline that its tag names; None when the tag is missing or bad, or later than that of any job can be."""
        try:
            deadline = names.utc_moment(self.tags.get(names.TAG_DEADLINE, ""))
        except ValueError:
            return None
        if deadline - self.launched > LONGEST_LIFETIME:
            return None
        return deadline

    @property
    def state_since(self) -> datetime | None:
        """Return when it entered its state, if EC2 says so: `User initiated (2026-11-24 22:41:13 GMT)`, or else its event."""
        found = _TRANSITION.search(self.transition)
        if found is None:
            return self.event_at
        return datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)


@dataclass(frozen=True)
class NotShown:
    """There is no elected server, or EC2 does not show it: unknown, not gone."""

    gone: ClassVar[bool] = False
    state: ClassVar[str] = ""
    reason_code: ClassVar[str] = ""
    reason_text: ClassVar[str] = ""


@dataclass(frozen=True)
class Launched:
    """EC2 launched a server."""

    servers: tuple[Server, ...]


@dataclass(frozen=True)
class RefusedLaunch:
    """EC2 definitely refused: its answer has errors and no server."""

    errors: tuple[FleetError, ...]


@dataclass(frozen=True)
class Replayed:
    """EC2 had the client token already and named no server. `fleet`: the fleet whose servers to ask for, if EC2 named one."""

    fleet: str | None


FleetAnswer = Launched | RefusedLaunch | Replayed  # what EC2 can answer to a request for one server


@dataclass(frozen=True, kw_only=True)
class WithEtag(Generic[R]):
    """A record that may change, with the etag that a conditional write must name."""

    record: R
    etag: str


@dataclass(frozen=True)
class NotStored:
    """The bucket holds no such object."""


NOT_STORED = NotStored()


@dataclass(frozen=True)
class Unreadable:
    """The bucket holds an object with this key, and it is not the record that belongs there: `why` says what is wrong."""

    key: str
    why: Flaw

    def __str__(self) -> str:
        return f"{self.key} is unreadable: {self.why}"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt of a run: its records so far, its servers, and which of them have a kill schedule.

    `unreadable`: its records that cannot be read. Their fields hold what core/unreadable.py takes instead.
    """

    number: int
    intent: Intent
    unreadable: tuple[Unreadable, ...] = ()
    asks: tuple[NextAsk, ...] = ()
    spot_refused: SpotRefused | NotStored = NOT_STORED
    election: Election | NotStored | Unreadable = NOT_STORED
    absent: WithEtag[Absent] | WithEtag[Unreadable] | NotStored = NOT_STORED
    end_order: EndOrder | NotStored = NOT_STORED
    go_sent: bool = False
    cancel_sent: bool = False
    started: Started | NotStored = NOT_STORED
    ended: Ended | NotStored = NOT_STORED
    closed: Closed | NotStored = NOT_STORED
    receipt: bool = False
    servers: tuple[Server, ...] = ()
    armed: frozenset[str] = frozenset()

    @property
    def elected_id(self) -> str:
        """Return the id of the elected server; empty when there was no election yet, or no server."""
        match self.election:
            case Elected(server=server):
                return server
        return ""

    @property
    def spot_errors(self) -> tuple[FleetError, ...]:
        """Return the errors with which EC2 refused spot; empty when it did not."""
        match self.spot_refused:
            case SpotRefused(errors=errors):
                return errors
        return ()

    @property
    def server(self) -> Server | NotShown:
        """Return the elected server as EC2 shows it."""
        shown = {server.id: server for server in self.servers}
        return shown.get(self.elected_id, NotShown())

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Return the files that the agent stored; empty while it reported no end."""
        match self.ended:
            case Ended(outputs=outputs):
                return outputs
        return ()

    @property
    def log(self) -> Log:
        """Return the log that the agent stored; empty while it reported no end."""
        match self.ended:
            case Ended(log=log):
                return log
        return Log()


@dataclass(frozen=True)
class NoAttempt:
    """The run has no attempt yet, so no records of one and no server."""

    number: ClassVar[int] = 0
    election: ClassVar[NotStored] = NOT_STORED
    elected_id: ClassVar[str] = ""
    started: ClassVar[NotStored] = NOT_STORED
    ended: ClassVar[NotStored] = NOT_STORED
    closed: ClassVar[NotStored] = NOT_STORED
    receipt: ClassVar[bool] = False
    server: ClassVar[NotShown] = NotShown()
    armed: ClassVar[frozenset[str]] = frozenset()
    log: ClassVar[Log] = Log()


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that is known of a run. `versions`: those of its job that its records name, or that may be in force.

    `others_open`: whether other runs of the job are open; looked up only when its slot cannot be read.
    `unassigned`: servers with the run's tag whose attempt has no intent. `paused`: looked up only for an undecided tick.
    """

    run: names.RunName
    opened: WithEtag[Opened] | WithEtag[Unreadable] | NotStored = NOT_STORED
    claim: Claim | NotStored | Unreadable = NOT_STORED
    slot: WithEtag[Slot] | WithEtag[Unreadable] | NotStored = NOT_STORED
    others_open: bool = False
    paused: Paused | NotStored | Unreadable = NOT_STORED
    versions: tuple[Version | Unreadable, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    cancel: Cancel | NotStored | Unreadable = NOT_STORED
    unassigned: tuple[Server, ...] = ()
    latest: WithEtag[Latest] | WithEtag[Unreadable] | NotStored = NOT_STORED
    done: tuple[names.DoneName, ...] = ()
    telling: WithEtag[Telling] | WithEtag[Unreadable] | NotStored = NOT_STORED
    told: bool = False
    published: bool = False
    trouble: WithEtag[Trouble] | WithEtag[Unreadable] | NotStored = NOT_STORED

    @property
    def attempt(self) -> Attempt | NoAttempt:
        """Return the newest attempt."""
        every: tuple[Attempt | NoAttempt, ...] = (NoAttempt(), *self.attempts)
        return every[-1]

    def with_newest(self, **changes: Any) -> Facts:
        """Return these facts with other values of the newest attempt's fields."""
        return replace(self, attempts=(*self.attempts[:-1], replace(self.attempts[-1], **changes)))

    @property
    def servers(self) -> tuple[Server, ...]:
        """Return the servers of all attempts, and those with the run's tag that belong to none."""
        return (*(server for attempt in self.attempts for server in attempt.servers), *self.unassigned)

    @property
    def attempt_number(self) -> int:
        """Return the number of the attempt that a retry asked for, or else of the newest; 1 when there is none yet."""
        return self.retry or self.attempt.number or 1

    @property
    def retry(self) -> int:
        """Return the number of the attempt that a retry asked for; 0 when none did."""
        match self.opened:
            case WithEtag(record=Opened(retry=int(number))):
                return number
        return 0

    @property
    def closed(self) -> Mapping[int, Closed]:
        """Return the closing records, by the number of the attempt."""
        return {one.number: one.closed for one in self.attempts if isinstance(one.closed, Closed)}

    @property
    def over(self) -> bool:
        """Return whether the newest attempt is closed, or the run has none and will have none."""
        if isinstance(self.attempt, NoAttempt):
            return self.not_run or bool(self.broken)
        return isinstance(self.attempt.closed, Closed)

    @property
    def not_run(self) -> bool:
        """Return whether the claim says not to run, and nobody asked for the tick since."""
        match self.claim:
            case Claim(decision=decision):
                return decision != Decision.RUN and not self.asked_for_later
        return False

    @property
    def undecided(self) -> bool:
        """Return whether a claim is to be decided: there is none, or it says not to run and a person asked for the tick since."""
        match self.claim:
            case Claim(decision=decision):
                return decision != Decision.RUN and self.asked_for_later
        return isinstance(self.claim, NotStored)

    @property
    def asked_for_later(self) -> bool:
        """Return whether the run is open because a person asked for its tick later."""
        match self.opened:
            case WithEtag(record=Opened(source=Source.BACKFILL, retry=None, removing=False)):
                return True
        return False

    @property
    def is_open(self) -> bool:
        """Return whether the run is listed as open."""
        return isinstance(self.opened, WithEtag)

    @property
    def cancelled(self) -> bool:
        """Return whether a person cancelled the newest attempt. That the record exists says so."""
        return not isinstance(self.cancel, NotStored)

    @property
    def holder(self) -> str:
        """Return the name of the run that holds the job's slot; empty when it is free."""
        match self.slot:
            case WithEtag(record=Slot(holder=holder)):
                return holder
            case WithEtag(record=Unreadable()):
                return UNKNOWN_HOLDER
        return ""

    def version(self, key: str) -> Deployed | NotStored | Unreadable:
        """Return the version with this key."""
        known = {each.key: each for each in self.versions if not isinstance(each, Removed)}
        return known.get(key, NOT_STORED)

    @property
    def broken(self) -> tuple[Unreadable, ...]:
        """Return the unreadable records without which the run cannot go on. It closes when its servers are gone."""
        needed: list[object] = [self.claim]
        match self.attempt, self.claim:
            case Attempt() as attempt, _:
                needed += [each for each in attempt.unreadable if each.key.endswith(CLOSED)]
                if isinstance(attempt.closed, NotStored):
                    needed += [each for each in attempt.unreadable if each.key.endswith(INTENT)]
                    needed += [attempt.election, self.version(attempt.intent.version)]
            case _, Claim(version=version, decision=Decision.RUN):
                needed.append(self.version(version))
        return tuple(each for each in needed if isinstance(each, Unreadable))
