"""Names that several machines must spell alike: tags, S3 keys, environment variables.

Only names that laptop, functions, servers and bucket share are here. No rules. The agent cannot import this module; a test
compares its names with these.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from itertools import count, takewhile
from typing import NamedTuple

FORMAT = 1
"""The format of every record. Later versions of dayfly still read it."""

# Tags on every server, its volume, network interface and fleet. All are allowed as instance metadata.
TAG_PROJECT = "dayfly:project"
TAG_RUN = "dayfly:run"
TAG_ATTEMPT = "dayfly:attempt"
TAG_DEADLINE = "dayfly:deadline"  # UTC, `2026-11-24T22:57:01Z`: launch + time limit + margin
TAG_LIFETIME = "dayfly:lifetime"  # whole seconds, time limit + margin; the switch counts them from kernel boot
TAG_BUCKET = "dayfly:bucket"
TAG_ROLE = "dayfly:role"  # unique id of the server's role, AROA...; the first half of its aws:userid

# Environment of launcher and sweeper.
ENV_PROJECT = "DAYFLY_PROJECT"
ENV_BUCKET = "DAYFLY_BUCKET"
ENV_GROUP = "DAYFLY_GROUP"  # schedule group of the project's jobs and kill schedules
ENV_KILL_ROLE = "DAYFLY_KILL_ROLE"  # ARN of the role as which a kill schedule ends a server
ENV_DEAD_LETTERS = "DAYFLY_DEAD_LETTERS"  # ARN of the queue
ENV_KEEP = "DAYFLY_KEEP"  # whole seconds; older results are removed

# Environment of a job on its server.
JOB_VARIABLES = (
    "DAYFLY_TICK",
    "DAYFLY_DAY",
    "DAYFLY_RUN",
    "DAYFLY_JOB",
    "DAYFLY_ATTEMPT",
    "DAYFLY_REGION",
    "DAYFLY_TERM_AT",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
)

KILL_PREFIX = "kill-"

JOB_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38}[A-Za-z0-9])?")
PROJECT_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,22}[a-z0-9])")

_UTC_TEXT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class RunName(NamedTuple):
    """A job at a tick, in a region: the identity of a run. `tick` is UTC with whole seconds."""

    job: str
    tick: datetime

    def __str__(self) -> str:
        return f"{self.job}@{utc_text(self.tick)}"


def utc_text(moment: datetime) -> str:
    """`2026-11-24T22:41:00Z`; fractions of a second are dropped."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc_moment(text: str) -> datetime:
    """The inverse of `utc_text`. Raises ValueError for any other form."""
    if not _UTC_TEXT.fullmatch(text):
        raise ValueError(f"{text!r} is not a UTC time like 2026-11-24T22:41:00Z")
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def run_name(text: str) -> RunName:
    """`pi@2026-11-24T22:41:00Z` -> RunName. Raises ValueError."""
    job, at, tick = text.partition("@")
    if not at or not JOB_NAME.fullmatch(job):
        raise ValueError(f"{text!r} is not the full name of a run, such as pi@2026-11-24T22:41:00Z")
    return RunName(job, utc_moment(tick))


def bucket(project: str, account: str, region: str) -> str:
    """The name of the project's bucket in a region, known before anything is deployed."""
    return f"dayfly-{project}-{account}-{region}"


def stack(project: str) -> str:
    """The name of the CloudFormation stack, and of the schedule group in it."""
    return f"dayfly-{project}"


def launcher_function(project: str) -> str:
    return f"dayfly-{project}-launcher"


def sweeper_function(project: str) -> str:
    return f"dayfly-{project}-sweeper"


# --- keys in the bucket -------------------------------------------------------------------------------------------------

OPEN = "open/"
DONE = "done/"
HEARTBEAT = "heartbeat.json"
REQUESTS = "requests/"
BUNDLES = "bundles/"
FUNCTIONS = "functions/"
VERSIONS = "jobs/"


def open_key(run: RunName) -> str:
    return f"{OPEN}{run}"


def request_prefix(request: str) -> str:
    """What the keys of all candidates of one request begin with."""
    digest = hashlib.sha256(request.encode()).hexdigest()
    return f"{REQUESTS}{digest[:32]}~"


def request_key(request: str, number: int) -> str:
    """The run that a request by hand got. `number`: its n-th candidate, when earlier ones belonged to other requests."""
    return f"{request_prefix(request)}{number}"


def slot_key(job: str) -> str:
    return f"slots/{job}.json"


def latest_key(job: str) -> str:
    return f"latest/{job}.json"


def run_prefix(run: RunName) -> str:
    return f"runs/{run.job}/{utc_text(run.tick)}/"


def claim_key(run: RunName) -> str:
    return run_prefix(run) + "claim.json"


def attempt_key(run: RunName, attempt: int, record: str) -> str:
    """`record` is one of intent, cancel, spot-refused, server, absent, end, closed, receipt."""
    return f"{run_prefix(run)}{attempt}/{record}.json"


def user_id(role_id: str, instance: str) -> str:
    """The `aws:userid` of a server's credentials; no other server can read or write below it."""
    return f"{role_id}:{instance}"


def go_key(role_id: str, instance: str) -> str:
    return f"go/{user_id(role_id, instance)}/go.json"


def out_prefix(run: RunName, attempt: int, role_id: str, instance: str) -> str:
    """The prefix of all that one server writes: started.json, log/000001.., output/.., ended.json."""
    return f"out/{run.job}/{utc_text(run.tick)}/{attempt}/{user_id(role_id, instance)}/"


def started_key(prefix: str) -> str:
    return f"{prefix}started.json"


def ended_key(prefix: str) -> str:
    return f"{prefix}ended.json"


def log_key(prefix: str, number: int) -> str:
    """The key of the n-th piece of the log, from 1."""
    return f"{prefix}log/{number:06d}"


def log_pieces(prefix: str, keys: tuple[str, ...]) -> tuple[str, ...]:
    """The keys of a log's pieces, in order, up to the first that is missing.

    A server can write any key below its prefix; only those named as pieces count.
    """
    there = set(keys)
    return tuple(takewhile(there.__contains__, (log_key(prefix, number) for number in count(1))))


def done_key(run: RunName, attempt: int, outcome: str) -> str:
    """The marker of a finished run and attempt (0: it had none), below the UTC date of its tick, so that one LIST shows a day."""
    tick = utc_text(run.tick)
    return f"{DONE}{tick[:10]}/{tick}~{run.job}~{attempt}~{outcome}"


class DoneName(NamedTuple):
    run: RunName
    attempt: int
    outcome: str


def done_name(key: str) -> DoneName:
    """The inverse of `done_key`. Raises ValueError."""
    tick, job, attempt, outcome = key.rsplit("/", 1)[-1].split("~")
    return DoneName(RunName(job, utc_moment(tick)), int(attempt), outcome)


def version_prefix(job: str) -> str:
    return f"{VERSIONS}{job}/"


def version_key(job: str, effective_from: datetime, digest: str) -> str:
    """The key of a job version: sorted by the time from which it is in force, named by its content."""
    return f"{version_prefix(job)}{utc_text(effective_from)}~{digest[:16]}.json"


def version_since(key: str) -> datetime:
    """From when the version with this key is in force. Raises ValueError."""
    return utc_moment(key.rsplit("/", 1)[-1].split("~", 1)[0])


def kill_schedule(instance: str) -> str:
    return KILL_PREFIX + instance


def client_token(run: RunName, attempt: int, market: str, launch: datetime, bucket_name: str) -> str:
    """The idempotency token of a launch request: 64 hex digits, EC2's limit."""
    text = "|".join((bucket_name, str(run), str(attempt), market, utc_text(launch)))
    return hashlib.sha256(text.encode()).hexdigest()
