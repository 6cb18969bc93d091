"""Suggests what a rejected schedule may have meant: it knows the traps between cron, EventBridge and intervals.

Every suggested reading is itself a valid expression. Nothing here decides when a job is due.
"""

from __future__ import annotations

from dayfly.core.cron import ScheduleError, crontab, eventbridge

_TWO_DIALECTS = "5 fields are cron's (1 = Monday). 6 fields belong to EventBridge (1 = SUNDAY), inside cron(...)"


def bare_fields(text: str) -> ScheduleError:
    """The error for an expression that is neither five fields nor one of the named forms."""
    fields = text.split()
    if len(fields) == 6:
        return ScheduleError(f'"{text}" has 6 fields but no cron(...)', why=_TWO_DIALECTS, readings=_of_six(fields))
    if len(fields) > 6:
        found = _valid((" ".join(fields[1:6]),))
        why = "elsewhere the first of 7 fields is a second; dayfly starts servers by the minute"
        return ScheduleError(f'"{text}" has {len(fields)} fields; cron has 5', why=why, readings=found)
    return ScheduleError(
        f'"{text}" is not a schedule',
        why='a schedule is 5 cron fields, or EventBridge\'s "cron(...)", "rate(...)" or "at(...)"',
        advice=('schedule = "30 2 * * MON-FRI", "rate(1 hour)" or "at(2027-01-31T06:00:00)"',),
    )


def inside_cron(text: str, fields: list[str]) -> ScheduleError | None:
    """The error for `cron(...)` whose fields cannot be EventBridge's; None when only their values can be wrong."""
    if len(fields) == 5:
        plain = " ".join(fields)
        return ScheduleError(
            f'"{text}" has 5 fields; cron(...) has 6', why=_TWO_DIALECTS, readings=_with_twin((plain,))
        )
    if len(fields) != 6:
        return ScheduleError(f'"{text}" has {len(fields)} fields; cron(...) has 6', why=_TWO_DIALECTS)
    if (fields[2] == "?") == (fields[4] == "?"):
        why = 'in EventBridge exactly one of the two day fields (the third and the fifth) is "?", and 1 = SUNDAY'
        return ScheduleError(f'"{text}" needs "?" in one of its day fields', why=why, readings=_placed(fields))
    return None


def odd_rate(text: str, number: float, unit: str) -> ScheduleError:
    """The error for an interval that does not divide the hour or the day, with the nearest that do."""
    why = "ticks are fixed times of the clock, so that a missed one is noticed"
    if unit == "day":
        message = f'"{text}": {number} days do not divide a month evenly'
        return ScheduleError(message, why=why, readings=(_every_n_days(number),))
    if unit == "minute" and number > 60:
        number, unit = number / 60, "hour"
    if unit == "hour":
        readings = tuple(_rate(size, "hour") for size in _nearest(number, 24))
        return ScheduleError(f'"{text}" does not divide the 24 hours of a day evenly', why=why, readings=readings)
    readings = tuple(_rate(size, "minute") for size in _nearest(number, 60))
    return ScheduleError(f'"{text}" does not divide the 60 minutes of an hour evenly', why=why, readings=readings)


def _every_n_days(number: float) -> str:
    """The crontab line nearest to every so many days."""
    if number == 7:
        return "0 0 * * MON"
    if number > 15:
        return "0 0 1 * *"
    return f"0 0 1-31/{number} * *"


def _nearest(number: float, whole: int) -> list[int]:
    """The next smaller and next larger divisor of `whole`."""
    even = [size for size in range(1, whole + 1) if whole % size == 0]
    return [*[size for size in even if size < number][-1:], *[size for size in even if size > number][:1]]


def _rate(number: int, unit: str) -> str:
    if number == 1:
        return f"rate(1 {unit})"
    return f"rate({number} {unit}s)"


def _of_six(fields: list[str]) -> tuple[str, ...]:
    """Readings of six fields: five of crontab with a year after or seconds before them, or EventBridge's six."""
    if _looks_like_eventbridge(fields):
        if (fields[2] == "?") != (fields[4] == "?"):
            return _valid((_call(fields),))
        return _placed(fields)
    with_year = _valid((" ".join(fields[:5]),))
    if with_year:
        return _unique((*_with_twin(with_year), *_placed(fields)))
    return _with_twin((" ".join(fields[1:]),))


def _looks_like_eventbridge(fields: list[str]) -> bool:
    days = fields[2] + fields[4]
    return "?" in fields or "#" in days or "L" in days


def _placed(fields: list[str]) -> tuple[str, ...]:
    """Six fields with the missing `?` added: first with the numbers read as cron does, then as EventBridge does."""
    by_day, by_weekday = [*fields], [*fields]
    by_day[4] = "?"
    by_weekday[2] = "?"
    if fields[2] in "*?" and fields[4] in "*?":
        return _valid((_call([*fields[:2], "*", fields[3], "?", fields[5]]),))
    if fields[2] == "*" and fields[5] == "*":
        return _unique((*_twins(" ".join(fields[:5])), *_valid((_call(by_weekday),))))
    if fields[2] == "*":
        return _valid((_call(by_weekday),))
    if fields[4] == "*":
        return _valid((_call(by_day),))
    return ()


def _with_twin(plain: tuple[str, ...]) -> tuple[str, ...]:
    """Each valid crontab line, followed by the same for EventBridge."""
    return tuple(reading for line in _valid(plain) for reading in (line, *_twins(line)))


def _twins(line: str) -> tuple[str, ...]:
    """The line for EventBridge, if it is valid and takes one expression."""
    try:
        found = crontab(line.split())
    except ScheduleError:
        return ()
    if len(found) > 1:
        return ()
    return (found[0].text,)


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
