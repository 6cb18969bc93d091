"""dayfly.toml: text in, a project out, or everything that is wrong with it at once.

Here the tables are put together: defaults, rules that need two keys, places. One value alone is core/values.py's, the
list of keys core/keys.py's, what may surprise later core/cautions.py's. The file is read, and zones are found, by the
caller. Never imported by what runs in a function.
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
from dayfly.project.file import instance_types, keys, toml_lines, values
from dayfly.project.file.problems import Problem, Problems

T = TypeVar("T")
Zones = Callable[[str], ZoneInfo]
"""A zone by its name; raises KeyError, ValueError or OSError for none. `ZoneInfo` itself is one."""

MARGIN_LEAST_S = 600
_NONE: tuple[str, ...] = ()
_EMPTY: Mapping[str, Any] = {}
_WHOLE: tuple[str, ...] = (".",)
_NO_COMMAND: str | tuple[str, ...] = ""
_DAY = 86_400
_NO_MARGIN = "boot, setup and saving need it; what is not saved by the deadline is lost with the server"
_AT = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)")


def read(
    text: str,
    *,
    zones: Zones,
    file: str = "dayfly.toml",
    now: datetime | None = None,
    allow_short_margin: bool = False,
) -> Project:
    """The project this text describes, every default resolved.

    `now` (aware) lets remedies tell the next tick of what they offer. `allow_short_margin` is for demos and tests. Raises
    Problems, which holds every problem with its line.
    """
    text = text.removeprefix("\ufeff")
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Problems(file, [_no_toml(text, str(error))]) from None
    reading = _Reading(toml_lines.find(text), zones, now, 1 if allow_short_margin else MARGIN_LEAST_S)
    project = _project(reading, tables)
    if reading.problems:
        raise Problems(file, sorted(reading.problems.values(), key=lambda problem: problem.line or 0))
    return project


def _no_toml(text: str, message: str) -> Problem:
    found = _AT.search(message)
    line = int(found[1]) if found and found[1] else text.count("\n") + (not text.endswith("\n")) if found else None
    return Problem(
        "", line, f"is not TOML: {_AT.sub('', message)}", remedies=('strings stand in quotes: key = "value"',)
    )


@dataclass
class _Reading:
    """What one read gathers. A value that is refused is noted and its default goes on in its place."""

    lines: Mapping[toml_lines.Path, int]
    zones: Zones
    now: datetime | None
    margin_least: int
    problems: dict[tuple[str, int | None, str], Problem] = field(default_factory=dict)

    def note(self, path: toml_lines.Path, message: str, *remedies: str, why: str = "") -> None:
        line = next((self.lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self.lines), None)
        named = ".".join(_quoted(part) for part in path if isinstance(part, str))
        problem = Problem(named, line, message, why, tuple(remedy for remedy in remedies if remedy))
        # What stands in [defaults] is met by every job, and told once.
        self.problems.setdefault((named, line, message), problem)

    def value(self, path: toml_lines.Path, value: Any, read_value: values.Reader[T], default: T) -> T:
        try:
            return read_value(value)
        except values.Refused as refused:
            for each in (refused, *refused.others):
                self.note((*path, *each.at), each.message, *each.remedies, why=each.why)
            return default

    def known(self, path: toml_lines.Path, table: Mapping[str, Any], scope: keys.Scope) -> None:
        """Notes each key that this scope does not have."""
        own = keys.names(scope)
        for key in table:
            if key in own:
                continue
            if later := keys.LATER[scope].get(key):
                self.note((*path, key), "not in this version of dayfly", later)
            else:
                self.note((*path, key), "unknown key", _meant(key, scope))


def _meant(key: str, scope: keys.Scope) -> str:
    everything = {"project": "of a project", "network": "of a network", "job": "of a job"}
    all_keys = f"All keys {everything[scope]}: dayfly check --keys"
    close = difflib.get_close_matches(key.lower().replace("-", "_"), keys.names(scope), n=1)
    if close:
        return f"did you mean {close[0]}? {all_keys}"
    homes: dict[keys.Scope, str] = {
        "project": "the top of the file",
        "network": "[network.REGION]",
        "job": "[jobs.NAME]",
    }
    for home, words in homes.items():
        if home != scope and (key in keys.names(home) or key in keys.LATER[home]):
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
        reading.note(("permissions_boundary",), f"is a policy of account {owner}, the project's account is {account}")
    return Project(
        name=top.take("project", values.project_name, "", required='project = "NAME"'),
        account=account or None,
        regions=regions,
        keep_s=top.take("keep", values.duration(_DAY), 90 * _DAY),
        tags=top.take("tags", values.tags, {}),
        permissions_boundary=boundary or None,
        networks=_networks(reading, top.take("network", values.table, _EMPTY), regions),
        jobs=_jobs(reading, tables),
    )


def _networks(reading: _Reading, tables: Mapping[str, Any], regions: Sequence[str]) -> dict[str, Network]:
    found = {}
    for region, content in tables.items():
        path = ("network", region)
        if regions and region not in regions:
            remedies = (f"[network.{regions[0]}]", "remove the table")
            reading.note(path, f"{region} is not in regions", *remedies)
        table = reading.value(path, content, values.table, _EMPTY)
        reading.known(path, table, "network")
        own = _Tables(reading, ((path, table),))
        found[region] = Network(
            subnets=own.take("subnets", lambda value: values.some(value, values.subnet), _NONE),
            security_groups=own.take("security_groups", lambda value: values.some(value, values.security_group), _NONE),
            public_ip=own.take("public_ip", values.flag, True),
        )
    return found


# --- jobs ---------------------------------------------------------------------------------------------------------------


@dataclass
class _Tables:
    """Tables that are asked in turn for a key, each with its path: a job's own, then [defaults]."""

    reading: _Reading
    tables: Sequence[tuple[toml_lines.Path, Mapping[str, Any]]]

    def place(self, key: str) -> toml_lines.Path:
        """Where the key is written, or where it would be."""
        return next(((*path, key) for path, table in self.tables if key in table), (*self.tables[0][0], key))

    def take(self, key: str, read_value: values.Reader[T], default: T, *, required: str = "") -> T:
        """The key's value as read; `required` is what a file without it is told to write."""
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
            ("jobs",), "there is no job", '[jobs.hello], with command = "echo hello" and servers = ["c8g.large"]'
        )
    # On its own once, so that a wrong default is told even if every job has its own value.
    _job(reading, "defaults", _Tables(reading, ((("defaults",), defaults),)), complete=False)
    return {name: job for name, content in jobs.items() if (job := _one_job(reading, name, content, defaults))}


def _one_job(reading: _Reading, name: str, content: Any, defaults: Mapping[str, Any]) -> Job | None:
    path = ("jobs", name)
    if not isinstance(content, dict):
        in_job = name in keys.names("job") or name in keys.LATER["job"]
        remedy = "put it under [jobs.NAME]" if in_job else f"[jobs.{_quoted(name)}] with its keys"
        reading.note(path, "is not a table, so it is no job", remedy)
        return None
    if not names.JOB_NAME.fullmatch(name):
        why = "it stands in commands, keys and tags"
        reading.note(path, f'"{name}" is not 1 to 40 letters, digits and -, without - at the ends', why=why)
    elif name.startswith((names.KILL_PREFIX, "dayfly-")):
        own = "schedules of dayfly's own begin like that"
        reading.note(path, f'"{name}" begins with {name.split("-")[0]}-', "another name", why=own)
    reading.known(path, content, "job")
    return _job(reading, name, _Tables(reading, ((path, content), (("defaults",), defaults))), complete=True)


def _job(reading: _Reading, name: str, tables: _Tables, *, complete: bool) -> Job:
    """`complete` False: of [defaults] alone, which need not have all."""
    take = tables.take
    types = take(
        "servers",
        lambda value: values.some(value, values.server_type),
        _NONE,
        required='servers = ["c8g.large"]' * complete,
    )
    expressions = take("schedule", values.schedule, _NONE)
    zone = take("timezone", lambda value: _zone(value, reading.zones), reading.zones("UTC"))
    _schedules(reading, tables.place("schedule"), expressions, zone)
    overlap = values.one_of("skip", "allow", later=("queue", "replace"))
    margin = values.duration(reading.margin_least, why=_NO_MARGIN)
    return Job(
        name=name,
        command=take("command", values.command, _NO_COMMAND, required='command = "python main.py"' * complete),
        servers=types,
        architecture=_architecture(reading, tables.place("servers"), types),
        schedule=expressions,
        timezone=zone.key,
        market=cast(Market, take("market", values.one_of("on-demand", "spot", "spot-first"), "on-demand")),
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
            "start_within", values.duration(60, _DAY, why="AWS delivers by the minute, for a day"), 3600
        ),
    )


def _environment(tables: _Tables) -> dict[str, str]:
    """All tables merged, a job's own values above those of [defaults]."""
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
        remedies = tuple(
            f"servers = [{', '.join(values.shown(name) for name in of_kind)}]" for of_kind in kinds.values()
        )
        why = "one bundle and one image serve all types of a job"
        reading.note(place, f"mixes architectures: {' with '.join(sides)}", *remedies, why=why)
    return next(iter(kinds), "arm64")


# --- schedules ----------------------------------------------------------------------------------------------------------


def _zone(value: Any, zones: Zones) -> ZoneInfo:
    name = values.zone_name(value)
    try:
        return zones(name)
    except (KeyError, ValueError, OSError):
        raise values.Refused(f'there is no time zone "{name}"', values.ZONE_FORM) from None


def _schedules(reading: _Reading, place: toml_lines.Path, expressions: Sequence[str], zone: ZoneInfo) -> None:
    for number, expression in enumerate(expressions):
        try:
            schedule.parse(expression, zone)
        except schedule.ScheduleError as error:
            element = (*place, number)
            own = element if element in reading.lines else place
            remedies = (*_readings(error.readings, zone, reading.now), *error.advice)
            reading.note(own, error.message, *remedies, why=error.why)


def _readings(readings: Sequence[str], zone: ZoneInfo, now: datetime | None) -> list[str]:
    """Each reading as a line of the file, and beside it which days it means and its next tick."""
    lines = [f'schedule = "{reading}"' for reading in readings]
    width = max(map(len, lines), default=0)
    told: dict[tuple[datetime, ...], str] = {}
    found = []
    for line, reading in zip(lines, readings, strict=True):
        meant = schedule.parse(reading, zone)
        words = schedule.describe(meant)
        if now is not None:
            ticks = schedule.next_ticks(meant, now, 12)
            if ticks:
                words = told.get(ticks) or f"{words}, next {_clock(ticks[0], zone)}"
                told[ticks] = "the same"
        found.append(f"{line:{width}}   {words}")
    return found


def _clock(tick: datetime, zone: ZoneInfo) -> str:
    """`Wed 25 Nov 02:30 Europe/Berlin`."""
    local = tick.astimezone(zone)
    return f"{local:%a} {local.day} {local:%b} {local:%H:%M} {zone.key}"
