"""What somebody may have meant by a schedule that is refused: the traps between cron, EventBridge and intervals.

Every reading offered here is itself a valid expression. Which times it names is told by core/schedule.py. Nothing here
decides when a job is due.
"""

from __future__ import annotations

from dayfly.core.cron import ScheduleError, crontab, eventbridge

_TWO_DIALECTS = "5 fields are cron's (1 = Monday). 6 fields belong to EventBridge (1 = SUNDAY), inside cron(...)"


def bare_fields(text: str) -> ScheduleError:
    """The refusal of an expression that is neither five fields nor one of the named forms."""
    fields = text.split()
    if len(fields) == 6:
        return ScheduleError(f'"{text}" has 6 fields but no cron(...)', why=_TWO_DIALECTS, readings=_of_six(fields))
    if len(fields) > 6:
        found = _valid((" ".join(fields[1:6]),))
        why = "the first of 7 fields is a second elsewhere; EC2 servers start by the minute"
        return ScheduleError(f'"{text}" has {len(fields)} fields; cron has 5', why=why, readings=found)
    return ScheduleError(
        f'"{text}" is no schedule',
        why='it may be 5 fields of cron, "cron(...)" of EventBridge, "rate(...)" or "at(...)"',
        advice=('schedule = "30 2 * * MON-FRI", "rate(1 hour)" or "at(2027-01-31T06:00:00)"',),
    )


def inside_cron(text: str, fields: list[str]) -> ScheduleError | None:
    """The refusal of `cron(...)` whose fields can not be EventBridge's, or None when only their values can be wrong."""
    if len(fields) == 5:
        plain = " ".join(fields)
        return ScheduleError(
            f'"{text}" has 5 fields; inside cron(...) are 6', why=_TWO_DIALECTS, readings=_with_twin((plain,))
        )
    if len(fields) != 6:
        return ScheduleError(f'"{text}" has {len(fields)} fields; inside cron(...) are 6', why=_TWO_DIALECTS)
    if (fields[2] == "?") == (fields[4] == "?"):
        why = 'in EventBridge one of the two day fields (the third and the fifth) is "?", never both, and 1 = SUNDAY'
        return ScheduleError(f'"{text}" needs "?" in one of its day fields', why=why, readings=_placed(fields))
    return None


def odd_rate(text: str, number: int, unit: str) -> ScheduleError:
    """The refusal of an interval that does not divide the hour or the day; the nearest that do are offered."""
    why = "a tick is a time of the clock, so that it has a name before it comes and a missed one is seen"
    if unit == "day":
        line = "0 0 * * MON" if number == 7 else "0 0 1 * *" if number > 15 else f"0 0 1-31/{number} * *"
        return ScheduleError(f'"{text}": {number} days do not divide a month evenly', why=why, readings=(line,))
    if unit == "hour" or number > 60:
        near = _nearest(number if unit == "hour" else number / 60, 24)
        readings = tuple(_rate(size, "hour") for size in near)
        return ScheduleError(f'"{text}" does not divide the 24 hours of a day evenly', why=why, readings=readings)
    readings = tuple(_rate(size, "minute") for size in _nearest(number, 60))
    return ScheduleError(f'"{text}" does not divide the 60 minutes of an hour evenly', why=why, readings=readings)


def _nearest(number: float, whole: int) -> list[int]:
    """The divisors of `whole` next below and next above."""
    even = [size for size in range(1, whole + 1) if whole % size == 0]
    return [*[size for size in even if size < number][-1:], *[size for size in even if size > number][:1]]


def _rate(number: int, unit: str) -> str:
    return f"rate({number} {unit}{'s' if number > 1 else ''})"


def _of_six(fields: list[str]) -> tuple[str, ...]:
    """Cron's five with a year or with seconds beside them, and the six as EventBridge has them."""
    if "?" in fields or any(sign in field for field in (fields[2], fields[4]) for sign in "#L"):
        return _placed(fields) if (fields[2] == "?") == (fields[4] == "?") else _valid((_call(fields),))
    first, last = " ".join(fields[:5]), " ".join(fields[1:])
    plain = _valid((first,)) or _valid((last,))
    if not plain:
        return ()
    found = _with_twin(plain)
    return (*found, *(reading for reading in _placed(fields) if reading not in found)) if plain == (first,) else found


def _placed(fields: list[str]) -> tuple[str, ...]:
    """Six fields with `?` put where it is missing: the numbers as cron's first, then as EventBridge's."""
    by_day, by_weekday = [*fields], [*fields]
    by_day[4] = "?"
    by_weekday[2] = "?"
    if fields[2] in "*?" and fields[4] in "*?":
        return _valid((_call([*fields[:2], "*", fields[3], "?", fields[5]]),))
    if fields[2] == "*":
        twins = _twins(" ".join(fields[:5])) if fields[5] == "*" else ()
        return _unique((*twins, *_valid((_call(by_weekday),))))
    if fields[4] == "*":
        return _valid((_call(by_day),))
    return ()


def _with_twin(plain: tuple[str, ...]) -> tuple[str, ...]:
    """A crontab line and the same for EventBridge; lines that are not valid are left out."""
    return tuple(reading for line in _valid(plain) for reading in (line, *_twins(line)))


def _twins(line: str) -> tuple[str, ...]:
    try:
        found = crontab(line.split())
    except ScheduleError:
        return ()
    return (found[0].text,) if len(found) == 1 else ()


def _call(fields: list[str]) -> str:
    return f"cron({' '.join(fields).upper()})"


def _valid(lines: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(line for line in lines if _reads(line))


def _reads(line: str) -> bool:
    try:
        if line.startswith("cron("):
            eventbridge(line[5:-1].split())
        else:
            crontab(line.split())
    except ScheduleError:
        return False
    return True


def _unique(lines: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(lines))
