"""How screens and messages write times, durations, sizes, counts, commands, labelled lines and tables.

No screen lives here. Standard library only, so that it costs a command nothing to import it.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo

_COMMAND_WIDTH = 78
_UNITS = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))


def clock(moment: datetime, zone: tzinfo, *, tenths: bool = False) -> str:
    """Format a time of day as `22:41:00`, or with tenths `22:41:00.6`; cut off, never rounded up."""
    local = moment.astimezone(zone)
    if tenths:
        return f"{local:%H:%M:%S}.{local.microsecond // 100_000}"
    return f"{local:%H:%M:%S}"


def day(moment: datetime, zone: tzinfo, now: datetime) -> str:
    """Format a day as `today`, as `Wed` for the six days before and after, else as `28 Mar`, with the year if it is another one."""
    local, today = moment.astimezone(zone).date(), now.astimezone(zone).date()
    distance = abs((local - today).days)
    if distance == 0:
        return "today"
    if distance < 7:
        return f"{local:%a}"
    if local.year == today.year:
        return f"{local.day} {local:%b}"
    return f"{local.day} {local:%b} {local.year}"


def day_time(moment: datetime, zone: tzinfo, now: datetime) -> str:
    """Format a day and time as `today 02:30`, or `today 02:30:09` if it is not a whole minute."""
    local = moment.astimezone(zone)
    if local.second:
        return f"{day(moment, zone, now)} {local:%H:%M:%S}"
    return f"{day(moment, zone, now)} {local:%H:%M}"


def date_time(moment: datetime, zone: tzinfo) -> str:
    """Format a date and time as `24 Nov 21:00`."""
    local = moment.astimezone(zone)
    return f"{local.day} {local:%b} {local:%H:%M}"


def zone_name(zone: tzinfo) -> str:
    """Return the name of a time zone: `Europe/Berlin`, `UTC`."""
    return str(getattr(zone, "key", None) or zone)


def duration(length: timedelta | float) -> str:
    """Format a measured duration for a column: `12s`, `34m44s`, `2h41m`, `3d4h`. Negative counts as 0."""
    whole = int(_seconds(length))
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, seconds = divmod(rest, 60)
    if days and hours:
        return f"{days}d{hours}h"
    if days:
        return f"{days}d"
    if hours:
        return f"{hours}h{minutes:02d}m"
    if minutes:
        return f"{minutes}m{seconds:02d}s"
    return f"{seconds}s"


def duration_phrase(length: timedelta | float, *, tenths: bool = False) -> str:
    """Format a measured duration for a sentence: `50 s`, with tenths `9.9 s`, `less than 1 s`, `35m07s`."""
    seconds = _seconds(length)
    if seconds >= 60:
        return duration(seconds)
    if tenths:
        return f"{seconds:.1f} s"
    if 0 < seconds < 1:
        return "less than 1 s"
    return f"{int(seconds)} s"


def _seconds(length: timedelta | float) -> float:
    if isinstance(length, timedelta):
        length = length.total_seconds()
    return max(0.0, length)


def size(count: int) -> str:
    """Format a number of bytes in decimal units: `1 byte`, `512 bytes`, `10.4 MB`."""
    for unit, factor in _UNITS:
        if count >= factor:
            return f"{count / factor:.1f} {unit}".replace(".0 ", " ")
    return number_of(count, "byte")


def memory(used_mb: int | None, total_mb: int | None) -> str:
    """Format a peak as `peak memory 1.1 of 32 GB` (units of 1024); empty if the peak is unknown."""
    if used_mb is None:
        return ""
    if total_mb is None and used_mb < 1024:
        return f"peak memory {used_mb} MB"
    if total_mb is None:
        return f"peak memory {used_mb / 1024:.1f} GB"
    if total_mb < 1024:
        return f"peak memory {used_mb} of {total_mb} MB"
    if used_mb < 0.1 * 1024:
        return f"peak memory {used_mb} MB of {total_mb / 1024:.0f} GB"
    return f"peak memory {used_mb / 1024:.1f} of {total_mb / 1024:.0f} GB"


def number_of(count: int, noun: str) -> str:
    """Format a count with its noun: `1 file`, `3 files`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun}s"


def joined(*parts: str, separator: str = ", ") -> str:
    """Join the parts that are not empty."""
    return separator.join(part for part in parts if part)


def with_detail(clause: str, detail: str) -> str:
    """Return `clause: detail`, or the clause alone if there is no detail."""
    return joined(clause, detail, separator=": ")


def one_line(command: str | Sequence[str]) -> str:
    """Format a job's command on one line, cut off at 78 characters."""
    if isinstance(command, str):
        line = " ".join(command.split())
    else:
        line = shlex.join(command)
    if len(line) > _COMMAND_WIDTH:
        return line[: _COMMAND_WIDTH - 3] + "..."
    return line


def dayfly(*arguments: str, local: bool) -> str:
    """Return a command to type: `dayfly show pi --local`."""
    line = " ".join(("dayfly", *arguments))
    if local:
        return f"{line} --local"
    return line


def labelled(label: str, line: str, *, width: int = 8, indent: int = 0) -> str:
    """Return a line that starts with a label: `target   AWS ...`. `width`: that of the label."""
    return f"{'':<{indent}}{label:<{width}} {line}".rstrip()


def table(rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the lines of a table with columns two spaces apart. The first row holds the titles."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return tuple(_table_row(row, widths) for row in rows)


def _table_row(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
