"""The closed sets of words in records: what started a run, what was decided, how an attempt ended, and why.

Code branches on them, so they are enums; text for people is never compared.
"""

from __future__ import annotations

from enum import StrEnum


class Source(StrEnum):
    """What started a run."""

    SCHEDULE = "schedule"
    HAND = "hand"
    BACKFILL = "backfill"
    """A person asked for a tick of the schedule that did not run."""


class Decision(StrEnum):
    """What was decided about a tick."""

    RUN = "run"
    SKIPPED = "skipped"
    MISSED = "missed"


class ClaimReason(StrEnum):
    """Why a tick does not run. Empty when it does."""

    NONE = ""
    LATE = "late"
    OVERLAP = "overlap"
    PAUSED = "paused"
    REMOVED = "removed"
    NOT_DELIVERED = "not-delivered"
    UNREADABLE = "unreadable"


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    CANCELLED = "cancelled"


class Cause(StrEnum):
    """Why an attempt has no server: it was cancelled first, EC2 gave no clear answer in time, or EC2 refused."""

    CANCELLED = "cancelled"
    UNANSWERED = "unanswered"
    REFUSED = "refused"


class EndReason(StrEnum):
    """Reasons that dayfly itself gives for an attempt's end. A server has others, such as `exit 3` and `no-agent`: records hold strings."""

    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    IMAGE_GONE = "image-gone"
    NO_RIGHTS = "no-rights"
    QUOTA = "quota"
    NO_CAPACITY = "no-capacity"
    NOT_OFFERED = "not-offered"
    FREE_PLAN = "free-plan"
    DISK_KEY = "disk-key"
    NOT_SAVED = "not-saved"
    INTERRUPTED = "interrupted"
    LOST = "lost"


class AgentReason(StrEnum):
    """Reasons that the agent gives, beside `exit N` and `killed by signal N`. Empty for success, and when time ran out."""

    NONE = ""
    UNKNOWN = "unknown"
    OUTPUT_MISSING = "output-missing"
    NOT_SAVED = "not-saved"
    OUT_OF_MEMORY = "out-of-memory"
    DISK_FULL = "disk-full"
    SETUP = "setup"
    NO_NETWORK = "no-network"
    NO_AGENT = "no-agent"
    NO_SECRET = "no-secret"
    NO_INPUT = "no-input"
    NO_ROLE = "no-role"
    NO_ISOLATION = "no-isolation"
    CANCELLED = "cancelled"


class Notice(StrEnum):
    """What people are told about a run."""

    FAILED = "failed"
    TIMED_OUT = "timed-out"
    MISSED = "missed"
    RECOVERED = "recovered"
    TEST = "test"


class Flaw(StrEnum):
    """Why an object cannot be read as its record."""

    TOO_LARGE = "it is too large"
    NOT_JSON = "it is not JSON"
    WRONG_CONTENT = "a field is missing or has a wrong value"
    ANOTHER_KEY = "it belongs under another key"
    NOT_STORED = "it is not in the bucket"
    BAD_KEY = "dayfly writes no object with such a key"
    NO_SCHEDULE = "its schedule or time zone cannot be used"
