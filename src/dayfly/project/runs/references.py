"""How users name runs: `ingest`, `ingest@2026-11-24`, `ingest@2026-11-24T02:30`, with Z for UTC; and how screens shorten names.

core/names.py defines the full name. The runs to choose from are arguments; nothing is looked up here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

from dayfly.core.names import JOB_NAME, RunName
from dayfly.errors import FileError, NotFoundError
from dayfly.project import formatting

_WHEN = re.compile(r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d)(:\d\d)?(Z?))?", re.ASCII)
_MOST_LISTED = 5


@dataclass(frozen=True, slots=True)
class RunReference:
    """A RUN argument. `when`: the day or the time of the run that it means; None: the job's newest run.

    A time with Z is in UTC. A day, or a time without Z, is in the job's zone. `to_the_minute`: the time had no seconds.
    """

    text: str
    job: str
    when: date | datetime | None = None
    to_the_minute: bool = False

    @property
    def day(self) -> date | None:
        """The day, or the day of the time, that the reference names."""
        if isinstance(self.when, datetime):
            return self.when.date()
        return self.when


def parse(text: str) -> RunReference:
    """Parse `JOB`, `JOB@2026-11-24` or `JOB@2026-11-24T02:30[:00][Z]`. Raises FileError for any other form."""
    job, at, when = text.partition("@")
    if not JOB_NAME.fullmatch(job):
        raise _malformed(text, f'"{job}" cannot be the name of a job')
    if not at:
        return RunReference(text, job)
    found = _WHEN.fullmatch(when)
    if not found:
        raise _malformed(text, f'"{when}" is neither a date nor a time')
    day, minute, second, utc = found.groups()
    try:
        if minute is None:
            return RunReference(text, job, date.fromisoformat(day))
        moment = datetime.fromisoformat(f"{day}T{minute}{second or ':00'}")
    except ValueError:
        raise _malformed(text, f'"{when}" is not in the calendar') from None
    if utc:
        moment = moment.replace(tzinfo=UTC)
    return RunReference(text, job, moment, to_the_minute=second is None)


def resolve(reference: RunReference, runs: Iterable[RunName], zone: tzinfo) -> RunName:
    """Return the one of these runs that the reference means; `zone` is the job's.

    Raises NotFoundError if none or more than one matches, with the nearest names.
    """
    own = sorted({run for run in runs if run.job == reference.job}, key=lambda run: run.tick)
    if not own:
        raise NotFoundError(f"{reference.job} has no runs yet", hint=f"dayfly run {reference.job}")
    if reference.when is None:
        return own[-1]
    matching = [run for run in own if matches(reference, run, zone)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise NotFoundError(
            f"{reference.text} matches {len(matching)} runs; pick one",
            lines=choices(matching[-_MOST_LISTED:], own),
            hint=_show(matching, own),
        )
    near = nearest(reference, own, zone)
    raise NotFoundError(f"there is no run {reference.text}", lines=choices(near, own), hint=_show(near, own))


def known_job(name: str, jobs: Iterable[str]) -> str:
    """Return the name if it is one of these jobs. Raises NotFoundError with the nearest name."""
    known = sorted(jobs)
    if name in known:
        return name
    hint = f"jobs: {', '.join(known) or 'none'}"
    for close in difflib.get_close_matches(name, known, n=1):
        hint = f"did you mean {close}?"
    raise NotFoundError(f"there is no job {name}", hint=hint)


def short(run: RunName, others: Iterable[RunName] = ()) -> str:
    """Return the name for screens, `ingest@2026-11-24T01:30Z`; with seconds if another of these runs has the same minute."""
    minute = _minute(run.tick)
    if any(other != run and other.job == run.job and _minute(other.tick) == minute for other in others):
        return str(run)
    return f"{run.job}@{minute:%Y-%m-%dT%H:%MZ}"


def unique_name(run: RunName) -> str:
    """Return the shortest name that is unique whatever other runs exist: without seconds if they are 0."""
    if run.tick.second:
        return str(run)
    return short(run)


def run_tick(run: RunName, *, local: bool) -> str:
    """Return the command that runs a tick later: `dayfly run ingest --tick 2026-11-24T01:30Z`."""
    tick = unique_name(run).removeprefix(f"{run.job}@")
    return formatting.dayfly("run", run.job, "--tick", tick, local=local)


def matches(reference: RunReference, run: RunName, zone: tzinfo) -> bool:
    """Return whether the reference means this run; `zone` is the job's."""
    local = run.tick.astimezone(zone)
    if not isinstance(reference.when, datetime):
        return local.date() == reference.when
    tick = local.replace(tzinfo=None, fold=0)
    if reference.when.tzinfo is not None:
        tick = run.tick
    if reference.to_the_minute:
        tick = _minute(tick)
    return tick == reference.when


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def nearest(reference: RunReference, own: Sequence[RunName], zone: tzinfo) -> list[RunName]:
    """Return up to three runs around the day or the time that the reference names, oldest first."""
    if reference.when is None:
        return []
    middle = _middle(reference.when, zone)

    def distance(run: RunName) -> timedelta:
        return abs(run.tick - middle)

    return sorted(sorted(own, key=distance)[:3], key=lambda run: run.tick)


def _middle(when: date | datetime, zone: tzinfo) -> datetime:
    """Return the time itself, or noon of the day."""
    if not isinstance(when, datetime):
        return datetime(when.year, when.month, when.day, 12, tzinfo=zone)
    if when.tzinfo is None:
        return when.replace(tzinfo=zone)
    return when


def choices(runs: Sequence[RunName], own: Sequence[RunName] = ()) -> tuple[tuple[str, str], ...]:
    """Return the runs as further lines of an error, labelled `is` (the first) and `or` (the others)."""
    labels = ["is", *("or" for _ in runs[1:])]
    return tuple((label, short(run, own)) for label, run in zip(labels, runs, strict=False))


def _show(runs: Sequence[RunName], own: Sequence[RunName]) -> str:
    return f"dayfly show {short(runs[-1], own)}"


def _malformed(text: str, why: str) -> FileError:
    return FileError(
        f"{text!r} is not the name of a run: {why}", hint="a run is JOB, JOB@2026-11-24 or JOB@2026-11-24T01:30Z"
    )
