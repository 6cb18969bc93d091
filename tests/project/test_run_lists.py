"""Lists of runs and servers and the run that a person names, on the model cloud; `runs`, `show` and `ps` are compared whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from dayfly.core import names
from dayfly.core.event import LaunchAt, LaunchNow, Retry
from dayfly.core.model import Removed
from dayfly.core.record_json import encode
from dayfly.core.records import FleetError, Heartbeat
from dayfly.core.versions import write_version
from dayfly.errors import NotFoundError
from dayfly.flows.launch import launch
from dayfly.flows.sweep import sweep_project
from dayfly.project.runs import references
from dayfly.project.runs.details import look_up
from dayfly.project.runs.find import find_run, newest_good
from dayfly.project.runs.list_runs import RunQuery, list_runs
from dayfly.project.runs.logs import log_pieces
from dayfly.project.runs.rows import NEVER_STARTED
from dayfly.project.runs.servers import list_servers
from dayfly.project.screens.run import show_document, show_lines
from dayfly.project.screens.runs import run_document, runs_lines
from dayfly.project.screens.servers import ps_document, ps_lines
from model.cloud import ROLE, TICK, acting_as, cloud_with, version

TALLINN = ZoneInfo("Europe/Tallinn")
DAY = 24 * 3600
HOURLY = {"schedule": ("41 * * * *",), "timezone": "UTC"}
SINCE = TICK - timedelta(days=30)


def deployed(since=TICK - timedelta(hours=1), **changes):
    return cloud_with(version(since, **{**HOURLY, **changes}))


def tick(cloud, moment=TICK, **changes):
    request = LaunchAt(
        **{"job": "pi", "tick": moment, "source": "schedule", "request": f"delivery of {moment}", **changes}
    )
    return cloud.run(launch(request, acting_as("launcher")))


def sweep(cloud):
    cloud.run(sweep_project(acting_as("sweeper"), 90 * DAY))


def whole_run(cloud, moment=TICK, **work):
    tick(cloud, moment)
    assert cloud.run_agent(list(cloud.servers)[-1], **work)
    sweep(cloud)


def rows(cloud, since=SINCE, job=None, details=100, keep_s=90 * DAY):
    query = RunQuery(since=since, until=cloud.now + timedelta(days=1), keep_s=keep_s, details=details, job=job)
    return cloud.run(list_runs(query, ZoneInfo))


def table(cloud, at_most=50, **wanted):
    return "\n".join(runs_lines(rows(cloud, **wanted), UTC, cloud.now, at_most=at_most))


def find(cloud, text, zone=UTC):
    return cloud.run(find_run(references.parse(text), zone))


def test_runs_lists_finished_failed_and_live_runs():
    cloud = deployed(since=TICK)
    whole_run(cloud)
    cloud.pass_time(3600)
    whole_run(cloud, TICK + timedelta(hours=1), exit_code=3)
    cloud.pass_time(3600)
    tick(cloud, TICK + timedelta(hours=2))
    assert table(cloud) == (
        "RUN                   DUE (UTC)    OUTCOME    JOB  SERVER          NOTE\n"
        "pi@2026-11-25T00:41Z  today 00:41  starting   -    c8g.large spot  gone by 00:57:01\n"
        "pi@2026-11-24T23:41Z  Tue 23:41    failed     0s   c8g.large spot  exit 3\n"
        "pi@2026-11-24T22:41Z  Tue 22:41    succeeded  0s   c8g.large spot  latest\n"
        "3 ticks: 1 succeeded, 1 failed, 1 starting\n"
        "next     dayfly show pi@2026-11-24T23:41Z"
    )


def test_tick_without_run_is_missed_after_start_within():
    cloud = deployed(since=TICK)
    cloud.pass_time(3590)
    assert rows(cloud) == ()
    cloud.pass_time(60)
    [row] = rows(cloud)
    assert (row.run.tick, row.outcome, row.reason) == (TICK, "missed", NEVER_STARTED)
    assert run_document(row)["source"] == "schedule"


def test_missed_claim_is_listed_once_with_its_reason():
    cloud = deployed(since=TICK)
    cloud.pass_time(2 * 3600)
    tick(cloud)
    [late, early] = rows(cloud)
    assert early.run.tick == TICK
    assert early.reason == "late"
    assert "start_within is 3600 s" in early.detail
    assert late.reason == NEVER_STARTED


def test_ticks_are_expected_by_the_schedule_in_force():
    cloud = deployed(since=TICK - timedelta(hours=1))
    other = version(TICK + timedelta(minutes=30), **{**HOURLY, "schedule": ("0 12 * * *",)})
    cloud.objects[other.key] = write_version(other)
    cloud.pass_time(6 * 3600)
    assert [row.run.tick for row in rows(cloud)] == [TICK, TICK - timedelta(hours=1)]


def test_ticks_older_than_keep_are_not_missed():
    cloud = deployed(since=TICK - timedelta(days=20))
    assert len(rows(cloud, keep_s=2 * DAY)) == 47
    assert len(rows(cloud, keep_s=DAY)) == 23


def test_ticks_in_a_row_that_never_started_are_one_line():
    cloud = deployed(since=TICK)
    whole_run(cloud)
    cloud.pass_time(7 * 3600 + 1800)
    assert table(cloud) == (
        "RUN                   DUE (UTC)    OUTCOME    JOB  SERVER          NOTE\n"
        "pi@2026-11-25T04:41Z  today 04:41  missed     -    -               6 ticks in a row never started, "
        "since Tue 23:41: dayfly run pi --tick 2026-11-25T04:41Z\n"
        "pi@2026-11-24T22:41Z  Tue 22:41    succeeded  0s   c8g.large spot  latest\n"
        "7 ticks: 1 succeeded, 6 missed\n"
        "next     dayfly show pi@2026-11-24T22:41Z"
    )


def test_run_without_marker_is_not_missed():
    cloud = deployed(since=TICK)
    whole_run(cloud)
    del cloud.objects[names.done_key(names.RunName("pi", TICK), 1, "succeeded")]
    cloud.pass_time(5400)
    assert [row.outcome for row in rows(cloud)] == ["succeeded"]


def test_newest_attempt_counts():
    cloud = deployed(since=TICK)
    whole_run(cloud, exit_code=3)
    cloud.pass_time(60)
    run = names.RunName("pi", TICK)
    cloud.run(launch(Retry(run=run, request="again"), acting_as("launcher")))
    [row] = rows(cloud)
    assert (row.outcome, row.attempt, row.before) == ("starting", 2, ("exit 3",))
    cloud.run_agent(list(cloud.servers)[-1])
    sweep(cloud)
    [row] = rows(cloud)
    assert (row.outcome, row.attempt, row.before) == ("succeeded", 2, ("exit 3",))
    assert "attempt 2; before: exit 3, latest" in table(cloud)


def test_details_are_read_for_the_newest_runs_only():
    cloud = deployed(since=TICK)
    whole_run(cloud)
    cloud.pass_time(3600)
    whole_run(cloud, TICK + timedelta(hours=1))
    newest, oldest = rows(cloud, details=1)
    assert newest.detailed
    assert not oldest.detailed
    assert run_document(oldest)["server"] is None
    assert run_document(oldest)["outcome"] == "succeeded"


def test_removed_job_keeps_its_runs_and_gets_no_new_ticks():
    cloud = deployed(since=TICK)
    whole_run(cloud)
    gone = Removed(name="pi", effective_from=TICK + timedelta(minutes=10), deployed_by="ben")
    cloud.objects[gone.key] = write_version(gone)
    cloud.pass_time(5 * 3600)
    assert [row.outcome for row in rows(cloud)] == ["succeeded"]


# --- names --------------------------------------------------------------------------------------------------------------


def test_job_alone_is_its_newest_run_open_or_done():
    cloud = deployed(since=TICK)
    whole_run(cloud)
    assert find(cloud, "pi").tick == TICK
    cloud.pass_time(3600)
    tick(cloud, TICK + timedelta(hours=1))
    assert find(cloud, "pi").tick == TICK + timedelta(hours=1)


def test_day_and_time_are_in_the_jobs_zone():
    cloud = deployed(since=TICK)
    whole_run(cloud)
    assert find(cloud, "pi@2026-11-25", TALLINN).tick == TICK
    assert find(cloud, "pi@2026-11-25T00:41", TALLINN).tick == TICK
    assert find(cloud, "pi@2026-11-24T22:41Z", TALLINN).tick == TICK


def test_unknown_run_names_the_nearest():
    cloud = deployed(since=TICK)
    whole_run(cloud)
    with pytest.raises(NotFoundError) as refused:
        find(cloud, "pi@2026-10-01")
    assert refused.value.lines == (("is", "pi@2026-11-24T22:41Z"),)
    with pytest.raises(NotFoundError, match="rho has no runs yet"):
        find(cloud, "rho")


def test_newest_good_run_is_the_one_latest_names():
    cloud = deployed(since=TICK)
    whole_run(cloud)
    cloud.pass_time(3600)
    whole_run(cloud, TICK + timedelta(hours=1), exit_code=1)
    assert cloud.run(newest_good("pi")).tick == TICK


def test_newest_good_run_may_be_one_by_hand():
    cloud = deployed(since=TICK)
    whole_run(cloud)
    cloud.pass_time(100)
    launched = cloud.run(launch(LaunchNow(job="pi", request="by hand"), acting_as("launcher")))
    cloud.run_agent(list(cloud.servers)[-1])
    sweep(cloud)
    assert cloud.run(newest_good("pi")) == launched.facts.run


def test_newest_good_run_by_hand_is_found_without_latest():
    cloud = deployed(since=TICK)
    launched = cloud.run(launch(LaunchNow(job="pi", request="by hand"), acting_as("launcher")))
    cloud.run_agent(next(iter(cloud.servers)))
    sweep(cloud)
    assert cloud.run(newest_good("pi")) == launched.facts.run
    assert table(cloud).splitlines()[1].endswith("by hand")


# --- show and ps --------------------------------------------------------------------------------------------------------


def show(cloud, run=None):
    details = cloud.run(look_up(run or names.RunName("pi", TICK)))
    return "\n".join(show_lines(details, UTC)), show_document(details)


def test_show_of_live_run_lists_what_ends_its_server():
    cloud = deployed(since=TICK)
    tick(cloud)
    [server] = cloud.servers
    cloud.consoles[server] = ("[ 3.2] dayfly switch: armed for 960 s after boot",)
    cloud.objects[names.HEARTBEAT] = encode(Heartbeat(at=cloud.now, ended=0, open_runs=1, kept="2026-11-24"))
    cloud.pass_time(20)
    text, document = show(cloud)
    assert text == (
        "pi@2026-11-24T22:41:00Z   starting\n"
        "due today 22:41 UTC\n"
        "\n"
        "  22:41:00            tick         due by its schedule\n"
        "  22:41:01       +1s  claimed      pi@2026-11-24T22:41Z   the schedule delivered it 1.0 s after the tick\n"
        "  22:41:01       +1s  server       i-00000000000000000, c8g.large spot in eu-west-1a, gone by 22:57:01\n"
        "\n"
        "server    i-00000000000000000 is running\n"
        "ends by   22:57:01, its deadline; 23:04:01 at the latest, while any one of these works\n"
        "  switch         armed for 960 s after boot (from the server's console)\n"
        "  kill schedule  armed (kill-i-00000000000000000)\n"
        "  sweeper        last complete sweep 20 s ago\n"
        "latest    none yet: no scheduled run of pi has succeeded\n"
        "next      dayfly logs pi@2026-11-24T22:41Z -f"
    )
    assert document["ends_by"]["kill_schedule"]["ok"] is True
    assert document["server"]["id"] == server


def test_run_whose_server_is_gone_waits_for_its_final_status():
    cloud = deployed(since=TICK)
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)))
    text, document = show(cloud)
    assert "server    i-00000000000000000: server gone; final status in seconds, at most 5 min" in text
    assert "ends by" not in text
    assert "ends_by" not in document
    assert (
        table(cloud)
        .splitlines()[1]
        .endswith(" saving   0s   c8g.large spot  server gone; final status in seconds, at most 5 min")
    )


def test_show_claims_no_layer_that_it_did_not_see():
    cloud = deployed(since=TICK)
    tick(cloud)
    cloud.kill_schedules.clear()
    text, document = show(cloud)
    assert "switch         unknown: not on the server's console yet" in text
    assert "kill schedule  MISSING" in text
    assert "sweeper        unknown: it has not reported yet" in text
    assert [document["ends_by"][name]["ok"] for name in ("switch", "kill_schedule", "sweeper")] == [None, False, None]


def test_show_of_finished_run_has_code_files_and_latest():
    cloud = deployed(since=TICK)
    whole_run(cloud)
    text, document = show(cloud)
    assert text.splitlines()[-6:] == [
        "log       last 1 of 1 line",
        "  | hello",
        "code      abc = commit 9f2c1ab (clean)      image debian-13 = ami-0model",
        "files     out/pi.txt 5 bytes",
        "latest    this run",
        "next      dayfly fetch pi@2026-11-24T22:41Z",
    ]
    assert document["outcome"] == "succeeded"
    assert document["outputs"][0]["path"] == "out/pi.txt"
    assert document["over"] is True


def test_only_keys_named_as_log_pieces_are_taken():
    cloud = deployed(since=TICK)
    tick(cloud)
    [server] = cloud.servers
    run = names.RunName("pi", TICK)
    prefix = names.out_prefix(run, 1, ROLE, server)
    for name in ("log/000001", "log/000002", "log/000002x", "log/000004", "log/evil/000003"):
        cloud.objects[prefix + name] = b"x"
    details = cloud.run(look_up(run))
    assert cloud.run(log_pieces(run, details.facts.attempt)) == (f"{prefix}log/000001", f"{prefix}log/000002")


def test_ps_shows_live_servers_and_overdue_ones():
    cloud = deployed(since=TICK)
    tick(cloud)
    [server] = cloud.servers
    cloud.objects[f"out/pi/2026-11-24T22:41:00Z/1/{ROLE}:{server}/started.json"] = (
        b'{"at": "2026-11-24T22:41:05.000Z", "format": 1}'
    )
    cloud.pass_time(60)
    listed = cloud.run(list_servers())
    assert "\n".join(ps_lines(listed, UTC)) == (
        "SERVER               RUN                      TYPE            STATE    UP     JOB  GONE BY (UTC)  KILL SCHEDULE\n"
        "i-00000000000000000  pi@2026-11-24T22:41:00Z  c8g.large spot  running  1m00s  56s  22:57:01       armed\n"
        "1 server. Nothing overdue or orphaned.\n"
        "next     dayfly logs pi -f"
    )
    cloud.kill_schedules.clear()
    cloud.pass_time(1000)
    listed = cloud.run(list_servers())
    assert ps_lines(listed, UTC)[-3:] == (
        "i-00000000000000000: past its deadline; the sweeper ends it",
        "1 server. 1 past the deadline.",
        "next     dayfly runs",
    )
    assert ps_document(listed)["servers"][0]["sweeper"] == "end"


def test_ps_names_live_run_whose_server_is_not_shown():
    cloud = deployed(since=TICK)
    tick(cloud)
    cloud.hidden = set(cloud.servers)
    listed = cloud.run(list_servers())
    assert ps_lines(listed, UTC) == (
        "pi@2026-11-24T22:41:00Z: EC2 does not show its server; its state is unknown",
        "No servers. 1 live run without a server.",
        "next     dayfly runs",
    )


def test_empty_list_says_so():
    assert table(deployed(since=TICK)) == "no runs and no missed ticks in this period"


def test_refused_launch_is_listed_with_its_reason():
    none = (FleetError(code="InsufficientInstanceCapacity", message="none", pool="c8g.large eu-west-1a"),)
    cloud = deployed(since=TICK)
    cloud.refuse = {"spot": none, "on-demand": none}
    tick(cloud)
    assert table(cloud).splitlines()[1] == "pi@2026-11-24T22:41Z  today 22:41  failed   -    -       no-capacity"


def test_distant_days_are_dates():
    cloud = deployed(since=datetime(2025, 3, 1, tzinfo=UTC), schedule=("at(2025-03-28T02:30:00)",))
    [row] = rows(cloud, since=datetime(2025, 1, 1, tzinfo=UTC), keep_s=3650 * DAY)
    assert "28 Mar 2025 02:30" in runs_lines([row], UTC, cloud.now, at_most=5)[1]
