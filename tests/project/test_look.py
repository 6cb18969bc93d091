"""Lists of runs and servers, the run that is named, on the model cloud. The texts of `runs`, `show` and `ps` are compared whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from dayfly.core import names
from dayfly.core.event import LaunchRequest
from dayfly.core.model import Removed
from dayfly.core.records import FleetError, Heartbeat, encode
from dayfly.core.versions import write_version
from dayfly.errors import NotFoundError
from dayfly.flows.launch import launch
from dayfly.flows.sweep import sweep_project
from dayfly.project.runs import look, references
from dayfly.project.screens.runs import NEVER, run_document, runs_lines
from dayfly.project.screens.servers import ps_document, ps_lines
from dayfly.project.screens.show import show_document, show_lines
from model.cloud import ROLE, TICK, acting_as, cloud_with, version

TALLINN = ZoneInfo("Europe/Tallinn")
DAY = 24 * 3600
HOURLY = {"schedule": ("41 * * * *",), "timezone": "UTC"}
SINCE = TICK - timedelta(days=30)


def deployed(since=TICK - timedelta(hours=1), **changes):
    return cloud_with(version(since, **{**HOURLY, **changes}))


def tick(cloud, moment=TICK, **changes):
    wish = LaunchRequest(
        **{"job": "pi", "tick": moment, "source": "schedule", "request": f"delivery of {moment}", **changes}
    )
    return cloud.run(launch(wish, acting_as("launcher")))


def sweep(cloud):
    cloud.run(sweep_project(acting_as("sweeper"), 90 * DAY))


def whole_run(cloud, moment=TICK, **work):
    tick(cloud, moment)
    assert cloud.work(list(cloud.servers)[-1], **work)
    sweep(cloud)


def rows(cloud, since=SINCE, job=None, details=100, keep_s=90 * DAY):
    wanted = look.Wanted(since=since, until=cloud.now + timedelta(days=1), keep_s=keep_s, details=details, job=job)
    return cloud.run(look.list_runs(wanted, ZoneInfo))


def table(cloud, at_most=50, **wanted):
    return "\n".join(runs_lines(rows(cloud, **wanted), UTC, "UTC", cloud.now, at_most=at_most))


def find(cloud, text, zone=UTC):
    return cloud.run(look.find_run(references.parse(text), zone))


def test_runs_shows_what_succeeded_what_failed_and_what_lives():
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


def test_a_tick_without_a_run_is_missed_once_start_within_is_over():
    cloud = deployed(since=TICK)
    cloud.pass_time(3590)
    assert rows(cloud) == ()
    cloud.pass_time(60)
    [row] = rows(cloud)
    assert (row.run.tick, row.outcome, row.reason) == (TICK, "missed", NEVER)
    assert run_document(row)["source"] == "schedule"


def test_a_tick_that_was_claimed_as_missed_is_listed_once_with_its_reason():
    cloud = deployed(since=TICK)
    cloud.pass_time(2 * 3600)
    tick(cloud)
    [late, early] = rows(cloud)
    assert early.run.tick == TICK
    assert early.reason == "late"
    assert "start_within is 3600 s" in early.detail
    assert late.reason == NEVER


def test_ticks_are_expected_by_the_schedule_that_was_in_force():
    cloud = deployed(since=TICK - timedelta(hours=1))
    other = version(TICK + timedelta(minutes=30), **{**HOURLY, "schedule": ("0 12 * * *",)})
    cloud.objects[other.key] = write_version(other)
    cloud.pass_time(6 * 3600)
    assert [row.run.tick for row in rows(cloud)] == [TICK, TICK - timedelta(hours=1)]


def test_nothing_is_missed_where_results_were_removed_by_keep():
    cloud = deployed(since=TICK - timedelta(days=20))
    assert len(rows(cloud, keep_s=2 * DAY)) == 47
    assert len(rows(cloud, keep_s=DAY)) == 23


def test_ticks_in_a_row_that_never_started_are_one_line():
    cloud = deployed(since=TICK)
    whole_run(cloud)
    cloud.pass_time(7 * 3600 + 1800)
    assert table(cloud) == (
        "RUN                   DUE (UTC)    OUTCOME    JOB  SERVER          NOTE\n"
        "pi@2026-11-25T04:41Z  today 04:41  missed     -    -               6 ticks in a row never started, since Tue 23:41\n"
        "pi@2026-11-24T22:41Z  Tue 22:41    succeeded  0s   c8g.large spot  latest\n"
        "7 ticks: 1 succeeded, 6 missed\n"
        "next     dayfly show pi@2026-11-24T22:41Z"
    )


def test_a_run_between_its_marker_and_its_end_is_not_missed():
    cloud = deployed(since=TICK)
    whole_run(cloud)
    del cloud.objects[names.done_key(names.RunName("pi", TICK), 1, "succeeded")]
    cloud.pass_time(5400)
    assert [row.outcome for row in rows(cloud)] == ["succeeded"]


def test_the_newest_attempt_counts():
    cloud = deployed(since=TICK)
    whole_run(cloud, exit_code=3)
    cloud.pass_time(60)
    run = names.RunName("pi", TICK)
    cloud.run(launch(LaunchRequest(job="pi", retry=run, request="again"), acting_as("launcher")))
    [row] = rows(cloud)
    assert (row.outcome, row.attempt, row.before) == ("starting", 2, ("exit 3",))
    cloud.work(list(cloud.servers)[-1])
    sweep(cloud)
    [row] = rows(cloud)
    assert (row.outcome, row.attempt, row.before) == ("succeeded", 2, ("exit 3",))
    assert "attempt 2; before: exit 3, latest" in table(cloud)


def test_details_are_read_for_the_newest_only_and_the_rest_says_so():
    cloud = deployed(since=TICK)
    whole_run(cloud)
    cloud.pass_time(3600)
    whole_run(cloud, TICK + timedelta(hours=1))
    newest, oldest = rows(cloud, details=1)
    assert newest.told
    assert not oldest.told
    assert run_document(oldest)["server"] is None
    assert run_document(oldest)["outcome"] == "succeeded"


def test_a_removed_jobs_runs_are_still_listed_and_it_has_no_further_ticks():
    cloud = deployed(since=TICK)
    whole_run(cloud)
    gone = Removed(name="pi", effective_from=TICK + timedelta(minutes=10), deployed_by="ben")
    cloud.objects[gone.key] = write_version(gone)
    cloud.pass_time(5 * 3600)
    assert [row.outcome for row in rows(cloud)] == ["succeeded"]


# --- names --------------------------------------------------------------------------------------------------------------


def test_a_job_alone_is_its_newest_run_open_or_done():
    cloud = deployed(since=TICK)
    whole_run(cloud)
    assert find(cloud, "pi").tick == TICK
    cloud.pass_time(3600)
    tick(cloud, TICK + timedelta(hours=1))
    assert find(cloud, "pi").tick == TICK + timedelta(hours=1)


def test_a_day_and_a_time_are_of_the_jobs_zone():
    cloud = deployed(since=TICK)
    whole_run(cloud)
    assert find(cloud, "pi@2026-11-25", TALLINN).tick == TICK
    assert find(cloud, "pi@2026-11-25T00:41", TALLINN).tick == TICK
    assert find(cloud, "pi@2026-11-24T22:41Z", TALLINN).tick == TICK


def test_a_run_that_is_not_there_names_the_nearest():
    cloud = deployed(since=TICK)
    whole_run(cloud)
    with pytest.raises(NotFoundError) as refused:
        find(cloud, "pi@2026-10-01")
    assert refused.value.lines == (("is", "pi@2026-11-24T22:41Z"),)
    with pytest.raises(NotFoundError, match="rho has no run yet"):
        find(cloud, "rho")


def test_the_newest_good_run_is_the_one_latest_names():
    cloud = deployed(since=TICK)
    whole_run(cloud)
    cloud.pass_time(3600)
    whole_run(cloud, TICK + timedelta(hours=1), exit_code=1)
    assert cloud.run(look.newest_good("pi")).tick == TICK


def test_a_good_run_by_hand_is_named_but_not_taken_for_latest():
    cloud = deployed(since=TICK)
    launched = tick(cloud, None, source="hand")
    cloud.work(next(iter(cloud.servers)))
    sweep(cloud)
    with pytest.raises(NotFoundError, match="no good result by its schedule") as refused:
        cloud.run(look.newest_good("pi"))
    assert f"dayfly fetch {launched.facts.run}" in refused.value.hint
    assert table(cloud).splitlines()[1].endswith("by hand")


# --- show and ps --------------------------------------------------------------------------------------------------------


def show(cloud, run=None):
    facts, seen, now = cloud.run(look.look_at(run or names.RunName("pi", TICK)))
    return "\n".join(show_lines(facts, seen, UTC, now)), show_document(facts, seen, now)


def test_show_of_a_live_run_says_what_stands_between_it_and_the_bill():
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
        "ends by   22:57:01 its deadline; 23:04:01 at the very latest, while any one of these works\n"
        "  switch         armed for 960 s after boot (the server's console)\n"
        "  kill schedule  kill-i-00000000000000000 is there\n"
        "  sweeper        last whole sweep 20 s ago\n"
        "latest    none: no good result of pi by its schedule yet\n"
        "next      dayfly logs pi@2026-11-24T22:41Z -f"
    )
    assert document["ends_by"]["kill_schedule"]["ok"] is True
    assert document["server"]["id"] == server


def test_a_server_that_is_gone_waits_for_its_run_to_be_closed():
    cloud = deployed(since=TICK)
    tick(cloud)
    cloud.work(next(iter(cloud.servers)))
    text, document = show(cloud)
    assert "server    i-00000000000000000: its server is gone; closed at the next sweep" in text
    assert "ends by" not in text
    assert "ends_by" not in document
    assert (
        table(cloud)
        .splitlines()[1]
        .endswith(" saving   0s   c8g.large spot  its server is gone; closed at the next sweep")
    )


def test_show_assumes_no_layer_that_it_did_not_see():
    cloud = deployed(since=TICK)
    tick(cloud)
    cloud.kills.clear()
    text, document = show(cloud)
    assert "switch         unknown: the server's console does not show it (yet)" in text
    assert "kill schedule  NOT THERE" in text
    assert "sweeper        unknown: it left no heartbeat yet" in text
    assert [document["ends_by"][name]["ok"] for name in ("switch", "kill_schedule", "sweeper")] == [None, False, None]


def test_show_of_a_finished_run_has_its_code_files_and_what_latest_is():
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


def test_only_what_is_named_as_a_piece_of_the_log_is_one():
    cloud = deployed(since=TICK)
    tick(cloud)
    [server] = cloud.servers
    run = names.RunName("pi", TICK)
    prefix = names.out_prefix(run, 1, ROLE, server)
    for name in ("log/000001", "log/000002", "log/000002x", "log/000004", "log/evil/000003"):
        cloud.objects[prefix + name] = b"x"
    facts, _, _ = cloud.run(look.look_at(run))
    assert cloud.run(look.log_pieces(run, facts.attempt)) == (f"{prefix}log/000001", f"{prefix}log/000002")


def test_ps_shows_live_servers_and_tells_those_that_should_not_be_there():
    cloud = deployed(since=TICK)
    tick(cloud)
    [server] = cloud.servers
    cloud.objects[f"out/pi/2026-11-24T22:41:00Z/1/{ROLE}:{server}/started.json"] = (
        b'{"at": "2026-11-24T22:41:05.000Z", "format": 1}'
    )
    cloud.pass_time(60)
    listed = cloud.run(look.list_servers())
    assert "\n".join(ps_lines(listed, UTC, "UTC")) == (
        "SERVER               RUN                      TYPE            STATE    UP     JOB  GONE BY (UTC)  KILL SCHEDULE\n"
        "i-00000000000000000  pi@2026-11-24T22:41:00Z  c8g.large spot  running  1m00s  56s  22:57:01       there\n"
        "1 server: none past its deadline, none without a run, no live run without a server\n"
        "next     dayfly logs pi -f"
    )
    cloud.kills.clear()
    cloud.pass_time(1000)
    listed = cloud.run(look.list_servers())
    assert ps_lines(listed, UTC, "UTC")[-3:] == (
        "i-00000000000000000: past its deadline; the sweeper ends it",
        "1 server: 1 past its deadline, none without a run, no live run without a server",
        "next     dayfly runs",
    )
    assert ps_document(listed)["servers"][0]["sweeper"] == "end"


def test_ps_names_a_live_run_whose_server_ec2_does_not_show():
    cloud = deployed(since=TICK)
    tick(cloud)
    cloud.hidden = set(cloud.servers)
    listed = cloud.run(look.list_servers())
    assert ps_lines(listed, UTC, "UTC") == (
        "pi@2026-11-24T22:41:00Z: EC2 does not show its server; unknown, not gone",
        "no server: none past its deadline, none without a run, 1 live run without a server",
        "next     dayfly runs",
    )


def test_no_run_at_all_says_so():
    assert table(deployed(since=TICK)) == "no run and no tick in this time"


def test_a_refused_launch_is_listed_with_its_reason():
    none = (FleetError(code="InsufficientInstanceCapacity", message="none", pool="c8g.large eu-west-1a"),)
    cloud = deployed(since=TICK)
    cloud.refuse = {"spot": none, "on-demand": none}
    tick(cloud)
    assert table(cloud).splitlines()[1] == "pi@2026-11-24T22:41Z  today 22:41  failed   -    -       no-capacity"


def test_days_far_away_are_written_out():
    cloud = deployed(since=datetime(2025, 3, 1, tzinfo=UTC), schedule=("at(2025-03-28T02:30:00)",))
    [row] = rows(cloud, since=datetime(2025, 1, 1, tzinfo=UTC), keep_s=3650 * DAY)
    assert "28 Mar 2025 02:30" in runs_lines([row], UTC, "UTC", cloud.now, at_most=5)[1]
