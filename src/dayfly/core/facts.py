"""Everything known about one run at one moment: what EC2 shows, then what the bucket holds.

Values only; gathered by flows/gather.py (EC2 asked first, then S3), judged by core/advance.py and core/verdict.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from dayfly.core import names
from dayfly.core.model import Version
from dayfly.core.records import (
    Absent,
    Cancel,
    Claim,
    Closed,
    Elected,
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
        """Left for ever: seen as terminated. (`stopped` still costs a disk.)"""
        return self.state == "terminated"

    @property
    def billed(self) -> bool:
        """Whether EC2 bills its time in this state."""
        return self.state == "running"

    @property
    def run(self) -> str:
        return self.tags.get(names.TAG_RUN, "")

    @property
    def attempt(self) -> int | None:
        text = self.tags.get(names.TAG_ATTEMPT, "")
        return int(text) if text.isdecimal() else None

    @property
    def deadline(self) -> datetime | None:
        """None when the tag is missing or bad."""
        try:
            return names.utc_moment(self.tags.get(names.TAG_DEADLINE, ""))
        except ValueError:
            return None

    @property
    def changed(self) -> datetime | None:
        """When it got into this state, where EC2 says so: `User initiated (2026-11-24 22:41:13 GMT)`."""
        found = _TRANSITION.search(self.transition)
        return datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC) if found else None


@dataclass(frozen=True, kw_only=True)
class FleetAnswer:
    """EC2's answer to a request for one server. No servers and no errors: an empty replay; ask for the fleet's servers."""

    fleet: str | None
    servers: tuple[Server, ...]
    errors: tuple[FleetError, ...]

    @property
    def refused(self) -> bool:
        """A definite no: errors and no server. An answer with a server is a yes whatever errors stand beside it."""
        return bool(self.errors) and not self.servers


@dataclass(frozen=True, kw_only=True)
class Kept:
    """An object that changes, with the etag by which alone it may be replaced."""

    etag: str


@dataclass(frozen=True, kw_only=True)
class KeptAbsent(Kept):
    record: Absent


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt of a run: its records so far and its servers."""

    number: int
    intent: Intent
    spot_refused: SpotRefused | None = None
    elected: Elected | None = None
    absent: KeptAbsent | None = None
    end_order: EndOrder | None = None
    go_sent: bool = False
    started: Started | None = None
    ended: Ended | None = None
    closed: Closed | None = None
    receipt: bool = False
    servers: tuple[Server, ...] = ()
    armed: frozenset[str] = frozenset()

    @property
    def server(self) -> Server | None:
        """The elected server as EC2 shows it; None when none is elected or EC2 does not know it."""
        wanted = self.elected.server if self.elected else None
        return next((server for server in self.servers if server.id == wanted), None)


@dataclass(frozen=True, kw_only=True)
class KeptOpen(Kept):
    record: Opened


@dataclass(frozen=True, kw_only=True)
class KeptSlot(Kept):
    record: Slot


@dataclass(frozen=True, kw_only=True)
class KeptLatest(Kept):
    record: Latest


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All of a run. `version` is that which the claim or the newest intent names, `versions` all of the job's."""

    run: names.RunName
    opened: KeptOpen | None = None
    claim: Claim | None = None
    slot: KeptSlot | None = None
    versions: tuple[Version, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    cancel: Cancel | None = None
    latest: KeptLatest | None = None
    done: tuple[names.DoneName, ...] = ()

    @property
    def attempt(self) -> Attempt | None:
        """The newest attempt."""
        return self.attempts[-1] if self.attempts else None

    def version(self, key: str) -> Version | None:
        return next((version for version in self.versions if version.key == key), None)
