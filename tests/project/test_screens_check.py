"""The screen of `check`: next ticks in the job's zone, warnings, and what each bundle holds."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from dayfly.project.file import config
from dayfly.project.file.warnings import find_warnings
from dayfly.project.screens.check import BundleSummary, bundle_lines, check_document, check_lines, new_account_lines

NOW = datetime(2026, 11, 24, 13, 50, tzinfo=UTC)
FILE = """
project = "lake"
notify = ["data@acme.example"]
regions = ["eu-west-1"]

[defaults]
servers = ["c8g.4xlarge", "m8g.4xlarge"]
timezone = "Europe/Berlin"

[jobs.backup]
command = "backup"
servers = ["t4g.large"]
schedule = "0 22 * * *"
time_limit = "30m"

[jobs.ingest]
command = "ingest"
schedule = "30 2 * * *"

[jobs.rollup]
command = "rollup"
"""


def lines(text: str, errors: int = 0) -> str:
    project = config.read(text, zones=ZoneInfo, now=NOW)
    return "\n".join(check_lines(project, find_warnings(project, NOW, ZoneInfo), errors, NOW, ZoneInfo))


def test_check_shows_next_ticks_and_warnings():
    assert lines(FILE) == (
        "dayfly.toml  3 jobs, 1 region, no errors, 1 warning\n"
        "\n"
        "JOB     NEXT (Europe/Berlin)  UTC           THEN       SERVER                      LIMIT  GONE BY\n"
        "backup  today 22:00           24 Nov 21:00  every day  t4g.large                   30m    +45m\n"
        "ingest  Wed 02:30             25 Nov 01:30  every day  c8g.4xlarge or m8g.4xlarge  1h     +1h15m\n"
        "rollup  -                     -             by hand    c8g.4xlarge or m8g.4xlarge  1h     +1h15m\n"
        "\n"
        "warning  jobs.ingest.schedule: on 28 Mar 2027 there is no 02:30 in Europe/Berlin: no run that night"
        " (31 Oct: 02:30 occurs twice, one run)\n"
        '         do  move it out of 02:00-03:00, or use timezone = "UTC"'
    )


def test_jobs_of_several_zones_each_name_their_own():
    text = FILE + 'schedule = "0 5 * * MON"\ntimezone = "Asia/Tokyo"\n'
    table = lines(text).splitlines()
    assert table[3].split("  ")[:2] == ["backup", "today 22:00 Europe/Berlin"]
    assert table[5].split("  ")[:2] == ["rollup", "Mon 05:00 Asia/Tokyo"]
    assert "29 Nov 20:00  Mondays" in table[5]


def test_project_in_utc_has_no_extra_utc_column():
    table = lines(FILE.replace('"Europe/Berlin"', '"UTC"'), errors=1).splitlines()
    assert table[0] == "dayfly.toml  3 jobs, 1 region, 1 error, no warnings"
    assert table[2].startswith("JOB     NEXT (UTC)   THEN")


def test_each_bundle_has_a_line():
    packed = [
        BundleSummary(
            jobs=("ingest",),
            files=412,
            size=3_100_000,
            wheels=14,
            platform="Linux arm64, Python 3.13",
            source="uv.lock",
        ),
        BundleSummary(jobs=("backup",)),
        BundleSummary(jobs=("a", "b"), files=1, size=20, platform=None),
        BundleSummary(jobs=("own",), unknown="not built here: why"),
    ]
    assert bundle_lines(packed) == (
        "bundle   ingest: 412 files, 3.1 MB, and 14 wheels for Linux arm64, Python 3.13 (from uv.lock)",
        "bundle   backup: empty: the server gets only the command",
        'bundle   a, b: 1 file, 20 bytes; no dependencies (python = "none")',
        "bundle   own: not built here: why",
    )
    assert bundle_lines(packed[:1])[0].startswith("bundle   412 files")


def test_document_has_utc_times_and_null_for_the_unknown():
    project = config.read(FILE, zones=ZoneInfo, now=NOW)
    packed = [BundleSummary(jobs=("backup",), unknown="why")]
    document = check_document(project, (), packed, NOW, ZoneInfo)
    assert document["jobs"][0]["next"] == "2026-11-24T21:00:00Z"
    assert document["jobs"][2]["next"] is None
    assert document["bundles"][0]["files"] is None
    assert document["bundles"][0]["reason"] == "why"


def test_jobs_that_a_new_account_may_not_run_are_named():
    text = """
project = "lake"
regions = ["eu-west-1"]
[jobs.small]
command = "true"
servers = ["t4g.small"]
[jobs.large]
command = "true"
servers = ["c8g.16xlarge", "c8g.4xlarge"]
"""
    (note, do) = new_account_lines(config.read(text, zones=ZoneInfo))
    assert note.endswith("on AWS's free plan large cannot start; more than 5 vCPUs may need a higher quota: large (16)")
    assert "dayfly doctor" in do
    small = text.split("[jobs.large]")[0]
    assert new_account_lines(config.read(small, zones=ZoneInfo)) == ()
