"""Find the tick of a job's schedule that a person names, for `run --tick`. These flows only read the deployed versions.

references.py parses the date or the time.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from dayfly.core import names, ticks
from dayfly.core.model import Deployed
from dayfly.core.ticks import Zones
from dayfly.errors import FileError, NotFoundError
from dayfly.flows import read
from dayfly.flows.calls import Flow, List, Now, ask
from dayfly.project.runs import references
from dayfly.project.runs.references import RunReference

_DAY = timedelta(days=1)
_MOST_LISTED = 5
_WIDER = (2, 8, 40, 400)
"""How many days around a date the nearest ticks are looked for, until there is one."""


def parse(job: str, text: str) -> RunReference:
    """Parse the date or the time of `--tick`. Raises FileError."""
    try:
        return references.parse(f"{job}@{text}")
    except FileError:
        raise FileError(
            f"--tick takes a date or a time of the schedule, not {text!r}",
            hint="for example 2026-11-23, 2026-11-23T02:30 (in the job's zone) or 2026-11-23T01:30Z",
        ) from None


def find_tick(reference: RunReference, zone: ZoneInfo, keep_s: int, zones: Zones) -> Flow[names.RunName]:
    """Return the tick that the reference means; `zone` is the job's. A date means the only tick of that day.

    Raises NotFoundError: with the nearest ticks when it is none, or several; for a time to come, and for one older than `keep_s`.
    """
    now = yield from ask(Now())
    middle = datetime.combine(reference.day or now.date(), time(12), UTC)
    due: list[names.RunName] = []
    for days in _WIDER:
        due = yield from _due(reference.job, middle - days * _DAY, middle + days * _DAY, zones)
        if any(run.tick <= now for run in due):
            break
    matching = [run for run in due if references.matches(reference, run, zone)]
    if len(matching) == 1:
        _refuse_other_times(matching[0], now, keep_s)
        return matching[0]
    if matching:
        raise _several(reference, matching)
    raise _none(reference, [run for run in due if run.tick <= now], zone)


def _due(job: str, start: datetime, end: datetime, zones: Zones) -> Flow[list[names.RunName]]:
    """Return the ticks of the versions in force from `start` on and before `end`, oldest first."""
    keys = filter(names.is_version_key, (yield from ask(List(names.version_prefix(job)))))
    found: list[names.RunName] = []
    for period in ticks.periods(keys, end):
        first, last = max(period.start, start), min(period.end, end)
        if first >= last:
            continue
        match (yield from read.version(period.key)):
            case Deployed(job=deployed):
                found += [names.RunName(job, tick) for tick in ticks.due(deployed.timetable, first, last, zones)]
    return found


def _refuse_other_times(run: names.RunName, now: datetime, keep_s: int) -> None:
    if run.tick > now:
        raise NotFoundError(f"{references.unique_name(run)} is in the future", hint="its schedule will start it")
    if now - run.tick > timedelta(seconds=keep_s):
        raise NotFoundError(
            f"{references.unique_name(run)} is older than `keep`: its result would be removed at once",
            hint="a longer `keep` in dayfly.toml, then dayfly deploy",
        )


def _several(reference: RunReference, matching: list[names.RunName]) -> NotFoundError:
    return NotFoundError(
        f"{reference.text} is {len(matching)} ticks of {reference.job}; pick one",
        lines=references.choices(matching[-_MOST_LISTED:]),
        hint=references.run_tick(matching[-1], local=False),
    )


def _none(reference: RunReference, due: list[names.RunName], zone: ZoneInfo) -> NotFoundError:
    """Return the error for a date or a time that is no tick, with the nearest ones."""
    what = f"{reference.text} is no tick of {reference.job}'s schedule in force then"
    near = references.nearest(reference, due, zone)
    if not near:
        return NotFoundError(f"{what}; none was due around that day", hint=f"dayfly run {reference.job}")
    return NotFoundError(what, lines=references.choices(near), hint=references.run_tick(near[-1], local=False))
