"""Everything known about one run at one moment: what EC2 shows, and what the bucket holds.

Values only. flows/gather.py gathers them; core/advance.py and core/verdict.py judge them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from dayfly.core import names
from dayfly.core.model import Deployed, Version
from dayfly.core.records import (
    Absent,
    Cancel,
    Claim,
    Closed,
    Decision,
    Elected,
    Election,
    Ended,
    EndOrder,
    FleetError,
    Intent,
    Latest,
    Opened,
    Slot,
    SpotRefused,
    Started,
)

R = TypeVar("R")

_TRANSITION = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server as EC2 shows it. `reason_code` is EC2's StateReason code, e.g. Client.UserInitiatedShutdown."""

    id: str
    state: str
    launched: datetime
    type: str
    zone: str
    market: str
    image: str
    tags: Mapping[str, str]
    reason_code: str = ""
    transition: str = ""

    @property
    def gone(self) -> bool:
        """Whether it is terminated. (A `stopped` server still costs its disk.)"""
        return self.state == "terminated"

    @property
    def run(self) -> str:
        return self.tags.get(names.TAG_RUN, "")

    @property
    def attempt(self) -> int | None:
        text = self.tags.get(names.TAG_ATTEMPT, "")
        if not text.isdecimal():
            return None
        return int(text)

    @property
    def tagged(self) -> tuple[names.RunName, int] | None:
        """The run and attempt that its tags name; None when one of them is missing or bad."""
        if self.attempt is None:
            return None
        try:
            return names.run_name(self.run), self.attempt
        except ValueError:
            return None

    @property
    def deadline(self) -> datetime | None:
        """None when the tag is missing or bad."""
        try:
            return names.utc_moment(self.tags.get(names.TAG_DEADLINE, ""))
        except ValueError:
            return None

    @property
    def changed(self) -> datetime | None:
        """When it entered this state, if EC2 says so: `User initiated (2026-11-24 22:41:13 GMT)`."""
        found = _TRANSITION.search(self.transition)
        if found is None:
            return None
        return datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)


@dataclass(frozen=True)
class Launched:
    """EC2 launched a server."""

    servers: tuple[Server, ...]


@dataclass(frozen=True)
class RefusedLaunch:
    """EC2 definitely refused: errors and no server."""

    errors: tuple[FleetError, ...]


@dataclass(frozen=True)
class Replayed:
    """EC2 knew the token and named no server. `fleet`: the fleet to ask for its servers, if EC2 named one."""

    fleet: str | None


FleetAnswer = Launched | RefusedLaunch | Replayed
"""What EC2 can answer to a request for one server."""


@dataclass(frozen=True, kw_only=True)
class Kept(Generic[R]):
    """An object that may change, with the etag that a conditional write must name."""

    record: R
    etag: str


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt of a run: its records so far, its servers, and which of them have a kill schedule."""

    number: int
    intent: Intent
    spot_refused: SpotRefused | None = None
    election: Election | None = None
    absent: Kept[Absent] | None = None
    end_order: EndOrder | None = None
    go_sent: bool = False
    started: Started | None = None
    ended: Ended | None = None
    closed: Closed | None = None
    receipt: bool = False
    servers: tuple[Server, ...] = ()
    armed: frozenset[str] = frozenset()

    @property
    def elected(self) -> Elected | None:
        """The elected server's record; None when there was no election yet, or no server."""
        if isinstance(self.election, Elected):
            return self.election
        return None

    @property
    def spot_errors(self) -> tuple[FleetError, ...]:
        """Why EC2 refused spot; empty when it did not."""
        if self.spot_refused is None:
            return ()
        return self.spot_refused.errors

    @property
    def server(self) -> Server | None:
        """The elected server as EC2 shows it; None when none is elected or EC2 does not show it."""
        if self.elected is None:
            return None
        wanted = self.elected.server
        return next((server for server in self.servers if server.id == wanted), None)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that is known of a run. `versions`: those of its job that its records name or that may be in force."""

    run: names.RunName
    opened: Kept[Opened] | None = None
    claim: Claim | None = None
    slot: Kept[Slot] | None = None
    versions: tuple[Version, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    cancel: Cancel | None = None
    latest: Kept[Latest] | None = None
    done: tuple[names.DoneName, ...] = ()

    @property
    def attempt(self) -> Attempt | None:
        """The newest attempt."""
        if not self.attempts:
            return None
        return self.attempts[-1]

    @property
    def attempt_number(self) -> int:
        """The number of the attempt that a retry asked for, or else of the newest; 1 when there is none yet."""
        if self.opened is not None and self.opened.record.retry is not None:
            return self.opened.record.retry
        if self.attempt is None:
            return 1
        return self.attempt.number

    @property
    def over(self) -> bool:
        """Whether the newest attempt is closed, or the claim says not to run."""
        if self.attempt is not None:
            return self.attempt.closed is not None
        return self.claim is not None and self.claim.decision != Decision.RUN

    @property
    def holder(self) -> str | None:
        """The name of the run that holds the job's slot."""
        if self.slot is None:
            return None
        return self.slot.record.holder

    @property
    def open_record(self) -> Opened | None:
        """The record under open/, while the run is open."""
        if self.opened is None:
            return None
        return self.opened.record

    def version(self, key: str) -> Deployed | None:
        """The version with this key, or None when it is not among them."""
        return next((each for each in self.versions if isinstance(each, Deployed) and each.key == key), None)
