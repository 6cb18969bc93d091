"""Runs on the local cloud through the CLI, as a user types it: every outcome, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from system.conftest import BackgroundCommands, Folder
from system.projects import BUCKET, project, run, toml

MARK = f"61{time.time_ns() % 10**9}"
IGNORES_TERM = f"trap '' TERM; (trap '' TERM; setsid sh -c \"trap '' TERM; sleep {MARK}\" &) ; sleep {MARK}"
# Part of a test's name -> the project it waits for, and the commands that start it.
LONG = {
    "every_minute": (
        project("minutely", "echo $DAYFLY_TICK >tick.txt", schedule="rate(1 minute)", outputs=["tick.txt"]),
        ("local", "up"),
        ("deploy", "--local", "--yes"),
    ),
    "ignores_term": (
        project("ignores-term", IGNORES_TERM, time_limit="2s", margin="2m"),
        ("run", "hello", "--local", "--wait", "--json"),
    ),
    "[hang": (None, ("demo", "--break", "hang", "--json")),
}


@pytest.fixture(scope="module", autouse=True)
def background(request, tmp_path_factory):
    """Start what the slowest tests wait for before the first test of this file, each in its own folder and cloud."""
    names = " ".join(item.name for item in request.session.items if item.path == request.path)
    started = {}
    for part, (text, *commands) in LONG.items():
        if part in names:
            folder = Folder(tmp_path_factory.mktemp("background"))
            started[part] = BackgroundCommands(folder, text, *commands)
    yield started
    for commands in started.values():
        commands.close()


def processes_with(word: str) -> list[str]:
    """Return command lines of this machine that contain the word."""
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


def test_run_succeeds_and_its_output_is_fetched(cloud):
    cloud.write(project("good", "mkdir -p out; echo hello >out/a.txt", outputs=["out/*.txt"]))
    document = run(cloud)
    assert document["outcome"] == "succeeded"
    assert document["receipt"]["server"]["type"] == "c8g.large"
    fetched = cloud.dayfly("fetch", document["run"], "--local")
    assert fetched.returncode == 0, fetched.stderr
    assert (cloud.path / ".dayfly/results" / document["run"] / "out/a.txt").read_text() == "hello\n"


def test_exit_3_fails_and_shows_the_last_lines(cloud):
    cloud.write(project("three", "echo first; echo 'the last word'; exit 3"))
    document = run(cloud, code=1)
    assert (document["outcome"], document["reason"]) == ("failed", "exit 3")
    assert document["log"][-1] == "the last word"
    screen = cloud.dayfly("run", "hello", "--local", "--wait")
    assert screen.returncode == 1
    assert "| the last word" in screen.stdout
    assert "exited with 3" in screen.stdout
    assert cloud.dayfly("logs", "hello", "--local").stdout.count("the last word") == 1


def test_missing_output_fails_and_is_named(cloud):
    cloud.write(project("missing", "true", outputs=["out/x.txt"]))
    document = run(cloud, code=1)
    assert (document["outcome"], document["reason"]) == ("failed", "output-missing")
    assert "out/x.txt" in document["why"]


@pytest.mark.slow
def test_job_that_ignores_term_times_out_with_its_daemons(background):
    ignoring = background["ignores_term"]
    document = json.loads(ignoring.output(code=1))
    assert document["outcome"] == "timed-out"
    assert not processes_with(MARK)
    assert ignoring.folder.json("ps", "--local")["servers"] == []


@pytest.mark.slow
def test_env_option_reaches_the_job_and_the_receipt(cloud):
    cloud.write(project("env", 'test "$MODE" = fast', env={"MODE": "full"}))
    assert run(cloud, code=1)["reason"] == "exit 1"
    document = run(cloud, "--env", "MODE=fast")
    assert document["receipt"]["env"] == {"MODE": "fast"}


def test_job_finds_its_variables_and_files(cloud):
    command = (
        'test "$DAYFLY_RUN" = "hello@$DAYFLY_TICK" && test "$DAYFLY_JOB" = hello && test "$DAYFLY_ATTEMPT" = 1 '
        '&& test "$DAYFLY_REGION" = eu-west-1 && test "$AWS_REGION" = eu-west-1 && test -n "$DAYFLY_DAY" '
        '&& test -n "$DAYFLY_TERM_AT" && test -w . && test -f dayfly.toml'
    )
    cloud.write(project("promised", command))
    assert run(cloud)["outcome"] == "succeeded"


def test_run_by_hand_moves_latest_only_with_publish(cloud):
    cloud.write(project("publish", "echo x >x.txt", outputs=["x.txt"]))
    bucket = "dayfly-publish-000000000000-eu-west-1"
    first = run(cloud)
    assert cloud.json("fetch", "hello", "--local")["run"] == first["run"], "the newest good run, also one by hand"
    assert cloud.client("s3").list_objects_v2(Bucket=bucket, Prefix="latest/")["KeyCount"] == 0
    document = run(cloud, "--publish")
    latest = cloud.client("s3").get_object(Bucket=bucket, Key="latest/hello.json")["Body"].read()
    assert json.loads(latest)["run"] == document["run"]


def test_retry_uses_the_code_deployed_last(cloud):
    cloud.write(project("again", "exit 3"))
    document = run(cloud, code=1)
    cloud.write(project("again", "exit 0"))
    assert cloud.dayfly("deploy", "--local", "--yes").returncode == 0
    again = cloud.json("retry", document["run"], "--wait", "--local")
    assert (again["outcome"], again["receipt"]["attempt"]) == ("succeeded", 2)
    row = next(row for row in cloud.json("runs", "--local")["runs"] if row["run"] == document["run"])
    assert row["outcome"] == "succeeded"


def test_cancel_ends_the_run_and_its_server(cloud):
    cloud.write(project("cancel", "sleep 300"))
    cloud.dayfly("deploy", "--local", "--yes")
    document = cloud.json("run", "hello", "--local")
    cancelled = cloud.json("cancel", document["run"], "--local")
    assert cancelled["outcome"] == "cancelled"
    assert cloud.json("ps", "--local")["servers"] == []


@pytest.mark.slow
def test_second_run_is_skipped_while_the_first_runs(cloud):
    cloud.write(project("overlap", "sleep 300"))
    cloud.dayfly("deploy", "--local", "--yes")
    first = cloud.json("run", "hello", "--local")
    second = cloud.json("run", "hello", "--local", code=1)
    assert (second["decision"], second["reason"]) == ("skipped", "overlap")
    cloud.json("cancel", first["run"], "--local")


def test_tick_delivered_20_times_is_one_run_on_one_server(cloud):
    cloud.write(project("twenty", "echo once", schedule="* * * * *", overlap="allow"))
    assert cloud.dayfly("deploy", "--local", "--yes").returncode == 0
    tick = datetime.now(UTC).replace(second=0, microsecond=0)
    # By hand at a tick: the run's name is its identity.
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


def test_deploy_of_code_changes_no_stack(cloud):
    cloud.write(project("code", "cat word.txt"))
    (cloud.path / "word.txt").write_text("old\n")
    cloud.dayfly("deploy", "--local", "--yes")
    (cloud.path / "word.txt").write_text("new\n")
    document = cloud.json("deploy", "--local", "--yes")
    assert document["plan"]["stack"] == "same"
    assert [job["change"] for job in document["plan"]["jobs"]] == ["changed"]
    assert run(cloud)["log"] == ["new"]
    assert cloud.dayfly("deploy", "--local", "--plan").returncode == 0


def test_template_too_large_for_a_request_is_read_from_the_bucket(cloud):
    tags = {f"CostCenter{number}": "x" * 40 for number in range(40)}
    cloud.write("tags = " + toml(tags) + "\n" + project("large", "echo hello"))
    cloud.dayfly("deploy", "--local", "--yes")
    found = cloud.client("s3").list_objects_v2(Bucket=BUCKET.format("large"), Prefix="functions/template-")
    assert found["KeyCount"] == 1
    assert run(cloud)["log"] == ["hello"]


def test_deploy_without_a_terminal_needs_yes(cloud):
    cloud.write(project("asked", "true"))
    refused = cloud.dayfly("deploy", "--local")
    assert refused.returncode == 2
    assert cloud.dayfly("deploy", "--local", "--plan").returncode == 10


def test_destroy_keeps_or_deletes_results(cloud):
    cloud.write(project("gone", "echo x >x.txt", outputs=["x.txt"]))
    document = run(cloud, "--publish")
    assert cloud.dayfly("destroy", "--local", "--yes").returncode == 2
    kept = cloud.json("destroy", "--local", "--yes", "--keep-results")
    assert (kept["left"], kept["kept"]) == ([], BUCKET.format("gone"))
    assert cloud.dayfly("deploy", "--local", "--yes").returncode == 0
    assert cloud.json("fetch", "hello", "--local")["run"] == document["run"]
    deleted = cloud.json("destroy", "--local", "--yes", "--delete-results")
    assert (deleted["left"], deleted["kept"]) == ([], None)
    buckets = [each["Name"] for each in cloud.client("s3").list_buckets()["Buckets"]]
    assert BUCKET.format("gone") not in buckets


def test_setup_is_refused_on_process_guests(cloud):
    cloud.write(project("setup", "true", setup="apt-get install -y pigz"))
    refused = cloud.dayfly("run", "hello", "--local", "--wait")
    assert refused.returncode == 2
    assert "needs a vm guest" in refused.stderr


def test_run_local_without_cloud_or_wait_names_local_up(own_folder):
    own_folder.write(project("nowait", "true"))
    refused = own_folder.dayfly("run", "hello", "--local")
    assert refused.returncode == 2
    assert "dayfly local up" in refused.stderr


def test_endpoint_in_the_environment_needs_local(own_folder):
    own_folder.write(project("stray", "true"))
    own_folder.env["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    for command in (
        ["run", "hello"],
        ["deploy", "--yes"],
        ["destroy", "--yes"],
        ["retry", "hello"],
        ["cancel", "hello"],
    ):
        refused = own_folder.dayfly(*command)
        assert refused.returncode == 2, command
        assert "AWS_ENDPOINT_URL" in refused.stderr


@pytest.mark.slow
def test_first_run_starts_and_stops_its_own_cloud(own_folder):
    assert own_folder.dayfly("init").returncode == 0
    own_folder.env["DAYFLY_SHORT_MARGIN"] = ""
    document = own_folder.json("run", "hello", "--local", "--wait")
    assert document["outcome"] == "succeeded"
    assert not processes_with(str(own_folder.path))
    assert "hello" in own_folder.dayfly("runs", "--local").stdout
    assert not processes_with(str(own_folder.path))


@pytest.mark.slow
def test_large_results_arrive_whole_with_little_memory(cloud):
    command = (
        "mkdir -p out many; head -c 200000000 /dev/urandom >out/big.bin; sha256sum out/big.bin; "
        "for i in $(seq 1000); do echo $i >many/$i.txt; done; "
        "head -c 75000000 /dev/urandom | base64 -w 99"
    )
    cloud.write(project("large", command, outputs=["out/big.bin", "many/*.txt"], time_limit="10m", margin="10m"))
    document = run(cloud, timeout=400)
    receipt = document["receipt"]
    assert document["outcome"] == "succeeded"
    assert len(receipt["outputs"]) == 1001
    assert receipt["log"]["bytes"] > 100_000_000
    assert receipt["memory_mb"]["agent"] < 64
    cloud.dayfly("fetch", document["run"], "--local", timeout=300)
    assert (cloud.path / ".dayfly/results" / document["run"] / "out/big.bin").stat().st_size == 200_000_000


@pytest.mark.slow
def test_job_of_every_minute_runs_and_survives_a_restart(background):
    background["every_minute"].output()
    own_folder = background["every_minute"].folder
    good: list[dict] = []
    until = time.monotonic() + 200
    while len(good) < 2 and time.monotonic() < until:
        time.sleep(2)
        good = [row for row in own_folder.json("runs", "--local")["runs"] if row["outcome"] == "succeeded"]
    assert len(good) >= 2
    ticks = sorted(row["run"] for row in good)[:2]
    assert own_folder.dayfly("local", "down").returncode == 0
    assert not processes_with(str(own_folder.path))
    assert own_folder.dayfly("local", "up").returncode == 0
    again = {row["run"] for row in own_folder.json("runs", "--local")["runs"]}
    assert set(ticks) <= again
    assert own_folder.json("fetch", ticks[0], "--local")["run"] == ticks[0]
    group = own_folder.client("scheduler").list_schedules(GroupName="dayfly-minutely")["Schedules"]
    assert {each["Name"] for each in group} >= {"hello", "dayfly-sweeper"}


@pytest.mark.slow
@pytest.mark.parametrize(("broken", "by"), [("agent", "switch"), ("hang", "agent: the job's time limit")])
def test_broken_demo_still_ends_its_server_in_time(background, own_folder, broken, by):
    early = background.get(f"[{broken}")
    document = json.loads(early.output()) if early else own_folder.json("demo", "--break", broken, timeout=300)
    assert document["servers_left"] == 0
    assert document["as_promised"] is True
    assert document["ended_by"].startswith(by)


@pytest.mark.slow
def test_demo_runs_its_job_by_schedule(own_folder):
    document = own_folder.json("demo", "--seconds", "2", timeout=240)
    assert document["outcome"] == "succeeded"
    assert document["tick"]["source"] == "schedule"
    assert document["servers_left"] == 0
    body = (own_folder.path / document["result"]).read_bytes()
    assert body.startswith(b"3.14159265358979")
    assert len(body) == document["digits"] + 3
    order = [document["times"][name] for name in ("tick", "claimed", "job_started", "job_ended", "stored", "closed")]
    assert order == sorted(order)
    assert not processes_with(str(own_folder.path))
