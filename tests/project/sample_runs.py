"""Facts of one run, for tests of what screens show: whole, and built anew with changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dayfly.core import names
from dayfly.core.facts import Attempt, Facts
from dayfly.core.records import Claim, Closed, Elected, Ended, Intent, Log, Output, Started
from model.cloud import version

TICK = datetime(2026, 11, 24, 22, 41, tzinfo=UTC)
RUN = names.RunName("pi", TICK)
SERVER = "i-0c2f81d6a7e94b350"
VERSION = version()
TEXT = ('  File "ingest/load.py", line 88, in load', "KeyError: 'customer_id'")


def at(seconds: float) -> datetime:
    return TICK + timedelta(seconds=seconds)


def claim(**changes) -> Claim:
    fields = {
        "run": str(RUN),
        "decision": "run",
        "reason": "",
        "why": "the schedule delivered it 0.6 s after the tick",
        "version": VERSION.key,
        "source": "schedule",
        "at": at(0.6),
    }
    return Claim(**{**fields, **changes})


def attempt(**changes) -> Attempt:
    intent = Intent(
        attempt=1,
        version=VERSION.key,
        at=at(0.7),
        launch=at(1),
        launch_until=at(301),
        deadline=at(961),
        time_limit_s=60,
        margin_s=900,
        markets=("spot", "on-demand"),
        requests={},
        role_id="AROAMODEL",
    )
    elected = Elected(
        at=at(1.4),
        server=SERVER,
        type="c8g.large",
        zone="eu-west-1a",
        market="spot",
        image="ami-0model",
        launched=at(1.3),
        deadline=at(961),
    )
    return Attempt(**{"number": 1, "intent": intent, "election": elected, **changes})


def ended(**changes) -> Ended:
    fields = {
        "at": at(12.8),
        "outcome": "succeeded",
        "reason": "",
        "job_started": at(2.1),
        "job_ended": at(12.0),
        "stored_at": at(12.7),
        "exit": 0,
        "outputs": (
            Output(path="out/pi.txt", key="k1", size=10_412_290, sha256="aa"),
            Output(path="out/pi.json", key="k2", size=310, sha256="bb"),
        ),
        "log": Log(pieces=1, bytes=90, lines=2, last=("hello", "done")),
        "job_peak_memory_mb": 600,
    }
    return Ended(**{**fields, **changes})


def closed(**changes) -> Closed:
    fields = {
        "at": at(13.4),
        "by": "cli:anna",
        "outcome": "succeeded",
        "reason": "",
        "detail": "",
        "server": SERVER,
        "gone": at(13),
        "ended_by": "agent: the job was over",
        "exit": 0,
    }
    return Closed(**{**fields, **changes})


STARTED = Started(at=at(2.1), memory_mb=4096)
WHOLE = Facts(
    run=RUN,
    claim=claim(),
    versions=(VERSION,),
    attempts=(attempt(started=STARTED, ended=ended(), closed=closed(), receipt=True),),
)
