"""Runs on the real local cloud, by the CLI as a user types it: every outcome, and what is left behind (nothing)."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from system.conftest import Begun, Folder
from system.projects import BUCKET, project, run

MARK = f"61{time.time_ns() % 10**9}"
DEAF = f"trap '' TERM; (trap '' TERM; setsid sh -c \"trap '' TERM; sleep {MARK}\" &) ; sleep {MARK}"
# By a word of the test's name: what it waits for, and by which commands it begins.
LONG = {
    "every_minute": (
        project("minutely", "echo $DAYFLY_TICK >tick.txt", schedule="rate(1 minute)", outputs=["tick.txt"]),
        ("local", "up"),
        ("deploy", "--local", "--yes"),
    ),
    "deaf_to_term": (
        project("deaf", DEAF, time_limit="2s", margin="2m"),
        ("run", "hello", "--local", "--wait", "--json"),
    ),
    "[hang": (None, ("demo", "--break", "hang", "--json")),
}


@pytest.fixture(scope="module", autouse=True)
def begun(request, tmp_path_factory):
    """The waiting of the slowest tests begins before the first test of this file, each in a folder and cloud of its own."""
    names = [item.name for item in request.session.items if item.path == request.path]
    wanted = {word: said for word, said in LONG.items() if any(word in name for name in names)}
    going = {
        word: Begun(Folder(tmp_path_factory.mktemp("begun")), text, *commands)
        for word, (text, *commands) in wanted.items()
    }
    yield going
    for one in going.values():
        one.close()


def alive(word: str) -> list[str]:
    """Processes of this machine whose command line has the word."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if word.encode() in line:
                found.append(line.replace(b"\0", b" ").decode())
    return found


def test_a_job_that_works_succeeds_and_its_output_is_fetched_whole(cloud):
    cloud.write(project("good", "mkdir -p out; echo hello >out/a.txt", outputs=["out/*.txt"]))
    told = run(cloud)
    assert told["outcome"] == "succeeded"
    assert told["receipt"]["server"]["type"] == "c8g.large"
    fetched = cloud.dayfly("fetch", told["run"], "--local")
    assert fetched.returncode == 0, fetched.stderr
    assert (cloud.path / ".dayfly/results" / told["run"] / "out/a.txt").read_text() == "hello\n"


def test_a_job_that_exits_3_fails_with_exit_3_and_its_last_lines_are_shown(cloud):
    cloud.write(project("three", "echo first; echo 'the last word'; exit 3"))
    told = run(cloud, code=1)
    assert (told["outcome"], told["reason"]) == ("failed", "exit 3")
    assert told["log"][-1] == "the last word"
    screen = cloud.dayfly("run", "hello", "--local", "--wait")
    assert screen.returncode == 1
    assert "| the last word" in screen.stdout
    assert "exited with 3" in screen.stdout
    assert cloud.dayfly("logs", "hello", "--local").stdout.count("the last word") == 1


def test_a_missing_output_is_a_failure_and_says_which(cloud):
    cloud.write(project("missing", "true", outputs=["out/x.txt"]))
    told = run(cloud, code=1)
    assert (told["outcome"], told["reason"]) == ("failed", "output-missing")
    assert "out/x.txt" in told["why"]


@pytest.mark.slow
def test_a_job_deaf_to_term_with_daemons_of_its_own_is_timed_out_and_nothing_of_it_is_left(begun):
    deaf = begun["deaf_to_term"]
    told = json.loads(deaf.ended(code=1))
    assert told["outcome"] == "timed-out"
    assert not alive(MARK)
    assert deaf.folder.json("ps", "--local")["servers"] == []


@pytest.mark.slow
def test_env_by_hand_reaches_the_job_and_stands_in_the_receipt(cloud):
    cloud.write(project("env", 'test "$MODE" = fast', env={"MODE": "full"}))
    assert run(cloud, code=1)["reason"] == "exit 1"
    told = run(cloud, "--env", "MODE=fast")
    assert told["receipt"]["env"] == {"MODE": "fast"}


def test_the_job_finds_what_it_was_promised(cloud):
    command = (
        'test "$DAYFLY_RUN" = "hello@$DAYFLY_TICK" && test "$DAYFLY_JOB" = hello && test "$DAYFLY_ATTEMPT" = 1 '
        '&& test "$DAYFLY_REGION" = eu-west-1 && test "$AWS_REGION" = eu-west-1 && test -n "$DAYFLY_DAY" '
        '&& test -n "$DAYFLY_TERM_AT" && test -w . && test -f dayfly.toml'
    )
    cloud.write(project("promised", command))
    assert run(cloud)["outcome"] == "succeeded"


def test_a_run_by_hand_moves_latest_only_with_publish(cloud):
    cloud.write(project("publish", "echo x >x.txt", outputs=["x.txt"]))
    run(cloud)
    assert cloud.dayfly("fetch", "hello", "--local").returncode == 4
    told = run(cloud, "--publish")
    assert cloud.json("fetch", "hello", "--local")["run"] == told["run"]


def test_retry_makes_another_attempt_with_the_code_of_now(cloud):
    cloud.write(project("again", "exit 3"))
    told = run(cloud, code=1)
    cloud.write(project("again", "exit 0"))
    assert cloud.dayfly("deploy", "--local", "--yes").returncode == 0
    again = cloud.json("retry", told["run"], "--wait", "--local")
    assert (again["outcome"], again["receipt"]["attempt"]) == ("succeeded", 2)
    row = next(row for row in cloud.json("runs", "--local")["runs"] if row["run"] == told["run"])
    assert row["outcome"] == "succeeded"


def test_cancel_ends_a_run_and_its_server(cloud):
    cloud.write(project("cancel", "sleep 300"))
    cloud.dayfly("deploy", "--local", "--yes")
    told = cloud.json("run", "hello", "--local")
    cancelled = cloud.json("cancel", told["run"], "--local")
    assert cancelled["outcome"] == "cancelled"
    assert cloud.json("ps", "--local")["servers"] == []


@pytest.mark.slow
def test_a_second_run_while_the_first_lives_is_skipped(cloud):
    cloud.write(project("overlap", "sleep 300"))
    cloud.dayfly("deploy", "--local", "--yes")
    first = cloud.json("run", "hello", "--local")
    second = cloud.json("run", "hello", "--local", code=1)
    assert (second["decision"], second["reason"]) == ("skipped", "overlap")
    cloud.json("cancel", first["run"], "--local")


def test_one_tick_delivered_20_times_at_once_is_one_server_and_one_run(cloud):
    cloud.write(project("twenty", "echo once", schedule="* * * * *", overlap="allow"))
    assert cloud.dayfly("deploy", "--local", "--yes").returncode == 0
    tick = datetime.now(UTC).replace(second=0, microsecond=0)
    # By hand at a tick: the run's name is its identity, whoever asks.
    event = json.dumps({"job": "hello", "tick": tick.strftime("%Y-%m-%dT%H:%M:%SZ")})
    functions = cloud.client("lambda")
    with ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(
                lambda _: json.loads(
                    functions.invoke(FunctionName="dayfly-twenty-launcher", Payload=event)["Payload"].read()
                ),
                range(20),
            )
        )
    assert {answer["run"] for answer in answers} == {f"hello@{tick:%Y-%m-%dT%H:%M:%SZ}"}
    servers = {answer["server"] for answer in answers} - {None}
    assert len(servers) == 1
    found = cloud.client("ec2").describe_instances(Filters=[{"Name": "tag:dayfly:project", "Values": ["twenty"]}])
    runs = [one for group in found["Reservations"] for one in group["Instances"]]
    named = [one for one in runs if {"Key": "dayfly:run", "Value": answers[0]["run"]} in one["Tags"]]
    assert len(named) == 1
    cloud.json("destroy", "--local", "--yes", "--delete-results")


def test_a_deploy_of_code_alone_touches_no_stack_and_is_live_at_the_next_run(cloud):
    cloud.write(project("code", "cat word.txt"))
    (cloud.path / "word.txt").write_text("old\n")
    cloud.dayfly("deploy", "--local", "--yes")
    (cloud.path / "word.txt").write_text("new\n")
    told = cloud.json("deploy", "--local", "--yes")
    assert told["plan"]["stack"] == "same"
    assert [job["change"] for job in told["plan"]["jobs"]] == ["changed"]
    assert run(cloud)["log"] == ["new"]
    assert cloud.dayfly("deploy", "--local", "--plan").returncode == 0


def test_deploy_without_a_terminal_and_without_yes_does_nothing(cloud):
    cloud.write(project("asked", "true"))
    refused = cloud.dayfly("deploy", "--local")
    assert refused.returncode == 2
    assert cloud.dayfly("deploy", "--local", "--plan").returncode == 10


def test_destroy_keeps_or_deletes_results_and_looks_again(cloud):
    cloud.write(project("gone", "echo x >x.txt", outputs=["x.txt"]))
    told = run(cloud, "--publish")
    assert cloud.dayfly("destroy", "--local", "--yes").returncode == 2
    kept = cloud.json("destroy", "--local", "--yes", "--keep-results")
    assert (kept["left"], kept["kept"]) == ([], BUCKET.format("gone"))
    assert cloud.dayfly("deploy", "--local", "--yes").returncode == 0
    assert cloud.json("fetch", "hello", "--local")["run"] == told["run"]
    deleted = cloud.json("destroy", "--local", "--yes", "--delete-results")
    assert (deleted["left"], deleted["kept"]) == ([], None)
    buckets = [each["Name"] for each in cloud.client("s3").list_buckets()["Buckets"]]
    assert BUCKET.format("gone") not in buckets


def test_setup_is_refused_where_servers_are_processes(cloud):
    cloud.write(project("setup", "true", setup="apt-get install -y pigz"))
    refused = cloud.dayfly("run", "hello", "--local", "--wait")
    assert refused.returncode == 2
    assert "needs a vm guest" in refused.stderr


def test_run_local_without_a_cloud_and_without_wait_names_local_up(alone):
    alone.write(project("nowait", "true"))
    refused = alone.dayfly("run", "hello", "--local")
    assert refused.returncode == 2
    assert "dayfly local up" in refused.stderr


def test_an_endpoint_in_the_environment_without_local_is_refused(alone):
    alone.write(project("stray", "true"))
    alone.env["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    for command in (
        ["run", "hello"],
        ["deploy", "--yes"],
        ["destroy", "--yes"],
        ["retry", "hello"],
        ["cancel", "hello"],
    ):
        refused = alone.dayfly(*command)
        assert refused.returncode == 2, command
        assert "AWS_ENDPOINT_URL" in refused.stderr


@pytest.mark.slow
def test_a_newcomer_inits_and_runs_with_no_cloud_before_and_none_left_after(alone):
    assert alone.dayfly("init").returncode == 0
    alone.env["DAYFLY_SHORT_MARGIN"] = ""
    told = alone.json("run", "hello", "--local", "--wait")
    assert told["outcome"] == "succeeded"
    assert not alive(str(alone.path))
    assert "hello" in alone.dayfly("runs", "--local").stdout
    assert not alive(str(alone.path))


@pytest.mark.slow
def test_large_results_arrive_whole_with_a_small_agent(cloud):
    command = (
        "mkdir -p out many; head -c 200000000 /dev/urandom >out/big.bin; sha256sum out/big.bin; "
        "for i in $(seq 1000); do echo $i >many/$i.txt; done; "
        "head -c 75000000 /dev/urandom | base64 -w 99"
    )
    cloud.write(project("large", command, outputs=["out/big.bin", "many/*.txt"], time_limit="10m", margin="10m"))
    told = run(cloud, timeout=400)
    receipt = told["receipt"]
    assert told["outcome"] == "succeeded"
    assert len(receipt["outputs"]) == 1001
    assert receipt["log"]["bytes"] > 100_000_000
    assert receipt["memory_mb"]["agent"] < 64
    cloud.dayfly("fetch", told["run"], "--local", timeout=300)
    assert (cloud.path / ".dayfly/results" / told["run"] / "out/big.bin").stat().st_size == 200_000_000


@pytest.mark.slow
def test_a_job_of_every_minute_runs_at_two_ticks_by_itself_and_all_is_there_after_down_and_up(begun):
    begun["every_minute"].ended()
    alone = begun["every_minute"].folder
    good: list[dict] = []
    until = time.monotonic() + 200
    while len(good) < 2 and time.monotonic() < until:
        time.sleep(2)
        good = [row for row in alone.json("runs", "--local")["runs"] if row["outcome"] == "succeeded"]
    assert len(good) >= 2
    ticks = sorted(row["run"] for row in good)[:2]
    assert alone.dayfly("local", "down").returncode == 0
    assert not alive(str(alone.path))
    assert alone.dayfly("local", "up").returncode == 0
    again = {row["run"] for row in alone.json("runs", "--local")["runs"]}
    assert set(ticks) <= again
    assert alone.json("fetch", ticks[0], "--local")["run"] == ticks[0]
    group = alone.client("scheduler").list_schedules(GroupName="dayfly-minutely")["Schedules"]
    assert {each["Name"] for each in group} >= {"hello", "dayfly-sweeper"}


@pytest.mark.slow
@pytest.mark.parametrize(("broken", "by"), [("agent", "switch"), ("hang", "agent: the job's time limit")])
def test_the_demo_with_something_broken_still_loses_its_server_in_time(begun, alone, broken, by):
    early = begun.get(f"[{broken}")
    told = json.loads(early.ended()) if early else alone.json("demo", "--break", broken, timeout=300)
    assert told["servers_left"] == 0
    assert told["as_promised"] is True
    assert told["ended_by"].startswith(by)


@pytest.mark.slow
def test_the_demo_runs_the_main_job_by_its_schedule(alone):
    told = alone.json("demo", "--seconds", "2", timeout=240)
    assert told["outcome"] == "succeeded"
    assert told["tick"]["source"] == "schedule"
    assert told["servers_left"] == 0
    body = (alone.path / told["result"]).read_bytes()
    assert body.startswith(b"3.14159265358979")
    assert len(body) == told["digits"] + 3
    order = [told["times"][name] for name in ("tick", "claimed", "job_started", "job_ended", "stored", "server_gone")]
    assert order == sorted(order)
    assert not alive(str(alone.path))
