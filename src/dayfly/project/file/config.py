"""Parse the text of dayfly.toml: return a project, or raise all problems at once.

Here are defaults, rules that need two keys, and line numbers. values.py reads one value, keys.py lists the keys, and warnings.py finds
valid values with surprising effects. The caller reads the file and supplies the time zones.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo

from dayfly.core import names, schedule
from dayfly.core.model import Architecture, Job, Market, Network, Overlap, Project
from dayfly.project.file import bounds, durations, instance_types, keys, toml_lines, values
from dayfly.project.file.problems import Problem, Problems

T = TypeVar("T")
Zones = Callable[[str], ZoneInfo]
"""Finds a time zone by name, like `ZoneInfo`. Raises KeyError, ValueError or OSError if there is none."""

MARGIN_LEAST_S = 600
_NONE: tuple[str, ...] = ()
_EMPTY: Mapping[str, Any] = {}
_WHOLE: tuple[str, ...] = (".",)
_NO_COMMAND: str | tuple[str, ...] = ""
_DAY = 86_400
_KEEP_BEYOND_S = 3600
"""The sweeper looks for ticks without a run for some minutes beyond start_within."""
_WHY_KEEP = "a run that is removed while its tick may still be delivered would be recorded as missed"
_WHY_MARGIN = "boot, setup and saving need it; what is not saved by the deadline is lost with the server"
_LONG_NUMBER = re.compile(r"[0-9_]{4300,}")
_AT = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)")


def read(
    text: str,
    *,
    zones: Zones,
    file: str = "dayfly.toml",
    now: datetime | None = None,
    allow_short_margin: bool = False,
) -> Project:
    """Return the project that this text describes, with all defaults filled in.

    Given `now` (with a time zone), remedies for a schedule show its next tick. `allow_short_margin` is for demos and tests. Raises
    Problems, which holds every problem with its line.
    """
    text = text.removeprefix("\ufeff")
    tables = _tables(text, file)
    reading = _Reading(toml_lines.find(text), zones, now, 1 if allow_short_margin else MARGIN_LEAST_S)
    project = _project(reading, tables)
    if reading.problems:
        raise Problems(file, sorted(reading.problems.values(), key=lambda problem: problem.line or 0))
    return project


def _tables(text: str, file: str) -> dict[str, Any]:
    """Return the file's tables, unread. Raises Problems for what is not TOML, or is beyond a bound."""
    if len(text) > bounds.CHARACTERS:
        message = f"the file has {len(text):,} characters; at most {bounds.CHARACTERS:,}"
        raise Problems(file, [Problem("", None, message)])
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Problems(file, [_invalid_toml(text, str(error))]) from None
    except RecursionError:
        raise Problems(file, [Problem("", None, bounds.TOO_DEEP)]) from None
    except ValueError:  # Python converts no text of more than 4,300 digits
        raise Problems(file, [Problem("", _line_of_long_number(text), bounds.TOO_MANY_DIGITS)]) from None
    fault = bounds.first_fault(tables)
    if fault is not None:
        named = ".".join(_quoted(part) for part in fault.path if isinstance(part, str))
        raise Problems(file, [Problem(named, None, fault.message)])
    return tables


def _line_of_long_number(text: str) -> int | None:
    found = _LONG_NUMBER.search(text)
    if found is None:
        return None
    return text.count("\n", 0, found.start()) + 1


def _invalid_toml(text: str, message: str) -> Problem:
    reason = _AT.sub("", message)
    return Problem(
        "",
        _line_of_error(text, message),
        f"invalid TOML: {reason[:1].lower()}{reason[1:]}",
        remedies=('put strings in quotes: key = "value"',),
    )


def _line_of_error(text: str, message: str) -> int | None:
    """Return the line that a message of tomllib names; the last line for the end of the document."""
    found = _AT.search(message)
    if not found:
        return None
    if found[1]:
        return int(found[1])
    return text.removesuffix("\n").count("\n") + 1


@dataclass
class _Reading:
    """The state while a file is read. For an invalid value it notes the problem and continues with the default."""

    lines: Mapping[toml_lines.Path, int]
    zones: Zones
    now: datetime | None
    margin_least: int
    problems: dict[tuple[str, int | None, str], Problem] = field(default_factory=dict)

    def note(self, path: toml_lines.Path, message: str, *remedies: str, why: str = "") -> None:
        """Note a problem of the key at `path`."""
        line = self._line(path)
        named = ".".join(_quoted(part) for part in path if isinstance(part, str))
        problem = Problem(named, line, message, why, tuple(remedy for remedy in remedies if remedy))
        # Every job reads [defaults], but a problem there is reported once.
        self.problems.setdefault((named, line, message), problem)

    def _line(self, path: toml_lines.Path) -> int | None:
        """Return the line of the key, or of the nearest table around it."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None

    def value(self, path: toml_lines.Path, value: Any, read_value: values.Reader[T], default: T) -> T:
        """Return the value as read. If it is invalid, note its problems and return `default`."""
        try:
            return read_value(value)
        except values.Invalid as error:
            for each in (error, *error.others):
                self.note((*path, *each.at), each.message, *each.remedies, why=each.why)
            return default

    def known(self, path: toml_lines.Path, table: Mapping[str, Any], scope: keys.Scope) -> None:
        """Note each key that this scope does not have."""
        own = keys.names(scope)
        for key in table:
            if key not in own:
                self.note((*path, key), "unknown key", _remedy_for_unknown(key, scope))


_PLACES: dict[keys.Scope, str] = {
    "project": "the top of the file",
    "network": "[network.REGION]",
    "job": "[jobs.NAME]",
}


def _remedy_for_unknown(key: str, scope: keys.Scope) -> str:
    """Return the remedy for an unknown key: the key of this scope with the most similar name, or the table where it belongs."""
    all_keys = f"All keys of a {scope}: dayfly check --keys"
    close = difflib.get_close_matches(key.lower().replace("-", "_"), keys.names(scope), n=1)
    if close:
        return f"did you mean {close[0]}? {all_keys}"
    for place, words in _PLACES.items():
        if key in keys.names(place):
            return f"{key} belongs to {words}"
    return all_keys


def _quoted(part: str) -> str:
    return part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"'


# --- the project --------------------------------------------------------------------------------------------------------


def _project(reading: _Reading, tables: Mapping[str, Any]) -> Project:
    reading.known((), tables, "project")
    top = _Tables(reading, (((), tables),))
    regions = top.take("regions", values.regions, _NONE, required='regions = ["eu-west-1"]')
    account = top.take("account", values.account, "")
    boundary = top.take("permissions_boundary", values.boundary, "")
    owner = values.boundary_account(boundary)
    if account and owner and owner not in (account, "aws"):
        message = f"is a policy of account {owner}, but the project's account is {account}"
        reading.note(("permissions_boundary",), message)
    name = top.take("project", values.project_name, "", required='project = "NAME"')
    jobs = _jobs(reading, tables)
    keep_s = top.take("keep", values.duration(_DAY), 90 * _DAY)
    _longer_than_start_within(reading, keep_s, jobs)
    return Project(
        name=name,
        account=account or None,
        regions=regions,
        keep_s=keep_s,
        tags=top.take("tags", values.tags, {}),
        permissions_boundary=boundary or None,
        networks=_networks(reading, top.take("network", values.table, _EMPTY), regions),
        jobs=jobs,
    )


def _longer_than_start_within(reading: _Reading, keep_s: int, jobs: Mapping[str, Job]) -> None:
    """Note a `keep` that removes a run while its tick may still be delivered."""
    job = max(jobs.values(), key=lambda job: job.start_within_s, default=None)
    if job is not None and keep_s < job.start_within_s + _KEEP_BEYOND_S:
        message = f'"{durations.text(keep_s)}" is too short for start_within = "{durations.text(job.start_within_s)}" of {job.name}'
        least = durations.text(job.start_within_s + _KEEP_BEYOND_S)
        reading.note(("keep",), message, f'keep = "{least}" or more', "a shorter start_within", why=_WHY_KEEP)


def _networks(reading: _Reading, tables: Mapping[str, Any], regions: Sequence[str]) -> dict[str, Network]:
    found = {}
    for region, content in tables.items():
        path = ("network", region)
        if regions and region not in regions:
            reading.note(path, f"{region} is not in regions", f"[network.{regions[0]}]", "remove the table")
        table = reading.value(path, content, values.table, _EMPTY)
        reading.known(path, table, "network")
        own = _Tables(reading, ((path, table),))
        found[region] = Network(
            subnets=own.take("subnets", lambda value: values.at_least_one(value, values.subnet), _NONE),
            security_groups=own.take(
                "security_groups", lambda value: values.at_least_one(value, values.security_group), _NONE
            ),
            public_ip=own.take("public_ip", values.flag, True),
        )
    return found


# --- jobs ---------------------------------------------------------------------------------------------------------------


@dataclass
class _Tables:
    """The tables in which a key is looked up, in this order: the job's own, then [defaults]. Each has its path."""

    reading: _Reading
    tables: Sequence[tuple[toml_lines.Path, Mapping[str, Any]]]

    def place(self, key: str) -> toml_lines.Path:
        """Return the path of the table that has the key, or of the first one, and the key."""
        for path, table in self.tables:
            if key in table:
                return (*path, key)
        return (*self.tables[0][0], key)

    def take(self, key: str, read_value: values.Reader[T], default: T, *, required: str = "") -> T:
        """Return the key's value as read. `required` is the line that the remedy for a missing key shows."""
        for path, table in self.tables:
            if key in table:
                return self.reading.value((*path, key), table[key], read_value, default)
        if required:
            self.reading.note((*self.tables[0][0], key), "is missing", required)
        return default


def _jobs(reading: _Reading, tables: Mapping[str, Any]) -> dict[str, Job]:
    defaults = reading.value(("defaults",), tables.get("defaults", {}), values.table, _EMPTY)
    reading.known(("defaults",), defaults, "job")
    jobs = reading.value(("jobs",), tables.get("jobs", {}), values.table, _EMPTY)
    if not jobs and isinstance(tables.get("jobs", {}), dict):
        reading.note(
            ("jobs",), "the file has no job", '[jobs.hello], with command = "echo hello" and servers = ["c8g.large"]'
        )
    # Read [defaults] alone once, so that an invalid default is reported even if every job overrides it.
    _job(reading, "defaults", _Tables(reading, ((("defaults",), defaults),)), complete=False)
    found = {name: _one_job(reading, name, content, defaults) for name, content in jobs.items()}
    return {name: job for name, job in found.items() if job is not None}


def _one_job(reading: _Reading, name: str, content: Any, defaults: Mapping[str, Any]) -> Job | None:
    path = ("jobs", name)
    if not isinstance(content, dict):
        remedy = f"[jobs.{_quoted(name)}] with its keys"
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
    return _job(reading, name, _Tables(reading, ((path, content), (("defaults",), defaults))), complete=True)


def _job(reading: _Reading, name: str, tables: _Tables, *, complete: bool) -> Job:
    """Return the job in these tables. `complete` is False for [defaults] alone, where no key is required."""
    take = tables.take
    types = take(
        "servers",
        lambda value: values.at_least_one(value, values.server_type),
        _NONE,
        required='servers = ["c8g.large"]' * complete,
    )
    expressions = take("schedule", values.schedule, _NONE)
    zone = take("timezone", lambda value: _zone(value, reading.zones), reading.zones("UTC"))
    _schedules(reading, tables.place("schedule"), expressions, zone)
    market, overlap = (values.one_of(*keys.choices("job", name)) for name in ("market", "overlap"))
    margin = values.duration(reading.margin_least, why=_WHY_MARGIN)
    return Job(
        name=name,
        command=take("command", values.command, _NO_COMMAND, required='command = "python main.py"' * complete),
        servers=types,
        architecture=_architecture(reading, tables.place("servers"), types),
        schedule=expressions,
        timezone=zone.key,
        market=cast(Market, take("market", market, "on-demand")),
        time_limit_s=take("time_limit", values.duration(1), 3600),
        margin_s=take("margin", margin, 900),
        outputs=take("outputs", lambda value: values.strings(value, values.output), _NONE),
        disk_gb=take("disk", values.disk, 20),
        image=take("image", values.image, "debian-13"),
        bundle=take("bundle", lambda value: values.strings(value, values.path), _WHOLE),
        python=take("python", values.python, "auto"),
        setup=take("setup", values.filled, "") or None,
        env=_environment(tables),
        overlap=cast(Overlap, take("overlap", overlap, "skip")),
        start_within_s=take(
            "start_within", values.duration(60, _DAY, why="AWS delivers a tick within a minute to a day"), 3600
        ),
    )


def _environment(tables: _Tables) -> dict[str, str]:
    """Return `env` of all tables merged; a job's own values win over those of [defaults]."""
    merged: dict[str, str] = {}
    none: dict[str, str] = {}
    for path, table in reversed(tables.tables):
        if "env" in table:
            merged |= tables.reading.value((*path, "env"), table["env"], values.variables, none)
    return merged


def _architecture(reading: _Reading, place: toml_lines.Path, types: Sequence[str]) -> Architecture:
    kinds: dict[Architecture, list[str]] = {}
    for name in types:
        kinds.setdefault(instance_types.architecture(name), []).append(name)
    if len(kinds) > 1:
        sides = [f"{', '.join(of_kind)} ({kind})" for kind, of_kind in kinds.items()]
        remedies = [f"servers = [{', '.join(map(values.shown, of_kind))}]" for of_kind in kinds.values()]
        why = "all types of a job use one bundle and one image"
        reading.note(place, f"mixes architectures: {' with '.join(sides)}", *remedies, why=why)
    return next(iter(kinds), "arm64")


# --- schedules ----------------------------------------------------------------------------------------------------------


def _zone(value: Any, zones: Zones) -> ZoneInfo:
    name = values.zone_name(value)
    try:
        return zones(name)
    except (KeyError, ValueError, OSError):
        raise values.Invalid(f'"{name}" is not a time zone', values.ZONE_FORM) from None


def _schedules(reading: _Reading, place: toml_lines.Path, expressions: Sequence[str], zone: ZoneInfo) -> None:
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
