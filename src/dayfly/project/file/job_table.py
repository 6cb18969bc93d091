"""Read the keys of a job: those of its own table, of [defaults], and the rules that need two keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

from dayfly.core import names, schedule
from dayfly.core.model import Architecture, Job, Market, Overlap
from dayfly.project.file import catalogue, disks, job_values, keys, policy_file, rights, toml_lines, values
from dayfly.project.file.reading import EMPTY, NO_STRINGS, Reading, Tables, Zones, quoted

MARGIN_LEAST_S = 600
_WHOLE: tuple[str, ...] = (".",)
_NO_COMMAND: str | tuple[str, ...] = ""
_DAY = 86_400
_WHY_MARGIN = "boot, setup and saving need it; what is not saved by the deadline is lost with the server"


def read_jobs(reading: Reading, tables: Mapping[str, Any]) -> dict[str, Job]:
    defaults = reading.value(("defaults",), tables.get("defaults", {}), values.table, EMPTY)
    reading.known(("defaults",), defaults, "job")
    jobs = reading.value(("jobs",), tables.get("jobs", {}), values.table, EMPTY)
    if not jobs and isinstance(tables.get("jobs", {}), dict):
        reading.note(
            ("jobs",), "the file has no job", '[jobs.hello], with command = "echo hello" and servers = ["c8g.large"]'
        )
    # Read [defaults] alone once, so that an invalid default is reported even if every job overrides it.
    _job(reading, "defaults", Tables(reading, ((("defaults",), defaults),)), jobs, complete=False)
    found = {name: _one_job(reading, name, content, defaults, jobs) for name, content in jobs.items()}
    read = {name: job for name, job in found.items() if job is not None}
    rights.check_sets(reading, read)
    return read


def _one_job(
    reading: Reading, name: str, content: Any, defaults: Mapping[str, Any], jobs: Collection[str]
) -> Job | None:
    path = ("jobs", name)
    if not isinstance(content, dict):
        remedy = f"[jobs.{quoted(name)}] with its keys"
        if name in keys.names("job"):
            remedy = "put it under [jobs.NAME]"
        reading.note(path, "is not a table, so it is not a job", remedy)
        return None
    if not names.JOB_NAME.fullmatch(name):
        why = "commands, keys and tags contain it"
        reading.note(path, f'"{name}" is not 1 to 40 letters, digits and -, without - at the ends', why=why)
    elif name.startswith((names.KILL_PREFIX, "dayfly-")):
        why = "the names of dayfly's own schedules begin like that"
        reading.note(path, f'"{name}" begins with {name.split("-")[0]}-', "another name", why=why)
    reading.known(path, content, "job")
    return _job(reading, name, Tables(reading, ((path, content), (("defaults",), defaults))), jobs, complete=True)


def _job(reading: Reading, name: str, tables: Tables, jobs: Collection[str], *, complete: bool) -> Job:
    """Return the job in these tables. `jobs`: the names of all. `complete` is False for [defaults] alone, where no key is required."""
    take = tables.take
    types = take(
        "servers",
        lambda value: values.at_least_one(value, job_values.server_type),
        NO_STRINGS,
        required='servers = ["c8g.large"]' * complete,
    )
    expressions = take("schedule", job_values.schedule, NO_STRINGS)
    zone = take("timezone", lambda value: _zone(value, reading.zones), reading.zones("UTC"))
    _schedules(reading, tables.place("schedule"), expressions, zone)
    market, overlap = (values.one_of(*keys.choices("job", name)) for name in ("market", "overlap"))
    disk = take("disk", disks.disk, disks.Disk(20))
    margin = values.duration(reading.margin_least, why=_WHY_MARGIN)
    job = Job(
        name=name,
        command=take("command", job_values.command, _NO_COMMAND, required='command = "python main.py"' * complete),
        servers=types,
        architecture=_architecture(reading, tables.place("servers"), types),
        schedule=expressions,
        timezone=zone.key,
        market=cast(Market, take("market", market, "on-demand")),
        time_limit_s=take("time_limit", values.duration(1), 3600),
        margin_s=take("margin", margin, 900),
        outputs=take("outputs", lambda value: values.strings(value, job_values.output), NO_STRINGS),
        disk_gb=disk.gb,
        image=take("image", job_values.image, "debian-13"),
        bundle=take("bundle", lambda value: values.strings(value, job_values.path), _WHOLE),
        python=take("python", job_values.python, "auto"),
        setup=take("setup", values.filled, "") or None,
        env=_environment(tables),
        overlap=cast(Overlap, take("overlap", overlap, "skip")),
        start_within_s=take(
            "start_within", values.duration(60, _DAY, why="AWS delivers a tick within a minute to a day"), 3600
        ),
        reads=take("reads", lambda value: values.strings(value, rights.read_place), NO_STRINGS),
        writes=take("writes", lambda value: values.strings(value, rights.write_place), NO_STRINGS),
        disk_throughput=disk.throughput,
        disk_iops=disk.iops,
        secrets=rights.merged_secrets(tables),
        policy=_policy(reading, tables),
        results=take("results", rights.results_place, "") or None,
    )
    rights.check_rights(reading, tables, job, jobs)
    return job


def _policy(reading: Reading, tables: Tables) -> Mapping[str, Any] | None:
    """Return the document of the job's policy file; None without one, or if it is refused."""
    file = tables.take("policy", policy_file.path, "")
    return policy_file.read_policy(reading, tables.place("policy"), file) if file else None


def _environment(tables: Tables) -> dict[str, str]:
    """Return `env` of all tables merged; a job's own values win over those of [defaults]."""
    merged: dict[str, str] = {}
    none: dict[str, str] = {}
    for path, table in reversed(tables.tables):
        if "env" in table:
            merged |= tables.reading.value((*path, "env"), table["env"], job_values.variables, none)
    return merged


def _architecture(reading: Reading, place: toml_lines.Path, types: Sequence[str]) -> Architecture:
    kinds: dict[Architecture, list[str]] = {}
    for name in types:
        kinds.setdefault(catalogue.architecture(name), []).append(name)
    if len(kinds) > 1:
        sides = [f"{', '.join(of_kind)} ({kind})" for kind, of_kind in kinds.items()]
        remedies = [f"servers = [{', '.join(map(values.shown, of_kind))}]" for of_kind in kinds.values()]
        why = "all types of a job use one bundle and one image"
        reading.note(place, f"mixes architectures: {' with '.join(sides)}", *remedies, why=why)
    return next(iter(kinds), "arm64")


# --- schedules ----------------------------------------------------------------------------------------------------------


def _zone(value: Any, zones: Zones) -> ZoneInfo:
    name = job_values.zone_name(value)
    try:
        return zones(name)
    except (KeyError, ValueError, OSError):
        raise values.Invalid(f'"{name}" is not a time zone', job_values.ZONE_FORM) from None


def _schedules(reading: Reading, place: toml_lines.Path, expressions: Sequence[str], zone: ZoneInfo) -> None:
    for number, expression in enumerate(expressions):
        try:
            schedule.parse(expression, zone)
        except schedule.ScheduleError as error:
            element = (*place, number)
            where = element if element in reading.lines else place
            remedies = (*_suggestions(error.suggestions, zone, reading.now), *error.advice)
            reading.note(where, error.message, *remedies, why=error.why)


def _suggestions(suggestions: Sequence[str], zone: ZoneInfo, now: datetime | None) -> list[str]:
    """Return each possible meaning as a line of the file, with a description and, given `now`, the next tick."""
    lines = [f'schedule = "{suggestion}"' for suggestion in suggestions]
    width = max(map(len, lines), default=0)
    described: dict[tuple[datetime, ...], str] = {}
    found = []
    for line, suggestion in zip(lines, suggestions, strict=True):
        parsed = schedule.parse(suggestion, zone)
        words = schedule.describe(parsed)
        ticks = schedule.next_ticks(parsed, now, 12) if now is not None else ()
        if ticks in described:
            words = "the same"
        elif ticks:
            words = f"{words}, next {_clock(ticks[0], zone)}"
            described[ticks] = words
        found.append(f"{line:{width}}   {words}")
    return found


def _clock(tick: datetime, zone: ZoneInfo) -> str:
    """Format a tick as `Wed 25 Nov 02:30 Europe/Berlin`."""
    local = tick.astimezone(zone)
    return f"{local:%a} {local.day} {local:%b} {local:%H:%M} {zone.key}"
