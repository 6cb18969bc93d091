"""How people name runs: `ingest`, `ingest@2026-11-24`, `ingest@2026-11-24T02:30`, with Z for UTC, and how screens shorten them.

The full name is core/names.py's. Which runs there are comes as values; nothing is looked up here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

from dayfly.core.names import JOB_NAME, RunName
from dayfly.errors import FileError, NotFoundError

_WHEN = re.compile(r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d)(:\d\d)?(Z?))?", re.ASCII)
_LISTED = 5


@dataclass(frozen=True, slots=True)
class RunRef:
    """What somebody typed. `day` alone: a date in the job's zone. `moment`: with zone UTC when it had a Z, else without
    zone, of the job's; `to_the_minute` when it had no seconds. Neither: the newest run.
    """

    text: str
    job: str
    day: date | None = None
    moment: datetime | None = None
    to_the_minute: bool = False


def parse(text: str) -> RunRef:
    """`JOB`, `JOB@2026-11-24`, `JOB@2026-11-24T02:30[:00][Z]` -> RunRef. Raises FileError for any other form."""
    job, at, when = text.partition("@")
    if not JOB_NAME.fullmatch(job):
        raise _malformed(text, f'"{job}" can not be the name of a job')
    if not at:
        return RunRef(text, job)
    found = _WHEN.fullmatch(when)
    if not found:
        raise _malformed(text, f'"{when}" is no date and no time')
    day, minute, second, utc = found.groups()
    try:
        if minute is None:
            return RunRef(text, job, day=date.fromisoformat(day))
        moment = datetime.fromisoformat(f"{day}T{minute}{second or ':00'}")
    except ValueError:
        raise _malformed(text, f'"{when}" is not in the calendar') from None
    return RunRef(text, job, moment=moment.replace(tzinfo=UTC) if utc else moment, to_the_minute=second is None)


def resolve(ref: RunRef, runs: Iterable[RunName], zone: tzinfo) -> RunName:
    """The one of these runs that is meant; `zone` is the job's. A job alone means its newest run.

    Raises NotFoundError when none or more than one fits, with the nearest names.
    """
    own = sorted({run for run in runs if run.job == ref.job}, key=lambda run: run.tick)
    if not own:
        raise NotFoundError(f"{ref.job} has no run yet", hint=f"dayfly run {ref.job}")
    if ref.day is None and ref.moment is None:
        return own[-1]
    fitting = [run for run in own if _fits(ref, run, zone)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise NotFoundError(
            f"{ref.text} may be {len(fitting)} runs; name one",
            lines=_listed(fitting[-_LISTED:], own),
            hint=_show(fitting, own),
        )
    near = _nearest(ref, own, zone)
    raise NotFoundError(f"there is no run {ref.text}", lines=_listed(near, own), hint=_show(near, own))


def known_job(name: str, jobs: Iterable[str]) -> str:
    """`name` if it is one of these jobs. Raises NotFoundError with the nearest names."""
    known = sorted(jobs)
    if name in known:
        return name
    close = difflib.get_close_matches(name, known, n=1)
    words = f"did you mean {close[0]}?" if close else f"jobs: {', '.join(known) or 'none'}"
    raise NotFoundError(f"there is no job {name}", hint=words)


def short(run: RunName, others: Iterable[RunName] = ()) -> str:
    """The name on screens, `ingest@2026-11-24T01:30Z`; with seconds when another run of the job has the same minute."""
    minute = _minute(run.tick)
    if any(other != run and other.job == run.job and _minute(other.tick) == minute for other in others):
        return str(run)
    return f"{run.job}@{minute:%Y-%m-%dT%H:%MZ}"


def _fits(ref: RunRef, run: RunName, zone: tzinfo) -> bool:
    local = run.tick.astimezone(zone)
    if ref.moment is None:
        return local.date() == ref.day
    tick = run.tick if ref.moment.tzinfo else local.replace(tzinfo=None, fold=0)
    return (_minute(tick) if ref.to_the_minute else tick) == ref.moment


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _nearest(ref: RunRef, own: Sequence[RunName], zone: tzinfo) -> list[RunName]:
    """Up to three runs around the named time, oldest first."""
    if ref.moment is None:
        assert ref.day is not None
        asked = datetime(ref.day.year, ref.day.month, ref.day.day, 12, tzinfo=zone)
    else:
        asked = ref.moment if ref.moment.tzinfo else ref.moment.replace(tzinfo=zone)

    def distance(run: RunName) -> timedelta:
        return abs(run.tick - asked)

    return sorted(sorted(own, key=distance)[:3], key=lambda run: run.tick)


def _listed(runs: Sequence[RunName], own: Sequence[RunName]) -> tuple[tuple[str, str], ...]:
    return tuple(("or" if number else "is", short(run, own)) for number, run in enumerate(runs))


def _show(runs: Sequence[RunName], own: Sequence[RunName]) -> str:
    return f"dayfly show {short(runs[-1], own)}"


def _malformed(text: str, why: str) -> FileError:
    form = "JOB, JOB@2026-11-24 or JOB@2026-11-24T01:30Z"
    return FileError(f"{text!r} is not the name of a run: {why}", hint=f"a run is {form}")
