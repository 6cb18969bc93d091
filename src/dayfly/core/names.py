"""Names that programs on several machines must spell alike: tags, S3 keys, environment variables.

Laptop, Lambda functions and servers share them. No decisions here. The agent cannot import this module; a test compares its
names with these.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count, takewhile
from typing import NamedTuple

FORMAT = 1
"""The format of every record. Later versions of dayfly still read it."""

# Tags of every server, its volume, network interface and fleet. EC2 accepts them all as instance metadata.
TAG_PROJECT = "dayfly:project"
TAG_RUN = "dayfly:run"
TAG_ATTEMPT = "dayfly:attempt"
TAG_DEADLINE = "dayfly:deadline"  # UTC, `2026-11-24T22:57:01Z`: launch + time limit + margin; the switch counts to it
TAG_LIFETIME = (
    "dayfly:lifetime"  # whole seconds, time limit + margin; the switch counts no more of them from kernel boot
)
TAG_BUCKET = "dayfly:bucket"
TAG_ROLE = "dayfly:role"  # unique id of the server's role, AROA...; the first half of its aws:userid

# Environment of launcher and sweeper.
ENV_PROJECT = "DAYFLY_PROJECT"
ENV_BUCKET = "DAYFLY_BUCKET"
ENV_GROUP = "DAYFLY_GROUP"  # schedule group of the project's jobs and kill schedules
ENV_KILL_ROLE = "DAYFLY_KILL_ROLE"  # ARN of the role as which a kill schedule ends a server
ENV_DEAD_LETTERS = "DAYFLY_DEAD_LETTERS"  # ARN of the queue
ENV_KEEP = "DAYFLY_KEEP"  # whole seconds; older results are removed
ENV_NOTIFY = "DAYFLY_NOTIFY"  # JSON list of the addresses that hear of failures; only the sweeper has it
ENV_TOPIC = "DAYFLY_TOPIC"  # ARN of the topic that serves the e-mail addresses; only the sweeper has it
ENV_ZIPS = "DAYFLY_ZIPS"  # keys of both functions' zips in the bucket, separated by spaces
ENV_INTERVALS = "DAYFLY_INTERVALS"  # JSON, seconds by name: only tests set it, see core/intervals.py

# The metric that the sweeper writes after each sweep without errors. The stack's alarm watches it.
METRIC_NAMESPACE = "dayfly"
METRIC_SWEEPS = "GoodSweeps"
METRIC_DIMENSION = "Project"

# Environment of a job on its server.
JOB_VARIABLES = (
    "DAYFLY_TICK",
    "DAYFLY_DAY",
    "DAYFLY_RUN",
    "DAYFLY_JOB",
    "DAYFLY_ATTEMPT",
    "DAYFLY_REGION",
    "DAYFLY_TERM_AT",
    "DAYFLY_LAST",
    "DAYFLY_SCRATCH",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
)

KILL_PREFIX = "kill-"
"""Names of kill schedules begin so; the id of the server follows."""

JOB_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38}[A-Za-z0-9])?")
PROJECT_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,22}[a-z0-9])")
"""Two to 24 characters, because a bucket's name contains it."""

_UTC_TEXT = re.compile(r"(?:19[7-9][0-9]|2[01][0-9]{2})-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
"""The years 1970 to 2199, in ASCII digits: Python's `\\d` also matches those of other scripts."""


class RunName(NamedTuple):
    """A job at a tick, in a region: the identity of a run. `tick` is UTC with whole seconds."""

    job: str
    tick: datetime

    def __str__(self) -> str:
        return f"{self.job}@{utc_text(self.tick)}"


def utc_text(moment: datetime) -> str:
    """Return a time as `2026-11-24T22:41:00Z`, without fractions of a second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc_moment(text: str) -> datetime:
    """Read the text that `utc_text` writes. Raises ValueError for any other form, and for a year before 1970 or after 2199."""
    if not _UTC_TEXT.fullmatch(text):
        raise ValueError(f"{text!r} is not a UTC time like 2026-11-24T22:41:00Z")
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def run_name(text: str) -> RunName:
    """Read a run's name, such as `pi@2026-11-24T22:41:00Z`. Raises ValueError."""
    job, at, tick = text.partition("@")
    if not at or not JOB_NAME.fullmatch(job):
        raise ValueError(f"{text!r} is not the full name of a run, such as pi@2026-11-24T22:41:00Z")
    return RunName(job, utc_moment(tick))


def run_names(texts: Iterable[str]) -> Iterator[RunName]:
    """Yield the runs that these texts name, and leave out what is not the name of a run."""
    for text in texts:
        with suppress(ValueError):
            yield run_name(text)


def bucket(project: str, account: str, region: str) -> str:
    """Return the name of the project's bucket in a region. It is known before anything is deployed."""
    return f"dayfly-{project}-{account}-{region}"


def stack(project: str) -> str:
    """Return the name of the CloudFormation stack, and of the schedule group in it."""
    return f"dayfly-{project}"


def account_of(bucket_name: str, project: str, region: str) -> str:
    """Return the account in the name of a project's bucket."""
    return bucket_name.removeprefix(f"dayfly-{project}-").removesuffix(f"-{region}")


def notify_key(project: str) -> str:
    """Return the name of the parameter in Systems Manager with the key that signs the project's webhooks."""
    return f"/dayfly/{project}/notify-key"


def launcher_function(project: str) -> str:
    return f"dayfly-{project}-launcher"


def sweeper_function(project: str) -> str:
    return f"dayfly-{project}-sweeper"


def state_change_rule(project: str) -> str:
    """The EventBridge rule that sends the ends of EC2's instances to the sweeper."""
    return f"dayfly-{project}-state-changes"


# --- keys in the bucket -------------------------------------------------------------------------------------------------

OPEN = "open/"
DONE = "done/"
SLOTS = "slots/"
PAUSED = "paused/"
TROUBLE = "trouble/"
RESULTS = "results/"
HEARTBEAT = "heartbeat.json"
_OUTPUT = "output/"
REQUESTS = "requests/"
BUNDLES = "bundles/"
FUNCTIONS = "functions/"
AGENTS = "agents/"
VERSIONS = "jobs/"
_VERSION_KEY = re.compile(rf"jobs/{JOB_NAME.pattern}/[0-9]{{10}}~{_UTC_TEXT.pattern}~[0-9a-f]{{1,16}}\.json")
_ATTEMPT = re.compile(r"0|[1-9][0-9]{0,5}")
_OUTCOME = re.compile(r"[A-Za-z][A-Za-z-]{0,30}")
_LAST_SECOND = 9_999_999_999
"""Seconds since 1970, in the year 2286: later than any version. What is subtracted from it sorts backwards."""


def open_key(run: RunName) -> str:
    return f"{OPEN}{run}"


def request_prefix(request: str) -> str:
    """Return the prefix of the keys that record which run a request got."""
    digest = hashlib.sha256(request.encode()).hexdigest()
    return f"{REQUESTS}{digest[:32]}~"


def request_key(request: str, number: int) -> str:
    """Return the key that records which run a request by hand got. `number` counts the seconds it tried (flows/launch.py)."""
    return f"{request_prefix(request)}{number}"


def slot_key(job: str) -> str:
    return f"{SLOTS}{job}.json"


def paused_key(job: str) -> str:
    return f"{PAUSED}{job}"


def latest_key(job: str) -> str:
    return f"latest/{job}.json"


def trouble_key(job: str) -> str:
    return f"{TROUBLE}{job}.json"


def results_prefix(job: str) -> str:
    """Return where the results of a job stand for others, in the project's own bucket."""
    return f"{RESULTS}{job}/"


def run_prefix(run: RunName) -> str:
    return f"runs/{run.job}/{utc_text(run.tick)}/"


def claim_key(run: RunName) -> str:
    return run_prefix(run) + "claim.json"


def backfill_key(run: RunName) -> str:
    """Return the key of the second claim of a tick: it did not run, and a person asked for it later."""
    return run_prefix(run) + "backfill.json"


def attempt_key(run: RunName, attempt: int, record: str) -> str:
    """Return the key of an attempt's record: intent, cancel, ask-K, spot-refused, server, sent, absent, end, closed, receipt, told.

    `attempt` is 0 where the run has none.
    """
    return f"{run_prefix(run)}{attempt}/{record}.json"


def user_id(role_id: str, instance: str) -> str:
    """Return the `aws:userid` of a server's credentials. IAM lets a server use only keys with its own `aws:userid`."""
    return f"{role_id}:{instance}"


def go_key(role_id: str, instance: str) -> str:
    return f"go/{user_id(role_id, instance)}/go.json"


def go_cancel_key(role_id: str, instance: str) -> str:
    """Return the key of the object that tells a server to end its job (remote/agent/cancel.py)."""
    return f"go/{user_id(role_id, instance)}/cancel.json"


def out_prefix(run: RunName, attempt: int, role_id: str, instance: str) -> str:
    """Return the prefix of all that one server writes: started.json, log/000001, output/PATH, ended.json."""
    return f"out/{run.job}/{utc_text(run.tick)}/{attempt}/{user_id(role_id, instance)}/"


def started_key(prefix: str) -> str:
    return f"{prefix}started.json"


def ended_key(prefix: str) -> str:
    return f"{prefix}ended.json"


def output_prefix(prefix: str) -> str:
    """Return what the keys of a server's outputs begin with; their paths follow."""
    return f"{prefix}{_OUTPUT}"


def prefix_of_output(prefix: str) -> str:
    """Return the prefix of all that the server wrote whose outputs are below `prefix`."""
    return prefix.removesuffix(_OUTPUT)


def log_key(prefix: str, number: int) -> str:
    """Return the key of the n-th piece of the log, counted from 1."""
    return f"{prefix}log/{number:06d}"


def log_pieces(prefix: str, keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keys of a log's pieces, in order, up to the first that is missing.

    A server can write any key below its prefix, so other keys are ignored.
    """
    listed = set(keys)
    expected = (log_key(prefix, number) for number in count(1))
    return tuple(takewhile(lambda key: key in listed, expected))


def done_key(run: RunName, attempt: int, outcome: str) -> str:
    """Return the key of a finished attempt's marker, below the UTC date of its tick: one LIST shows a day. 0: no attempt.

    Raises ValueError for an outcome that could not be read again.
    """
    if not _OUTCOME.fullmatch(outcome):
        raise ValueError(f"{outcome[:80]!r} is not an outcome")
    return f"{done_prefix(run)}{attempt}~{outcome}"


def done_prefix(run: RunName) -> str:
    """Return what the keys of all markers of a run begin with."""
    return f"{done_day(run)}{utc_text(run.tick)}~{run.job}~"


def done_day(run: RunName) -> str:
    """Return what the keys of all markers of the day of a run begin with."""
    return f"{DONE}{utc_text(run.tick)[:10]}/"


class DoneName(NamedTuple):
    """What the key of a marker under done/ says."""

    run: RunName
    attempt: int
    outcome: str


def done_name(key: str) -> DoneName:
    """Read the key that `done_key` writes. Raises ValueError."""
    tick, job, attempt, outcome = key.rsplit("/", 1)[-1].split("~")
    run = RunName(job, utc_moment(tick))
    if not JOB_NAME.fullmatch(job) or not _ATTEMPT.fullmatch(attempt) or key != done_key(run, int(attempt), outcome):
        raise ValueError(f"{key!r} is not the key of a marker")
    return DoneName(run, int(attempt), outcome)


def done_names(keys: Iterable[str]) -> tuple[DoneName, ...]:
    """Return what the markers with these keys say. A key that is no marker's is left out."""
    found = []
    for key in keys:
        with suppress(ValueError):
            found.append(done_name(key))
    return tuple(found)


def version_prefix(job: str) -> str:
    return f"{VERSIONS}{job}/"


def version_key(job: str, effective_from: datetime, digest: str) -> str:
    """Return the key of a job version: the newest sorts first. It names when the version came into force, and its content."""
    return f"{version_bound(job, effective_from)}~{utc_text(effective_from)}~{digest[:16]}.json"


def version_bound(job: str, moment: datetime) -> str:
    """Return a text that sorts just before the key of the version in force at `moment`, and after those of newer ones."""
    return f"{version_prefix(job)}{_LAST_SECOND - int(moment.timestamp()):010d}"


def is_version_key(key: str) -> bool:
    """Return whether a key below jobs/ is one that `version_key` writes."""
    return bool(_VERSION_KEY.fullmatch(key))


def effective_from_of(key: str) -> datetime:
    """Return the time from which the version with this key is in force. Raises ValueError."""
    parts = key.rsplit("/", 1)[-1].split("~")
    if len(parts) != 3:
        raise ValueError(f"{key!r} is not the key of a job version")
    return utc_moment(parts[1])


def kill_schedule(instance: str) -> str:
    return KILL_PREFIX + instance


def client_token(run: RunName, attempt: int, market: str, launch: datetime, bucket_name: str) -> str:
    """Return the client token (EC2's idempotency key) of a launch request: 64 hex digits, the longest that EC2 takes."""
    text = "|".join((bucket_name, str(run), str(attempt), market, utc_text(launch)))
    return hashlib.sha256(text.encode()).hexdigest()


def next_token(token: str) -> str:
    """Return the client token of the request that follows one with this token."""
    return hashlib.sha256(f"{token}|next".encode()).hexdigest()
