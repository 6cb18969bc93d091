"""What screens say about a paused job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo

from dayfly.core import names
from dayfly.core.records import Paused
from dayfly.project import formatting
from dayfly.project.runs.pauses import Pause


def since(pause: Pause, zone: tzinfo, now: datetime) -> str:
    """Return since when, and by whom, a job is paused: `since Tue 22:41 UTC by ben`."""
    match pause:
        case Paused(at=at, by=by):
            return f"since {formatting.day_time(at, zone, now)} {formatting.zone_name(zone)} by {by or 'hand'}"
        case unreadable:
            return f"({unreadable})"


def paused_lines(pauses: Mapping[str, Pause], zone: tzinfo, now: datetime, *, local: bool) -> Iterator[str]:
    """Yield a line for each paused job: `paused   ingest since Tue 22:41 UTC by ben: dayfly resume ingest`."""
    for job, pause in sorted(pauses.items()):
        command = formatting.dayfly("resume", job, local=local)
        yield formatting.labelled("paused", f"{job} {since(pause, zone, now)}: its ticks are skipped; {command}")


def paused_document(pause: Pause) -> dict[str, str | None]:
    """Return a pause as JSON."""
    match pause:
        case Paused(at=at, by=by):
            return {"at": names.utc_text(at), "by": by or None}
    return {"at": None, "by": None}
