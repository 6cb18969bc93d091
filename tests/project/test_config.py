"""What a valid dayfly.toml means, the list of its keys, and its warnings."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from dayfly.core.model import Network
from dayfly.project.file import config, keys
from dayfly.project.file.warnings import find_warnings
from project.texts import EXAMPLE, LEAST, NOW, only, read, with_job_key

# --- what a file means ----------------------------------------------------------------------------------------------


def test_shortest_file_gets_every_default() -> None:
    project = read(LEAST)
    job = project.jobs["pi"]
    assert (project.account, project.keep_s, dict(project.tags), dict(project.networks)) == (None, 90 * 86_400, {}, {})
    assert (job.market, job.time_limit_s, job.margin_s, job.start_within_s) == ("on-demand", 3600, 900, 3600)
    assert (job.disk_gb, job.image, job.bundle, job.python, job.setup) == (20, "debian-13", (".",), "auto", None)
    assert (job.schedule, job.timezone, job.overlap, job.outputs, dict(job.env)) == ((), "UTC", "skip", (), {})
    assert job.architecture == "arm64"
    assert job.lifetime_s == 4500


def test_every_key_of_a_job_is_read() -> None:
    job = read(EXAMPLE).jobs["ingest"]
    assert job.servers == ("c8g.4xlarge", "m8g.4xlarge")
    assert (job.schedule, job.timezone) == (("30 4 * * MON-FRI",), "Europe/Berlin")
    assert (job.disk_gb, job.setup, dict(job.env)) == (
        50,
        "apt-get update && apt-get install -y pigz",
        {"MODE": "full"},
    )
    assert read(EXAMPLE).networks == {
        "eu-west-1": Network(
            subnets=("subnet-0a1b2c3d4e5f60718", "subnet-0b2c3d4e5f6071829"),
            security_groups=("sg-0c3d4e5f60718293a",),
            public_ip=True,
        )
    }


def test_own_value_wins_over_default_and_env_is_merged() -> None:
    project = read(
        'project = "pi"\nregions = ["eu-west-1"]\n'
        '[defaults]\nservers = ["m7i.large"]\ntime_limit = "2h"\nenv = { A = "1", B = "1" }\n'
        '[jobs.one]\ncommand = ["run", "--now"]\ntime_limit = "30m"\nenv = { B = "2" }\n'
        '[jobs.two]\ncommand = "x"\n'
    )
    one, two = project.jobs["one"], project.jobs["two"]
    assert one.command == ("run", "--now")
    assert (one.time_limit_s, two.time_limit_s) == (1800, 7200)
    assert (dict(one.env), dict(two.env)) == ({"A": "1", "B": "2"}, {"A": "1", "B": "1"})
    assert one.architecture == two.architecture == "x86_64"


def test_schedule_may_be_a_list() -> None:
    text = with_job_key('schedule = ["0 6 * * *", "rate(1 hour)"]')
    assert read(text).jobs["pi"].schedule == ("0 6 * * *", "rate(1 hour)")


def test_short_margin_is_refused_except_in_demos() -> None:
    text = with_job_key('margin = "1m"')
    assert read(text, allow_short_margin=True).jobs["pi"].margin_s == 60
    found = only(text)
    assert (found.path, found.line, found.remedies) == ("jobs.pi.margin", 7, ('at least "10m"',))


def test_crlf_and_byte_order_mark_are_accepted() -> None:
    assert read("\ufeff" + LEAST.replace("\n", "\r\n")) == read(LEAST)


# --- the list of keys ---------------------------------------------------------------------------------------------------


def comments(text: str) -> dict[str, list[str]]:
    """Return the comments of the example by key or table, for every line that has a key or opens a table."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if named := re.match(r"(?:([a-z_]+) = |\[(network|defaults|jobs)\b)", line):
            found.setdefault(named[1] or named[2], []).append(line.rsplit("  # ", 1)[1])
    return found


def test_example_shows_each_key_once_as_documented() -> None:
    behind = comments(EXAMPLE)
    for key in keys.ALL:
        assert behind.pop(key.name) == [f"{key.type}, {key.default}: {key.text}"]
    assert {table: f"[{table}]" for table in behind} == {table: f"[{table}]" for table in keys.TABLES}
    for table, text in keys.TABLES.items():
        assert behind[table] == [text.split("]: ", 1)[1]]


def test_documented_defaults_are_the_real_ones() -> None:
    """Check that writing out a documented default in the example changes nothing."""
    lines = EXAMPLE.splitlines()
    for key in keys.ALL:
        number = next(index for index, line in enumerate(lines) if line.startswith(f"{key.name} = "))
        try:
            tomllib.loads(f"value = {key.default}")
        except tomllib.TOMLDecodeError:
            continue  # `required`, `none` and the words for a default that AWS or a file decides
        written = [*lines[:number], f"{key.name} = {key.default}", *lines[number + 1 :]]
        left_out = [*lines[:number], *lines[number + 1 :]]
        assert read("\n".join(written)) == read("\n".join(left_out)), key.name


def test_required_keys_are_exactly_those_marked_required() -> None:
    lines = EXAMPLE.splitlines()
    for key in keys.ALL:
        text = "\n".join(line for line in lines if not line.startswith(f"{key.name} = "))
        if key.default == "required":
            assert "is missing" in only(text).message
        else:
            read(text)


def test_rows_give_every_key_of_a_scope() -> None:
    assert [row[0] for row in keys.rows("network")] == ["subnets", "security_groups", "public_ip"]
    assert len(keys.rows()) == len(keys.ALL)


# --- warnings -----------------------------------------------------------------------------------------------------------


NOTIFY = 'notify = ["data@acme.example"]\n'


def test_nobody_to_hear_of_scheduled_runs_is_warned_about() -> None:
    scheduled = with_job_key('schedule = "0 7 * * *"')
    [warning] = find_warnings(read(scheduled), NOW, ZoneInfo)
    assert str(warning) == "notify: is empty: nobody is told when a scheduled run fails or is missed"
    assert warning.remedies == ('notify = ["you@acme.example"]',)
    [warning] = find_warnings(read('notify = ["https://hooks.example/x"]\n' + scheduled), NOW, ZoneInfo)
    assert "has no e-mail address" in warning.message
    assert find_warnings(read(NOTIFY + scheduled), NOW, ZoneInfo) == ()
    assert find_warnings(read(LEAST), NOW, ZoneInfo) == ()


def warned(schedule: str, timezone: str, now: datetime = NOW) -> list[str]:
    project = read(NOTIFY + with_job_key(f"schedule = {schedule}\ntimezone = {timezone!r}"))
    return [str(warning) for warning in find_warnings(project, now, ZoneInfo)]


def test_missing_local_time_is_warned_about() -> None:
    assert warned('"30 2 * * *"', "Europe/Berlin") == [
        "jobs.pi.schedule: on 28 Mar 2027 there is no 02:30 in Europe/Berlin: no run that night"
        " (31 Oct: 02:30 occurs twice, one run)"
    ]


def test_remedy_names_the_hours_to_avoid() -> None:
    project = read(NOTIFY + with_job_key('schedule = "15 2 * * *"\ntimezone = "America/New_York"'))
    (warning,) = find_warnings(project, NOW, ZoneInfo)
    assert warning.remedies == ('move it out of 02:00-03:00, or use timezone = "UTC"',)


def test_repeated_local_time_is_warned_about() -> None:
    # New York goes back from 02:00 to 01:00 and forward over 02:00-03:00.
    assert warned('"30 1 * * *"', "America/New_York") == [
        "jobs.pi.schedule: on 7 Nov 2027 01:30 occurs twice in America/New_York: one run, the first"
    ]


def test_half_hour_clock_change_is_found() -> None:
    (found,) = warned('"45 1 * * *"', "Australia/Lord_Howe")
    assert "occurs twice" in found
    assert warned('"15 1 * * *"', "Australia/Lord_Howe") == []


def test_hourly_job_is_not_warned_about_missing_hour() -> None:
    (found,) = warned('"0 * * * *"', "Europe/Berlin")
    assert "on 31 Oct 2027 02:00 occurs twice" in found


@pytest.mark.parametrize(
    ("schedule", "timezone"),
    [
        ('"30 2 * * *"', "UTC"),
        ('"30 2 * * *"', "Asia/Kolkata"),
        ('"30 3 * * *"', "Europe/Berlin"),
        ('"30 2 * * MON"', "Europe/Berlin"),
        ("[]", "Europe/Berlin"),
    ],
)
def test_schedule_outside_clock_changes_has_no_warning(schedule: str, timezone: str) -> None:
    assert warned(schedule, timezone) == []


def test_past_time_is_warned_about() -> None:
    assert warned('"at(2026-11-24T12:00:00)"', "UTC") == [
        "jobs.pi.schedule: at(2026-11-24T12:00:00) is in the past: the job has no next tick"
    ]
    assert warned('"at(2026-11-24T13:01:00)"', "UTC") == []


def test_project_does_not_depend_on_now() -> None:
    project = config.read(LEAST, zones=ZoneInfo)
    assert replace(project, name="x") != project
    assert project == read(LEAST)
