"""Suggests what a rejected schedule may have meant, for common mix-ups of crontab, EventBridge and intervals.

Every suggestion is itself a valid expression. Nothing here decides when a job is due.
"""

from __future__ import annotations

from dayfly.core.cron import ScheduleError, crontab, eventbridge

_TWO_DIALECTS = "5 fields are cron's (1 = Monday). 6 fields belong to EventBridge (1 = SUNDAY), inside cron(...)"


def wrong_field_count(text: str) -> ScheduleError:
    """Return the error for an expression that is neither five fields nor one of the named forms."""
    fields = text.split()
    if len(fields) == 6:
        return ScheduleError(
            f'"{text}" has 6 fields but no cron(...)', why=_TWO_DIALECTS, suggestions=_for_six_fields(fields)
        )
    if len(fields) > 6:
        found = _only_valid((" ".join(fields[1:6]),))
        why = "in dialects with 7 fields the first field is seconds; dayfly starts servers by the minute"
        return ScheduleError(f'"{text}" has {len(fields)} fields; cron has 5', why=why, suggestions=found)
    return ScheduleError(
        f'"{text}" is not a schedule',
        why='a schedule is 5 cron fields, or EventBridge\'s "cron(...)", "rate(...)" or "at(...)"',
        advice=('schedule = "30 2 * * MON-FRI", "rate(1 hour)" or "at(2027-01-31T06:00:00)"',),
    )


def wrong_cron_fields(text: str, fields: list[str]) -> ScheduleError | None:
    """Return the error for `cron(...)` with a wrong number of fields or of `?`; None when both are right."""
    if len(fields) == 5:
        plain = " ".join(fields)
        return ScheduleError(
            f'"{text}" has 5 fields; cron(...) has 6', why=_TWO_DIALECTS, suggestions=_with_eventbridge((plain,))
        )
    if len(fields) != 6:
        return ScheduleError(f'"{text}" has {len(fields)} fields; cron(...) has 6', why=_TWO_DIALECTS)
    if (fields[2] == "?") == (fields[4] == "?"):
        why = 'in EventBridge exactly one of the two day fields (the third and the fifth) is "?", and 1 = SUNDAY'
        return ScheduleError(
            f'"{text}" needs "?" in one of its day fields', why=why, suggestions=_with_question_mark(fields)
        )
    return None


def uneven_rate(text: str, number: float, unit: str) -> ScheduleError:
    """Return the error for an interval that does not divide the hour or the day; it suggests the nearest that do."""
    why = "ticks are fixed clock times, so that dayfly can tell when one was missed"
    if unit == "day":
        message = f'"{text}": {number} days do not divide a month evenly'
        return ScheduleError(message, why=why, suggestions=(_every_n_days(number),))
    if unit == "minute" and number > 60:
        number, unit = number / 60, "hour"
    if unit == "hour":
        suggestions = tuple(_rate(size, "hour") for size in _nearest(number, 24))
        return ScheduleError(f'"{text}" does not divide the 24 hours of a day evenly', why=why, suggestions=suggestions)
    suggestions = tuple(_rate(size, "minute") for size in _nearest(number, 60))
    return ScheduleError(f'"{text}" does not divide the 60 minutes of an hour evenly', why=why, suggestions=suggestions)


def _every_n_days(number: float) -> str:
    """Return the crontab line nearest to an interval of so many days."""
    if number == 7:
        return "0 0 * * MON"
    if number > 15:
        return "0 0 1 * *"
    return f"0 0 1-31/{number} * *"


def _nearest(number: float, whole: int) -> list[int]:
    """Return the next smaller and the next larger divisor of `whole`, as far as they exist."""
    divisors = [size for size in range(1, whole + 1) if whole % size == 0]
    smaller = [size for size in divisors if size < number]
    larger = [size for size in divisors if size > number]
    return [*smaller[-1:], *larger[:1]]


def _rate(number: int, unit: str) -> str:
    if number == 1:
        return f"rate(1 {unit})"
    return f"rate({number} {unit}s)"


def _for_six_fields(fields: list[str]) -> tuple[str, ...]:
    """Return suggestions for six fields: crontab's five with a year after or seconds before them, or EventBridge's six."""
    if _looks_like_eventbridge(fields):
        if (fields[2] == "?") != (fields[4] == "?"):
            return _only_valid((_cron_text(fields),))
        return _with_question_mark(fields)
    with_year = _only_valid((" ".join(fields[:5]),))
    if with_year:
        return _unique((*_with_eventbridge(with_year), *_with_question_mark(fields)))
    return _with_eventbridge((" ".join(fields[1:]),))


def _looks_like_eventbridge(fields: list[str]) -> bool:
    days = fields[2] + fields[4]
    return "?" in fields or "#" in days or "L" in days


def _with_question_mark(fields: list[str]) -> tuple[str, ...]:
    """Return six fields with the missing `?` added: first with the numbers as crontab means them, then as EventBridge does."""
    by_day, by_weekday = [*fields], [*fields]
    by_day[4] = "?"
    by_weekday[2] = "?"
    if fields[2] in "*?" and fields[4] in "*?":
        return _only_valid((_cron_text([*fields[:2], "*", fields[3], "?", fields[5]]),))
    if fields[2] == "*" and fields[5] == "*":
        return _unique((*_as_eventbridge(" ".join(fields[:5])), *_only_valid((_cron_text(by_weekday),))))
    if fields[2] == "*":
        return _only_valid((_cron_text(by_weekday),))
    if fields[4] == "*":
        return _only_valid((_cron_text(by_day),))
    return ()


def _with_eventbridge(plain: tuple[str, ...]) -> tuple[str, ...]:
    """Return each valid crontab line, followed by the same for EventBridge."""
    found: list[str] = []
    for line in _only_valid(plain):
        found += [line, *_as_eventbridge(line)]
    return tuple(found)


def _as_eventbridge(line: str) -> tuple[str, ...]:
    """Return the line for EventBridge; empty if it is invalid or needs two expressions."""
    try:
        found = crontab(line.split())
    except ScheduleError:
        return ()
    if len(found) > 1:
        return ()
    return (found[0].text,)


def _cron_text(fields: list[str]) -> str:
    return f"cron({' '.join(fields).upper()})"


def _only_valid(lines: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(line for line in lines if _is_valid(line))


def _is_valid(line: str) -> bool:
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
