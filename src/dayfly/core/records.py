"""The facts of a run as stored in the bucket: one frozen record per object, and their JSON.

Later versions of dayfly read old records: a field may be added, with a default, and is never removed or renamed. Times are UTC
with milliseconds. core/facts.py puts the records of one run together; flows/ writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from dayfly.core.model import Timetable
from dayfly.core.reasons import Cause, ClaimReason, Decision, EndReason, Notice, Outcome, Source

R = TypeVar("R")

ASK = "ask-"
"""How the name of each NextAsk begins."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """`open/RUN`: this run is not finished. `request`: an idempotency key. `retry`: the number of the attempt asked for.

    `removing`: the run is older than `keep`, and everything stored of it is being removed.
    """

    run: str
    source: Source
    at: datetime
    request: str
    by: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    publish: bool = False
    retry: int | None = None
    same_code: bool = False
    removing: bool = False


@dataclass(frozen=True, kw_only=True)
class Requested:
    """`requests/REQUEST~N`: the run (for a retry also the attempt) that a request got, so that a second delivery gets the same."""

    run: str
    attempt: int | None
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Slot:
    """`slots/JOB.json`: the lock of a job whose runs do not overlap. `holder`: the run that has it. Absent while none has.

    `attempt`: the attempt that took it, 0 for the first. So no two slots are alike, and an etag names one of them.
    """

    holder: str
    attempt: int
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Paused:
    """`paused/JOB`: a person paused the job. While it is there, ticks are skipped; runs by hand are not. That it exists says so."""

    at: datetime
    by: str = ""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """`claim.json`: what was decided about this tick, once. `version` is empty when none was deployed.

    `backfill.json` is the same kind of record: a person asked for a tick whose claim says not to run. Then this one counts.
    """

    run: str
    decision: Decision
    reason: ClaimReason
    why: str
    version: str
    source: Source
    at: datetime
    request: str = ""
    by: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    publish: bool = False


@dataclass(frozen=True, kw_only=True)
class Intent:
    """`N/intent.json`: how attempt N launches. `requests`: the CreateFleet request for each market, sent exactly as stored.

    `request`: the idempotency key of the event behind it. `launch_until`: EC2 is not asked later.
    """

    file: ClassVar[str] = "intent"
    attempt: int
    version: str
    at: datetime
    launch: datetime
    launch_until: datetime
    deadline: datetime
    time_limit_s: int
    margin_s: int
    markets: tuple[str, ...]
    requests: Mapping[str, Any]
    role_id: str
    request: str = ""


@dataclass(frozen=True, kw_only=True)
class FleetError:
    """An error of CreateFleet, for one pool (a server type in a zone) or, with an empty `pool`, for the whole request.

    `type` and `subnet`: those of the pool, if EC2 names them.
    """

    code: str
    message: str
    pool: str = ""
    type: str = ""
    subnet: str = ""


@dataclass(frozen=True, kw_only=True)
class NextAsk:
    """`N/ask-K.json`: the K-th request of attempt N, sent exactly as stored. The first of each market is in the intent.

    `errors`: what EC2 said to the request before, which did not try all pools, or named what EC2 did not see yet.
    """

    at: datetime
    number: int
    market: str
    request: Mapping[str, Any]
    errors: tuple[FleetError, ...]

    @property
    def file(self) -> str:
        return f"{ASK}{self.number}"


@dataclass(frozen=True, kw_only=True)
class SpotRefused:
    """`N/spot-refused.json`: EC2 definitely refused spot, so on-demand may be asked."""

    file: ClassVar[str] = "spot-refused"
    at: datetime
    errors: tuple[FleetError, ...]


@dataclass(frozen=True, kw_only=True)
class Elected:
    """`N/server.json`: the one server that may run the job."""

    file: ClassVar[str] = "server"
    at: datetime
    server: str
    launched: datetime
    deadline: datetime
    type: str | None = None
    zone: str | None = None
    market: str | None = None
    image: str | None = None


@dataclass(frozen=True, kw_only=True)
class NoServer:
    """`N/server.json` of an attempt that gets no server: `cause` says why; `reason` and `detail` become those of its end."""

    file: ClassVar[str] = "server"
    at: datetime
    cause: Cause
    reason: EndReason
    detail: str
    errors: tuple[FleetError, ...] = ()


Election = Elected | NoServer
"""What `N/server.json` can hold."""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """`N/sent.json`: the go.json of the elected server is written."""

    file: ClassVar[str] = "sent"
    at: datetime
    server: str


@dataclass(frozen=True, kw_only=True)
class Absent:
    """`N/absent.json`: EC2 did not show the elected server, long after its launch. A second absence closes the attempt.

    This record expires when the second one does not follow in time, and is then replaced.
    """

    file: ClassVar[str] = "absent"
    at: datetime
    server: str


@dataclass(frozen=True, kw_only=True)
class EndOrder:
    """`N/end.json`: dayfly terminated this attempt's server before the agent ended it, and why."""

    file: ClassVar[str] = "end"
    at: datetime
    by: str
    why: str
    server: str


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """`N/cancel.json`: a person cancelled this attempt."""

    file: ClassVar[str] = "cancel"
    at: datetime
    by: str


@dataclass(frozen=True, kw_only=True)
class Started:
    """`started.json`, by the agent: the command starts now."""

    at: datetime
    python: str = ""
    machine: str = ""
    cpus: int | None = None
    memory_mb: int | None = None
    user: str = ""


@dataclass(frozen=True, kw_only=True)
class Output:
    """One stored file: path in the job's folder, key in the bucket, size in bytes, hex digest."""

    path: str
    key: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Log:
    """The job's log as stored: how many pieces, bytes and lines, and its last lines."""

    pieces: int = 0
    bytes: int = 0
    lines: int = 0
    last: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Ended:
    """`ended.json`, by the agent, written last: how the job ended and what was stored."""

    at: datetime
    outcome: Outcome
    reason: str
    detail: str = ""
    job_started: datetime | None = None
    job_ended: datetime | None = None
    stored_at: datetime | None = None
    exit: int | None = None
    signal: int | None = None
    outputs: tuple[Output, ...] = ()
    missing: tuple[str, ...] = ()
    log: Log = Log()
    job_peak_memory_mb: int | None = None
    agent_peak_memory_mb: int | None = None


@dataclass(frozen=True, kw_only=True)
class Closed:
    """`N/closed.json`: how an attempt ended, decided after its server was gone. All later steps follow from it.

    `terminated`: EC2 showed the server as terminated. False when it no longer showed it, or when there was none.
    `gone`: when EC2 says that the server ended, in its answer or its event; null if it does not say. `at` is when that was seen.
    `ec2_code`, `ec2_message`: why the server ended, as EC2 said while it still showed it.
    """

    file: ClassVar[str] = "closed"
    at: datetime
    by: str
    outcome: Outcome
    reason: str
    detail: str
    server: str | None
    gone: datetime | None
    ended_by: str
    terminated: bool = False
    exit: int | None = None
    console: tuple[str, ...] = ()
    ec2_code: str = ""
    ec2_message: str = ""


@dataclass(frozen=True, kw_only=True)
class Telling:
    """`N/telling.json`: a process sends this message now, or tried to. N is 0 for a run without an attempt.

    It is written before each try, so that no two processes send at once. When it is some minutes old the message is sent again to
    the addresses that did not take it. `took`: those that did; `failed`: why the others did not.
    """

    file: ClassVar[str] = "telling"
    at: datetime
    by: str
    notice: Notice
    tries: int
    took: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Told:
    """`N/told.json`: no message about this fact is sent any more. `id`: the message's id.

    `took`: the addresses that took it; `failed`: why others did not, after all tries. Both are empty if `notify` was empty.
    """

    file: ClassVar[str] = "told"
    at: datetime
    notice: Notice
    id: str
    tries: int
    took: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Publishing:
    """`N/publishing.json`: how many files of the attempt's result are copied to `results`, and why the last try stopped."""

    file: ClassVar[str] = "publishing"
    at: datetime
    copied: int
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Published:
    """`N/published.json`: the attempt's result stands in `folder`, whole. `latest`: the newest one's manifest names it.

    `why` is empty, or says why it does not stand there and is not copied any more.
    """

    file: ClassVar[str] = "published"
    at: datetime
    folder: str
    latest: bool
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """`trouble/JOB.json`: people were told that this run failed or was missed, and not yet that a later one was good."""

    run: str
    attempt: int
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Latest:
    """`latest/JOB.json`: the last good result of a job, with all its outputs."""

    run: str
    attempt: int
    at: datetime
    prefix: str
    outputs: tuple[Output, ...]


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """`heartbeat.json`: the last complete sweep. `kept` is the last UTC day on which all old results were removed.

    `ticks_since`: from when on the next sweep must look for missed ticks, if this sweep did not get through them.
    `timetables`: those of the versions that may have a tick to look at, by key. The next sweep need not read these versions.
    """

    at: datetime
    ended: int
    open_runs: int
    kept: str
    ticks_since: datetime | None = None
    timetables: Mapping[str, Timetable] = field(default_factory=dict)
