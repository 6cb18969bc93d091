"""How screens write times, spans, sizes, names and columns. No screen lives here, and nothing that knows a run's state."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo

from dayfly.core.names import RunName
from dayfly.project.runs.references import short

_WIDE = 78


def clock(moment: datetime, zone: tzinfo, *, tenths: bool = False) -> str:
    """`22:41:00`, or `22:41:00.6`: cut, never rounded up into the next second."""
    local = moment.astimezone(zone)
    return f"{local:%H:%M:%S}.{local.microsecond // 100_000}" if tenths else f"{local:%H:%M:%S}"


def day(moment: datetime, zone: tzinfo, now: datetime) -> str:
    """`today`, the weekday of the six days before and after, else `28 Mar`, with the year when it is another."""
    local, today = moment.astimezone(zone).date(), now.astimezone(zone).date()
    away = (local - today).days
    if away == 0:
        return "today"
    if abs(away) < 7:
        return f"{local:%a}"
    return f"{local.day} {local:%b}" + (f" {local.year}" if local.year != today.year else "")


def day_time(moment: datetime, zone: tzinfo, now: datetime) -> str:
    """`today 02:30`; with seconds when it has any."""
    local = moment.astimezone(zone)
    return f"{day(moment, zone, now)} {local:%H:%M:%S}" if local.second else f"{day(moment, zone, now)} {local:%H:%M}"


def utc_day_time(moment: datetime, zone: tzinfo) -> str:
    """`24 Nov 21:00`."""
    local = moment.astimezone(zone)
    return f"{local.day} {local:%b} {local:%H:%M}"


def span(length: timedelta | float) -> str:
    """`12s`, `34m44s`, `2h41m`, `3d4h`; below zero is 0."""
    whole = max(0, int(length.total_seconds() if isinstance(length, timedelta) else length))
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, seconds = divmod(rest, 60)
    if days:
        return f"{days}d{hours}h" if hours else f"{days}d"
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{seconds:02d}s" if minutes else f"{seconds}s"


def spoken(length: timedelta | float, *, tenths: bool = False) -> str:
    """A span in a sentence: `50 s`, `less than 1 s`, `9.9 s` with tenths, `35m07s`."""
    seconds = max(0.0, length.total_seconds() if isinstance(length, timedelta) else length)
    if 0 < seconds < 1 and not tenths:
        return "less than 1 s"
    if seconds < 60:
        return f"{seconds:.1f} s" if tenths else f"{int(seconds)} s"
    return span(seconds)


def size(count: int) -> str:
    """Decimal units: `512 bytes`, `10.4 MB`."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}".replace(".0 ", " ")
    return f"{count} byte" if count == 1 else f"{count} bytes"


def memory(used_mb: int | None, whole_mb: int | None) -> str:
    """`peak memory 1.1 of 32 GB`, in one unit (2^20 or 2^30 bytes); empty when the peak is not known."""
    if used_mb is None:
        return ""
    if whole_mb is None:
        return f"peak memory {used_mb} MB" if used_mb < 1024 else f"peak memory {used_mb / 1024:.1f} GB"
    if whole_mb < 1024:
        return f"peak memory {used_mb} of {whole_mb} MB"
    used = used_mb / 1024
    return (
        f"peak memory {used:.1f} of {whole_mb / 1024:.0f} GB"
        if used >= 0.1
        else f"peak memory {used_mb} MB of {whole_mb / 1024:.0f} GB"
    )


def count(number: int, noun: str) -> str:
    """`1 file`, `3 files`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def name(run: RunName) -> str:
    """A run as a command can be given it whatever other runs there are: short on a whole minute, else in full."""
    return str(run) if run.tick.second else short(run)


def command(written: str | Sequence[str]) -> str:
    """A job's command on one line."""
    text = " ".join(written.split()) if isinstance(written, str) else shlex.join(written)
    return text if len(text) <= _WIDE else text[: _WIDE - 3] + "..."


def dayfly(*parts: str, local: bool) -> str:
    """A command to type: `dayfly show pi --local`."""
    return " ".join(("dayfly", *parts, *(("--local",) if local else ())))


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> tuple[str, ...]:
    """Columns two spaces apart, the first row their titles; `right`: columns that stand to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return tuple(
        "  ".join(
            f"{cell:>{width}}" if at in right else f"{cell:<{width}}"
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
