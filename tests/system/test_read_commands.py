"""runs, show, logs, fetch and ps on a local cloud: what they print, what they write, their exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import time

import pytest

from system.conftest import DAYFLY

pytestmark = pytest.mark.cloud

FILE = """
project = "looking"
regions = ["eu-west-1"]

[defaults]
servers = ["c8g.large"]
time_limit = "60s"
bundle = []

[jobs.good]
command = "mkdir -p out/deep && printf 'one\\ntwo' | tee out/a.txt && head -c 300000 /dev/zero > out/deep/b.bin"
outputs = ["out/*.txt", "out/deep/*"]

[jobs.bytes]
command = "printf 'caf\\\\351\\nend\\n'; exit 3"

[jobs.slow]
command = "echo first; sleep 12; echo last"
"""


@pytest.fixture(scope="module")
def project(cloud):
    """A folder with the project deployed, and one successful run by hand."""
    cloud.write(FILE)
    cloud.good = cloud.json("run", "good", "--local", "--wait")["run"]
    return cloud


@pytest.fixture(autouse=True)
def own_file(request):
    """Write this file's dayfly.toml: other test files put theirs into the same folder."""
    if "project" in request.fixturenames:
        request.getfixturevalue("project").write(FILE)


def test_fetch_writes_every_file_whole(project):
    done = project.dayfly("fetch", project.good, "--local")
    assert done.returncode == 0, done.stderr
    home = project.path / ".dayfly" / "results" / project.good / "out"
    assert (home / "a.txt").read_bytes() == b"one\ntwo"
    assert (home / "deep" / "b.bin").stat().st_size == 300_000
    assert "2 files, 300 kB, hashes checked" in done.stdout
    again = project.json("fetch", project.good, "--local")
    assert [file["path"] for file in again["files"]] == ["out/a.txt", "out/deep/b.bin"]
    assert not [path for path in home.parents[1].iterdir() if path.name.startswith(".")]


def test_fetch_refuses_a_folder_that_is_not_empty(project):
    (project.path / "mine").mkdir()
    (project.path / "mine" / "notes").write_text("keep")
    done = project.dayfly("fetch", project.good, "--to", "mine", "--local")
    assert done.returncode == 2
    assert [path.name for path in (project.path / "mine").iterdir()] == ["notes"]


def test_fetch_discards_a_file_with_another_hash(project):
    s3 = project.client("s3")
    [bucket] = [each["Name"] for each in s3.list_buckets()["Buckets"] if "-looking-" in each["Name"]]
    job, _, tick = project.good.partition("@")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket, Prefix=f"out/{job}/{tick}/")["Contents"]]
    [key] = [each for each in keys if each.endswith("a.txt")]
    s3.put_object(Bucket=bucket, Key=key, Body=b"one\ntwO")
    done = project.dayfly("fetch", project.good, "--to", "fresh", "--local")
    s3.put_object(Bucket=bucket, Key=key, Body=b"one\ntwo")
    assert done.returncode == 6
    assert "is not what was stored" in done.stderr
    assert not (project.path / "fresh").exists()


def test_fetch_of_a_job_takes_its_newest_good_run_and_says_which(project):
    done = project.dayfly("fetch", "good", "--to", "newest", "--local")
    assert done.returncode == 0
    assert f"{project.good}, the newest successful run of good, by hand" in done.stdout


def test_logs_prints_the_exact_bytes_of_a_failed_run(project):
    run = project.json("run", "bytes", "--local", "--wait", code=1)["run"]
    done = subprocess.run(
        [*DAYFLY, "logs", run, "--local"], cwd=project.path, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert done.stdout == b"caf\xe9\nend\n"
    lines = project.dayfly("logs", run, "--local", "--json").stdout.splitlines()
    assert [json.loads(line)["line"] for line in lines] == ["caf\ufffd", "end"]
    shown = project.dayfly("show", run, "--local")
    assert shown.returncode == 0
    assert f"{run}   failed: the command exited with 3" in shown.stdout
    assert project.dayfly("fetch", run, "--local").returncode == 4


@pytest.mark.slow
def test_ps_show_and_logs_follow_a_running_run(project):
    run = project.json("run", "slow", "--local")["run"]
    until = time.monotonic() + 8
    while project.json("show", run, "--local")["outcome"] != "running" and time.monotonic() < until:
        time.sleep(0.2)
    listed = project.json("ps", "--local")
    [server] = [one for one in listed["servers"] if one["run"] == run]
    assert server["kill_schedule"] is True
    assert server["sweeper"] == "leave"
    shown = project.dayfly("show", run, "--local").stdout
    assert re.search(r"switch +armed for 9[56][0-9] s after boot", shown)
    assert f"kill schedule  armed (kill-{server['id']})" in shown
    followed = project.dayfly("logs", run, "-f", "--local", timeout=60)
    assert followed.returncode == 0
    assert followed.stdout == "first\nlast\n"


def test_runs_prints_and_documents_the_same_runs(project):
    shown = project.dayfly("runs", "good", "--local")
    assert shown.returncode == 0
    assert "succeeded" in shown.stdout.splitlines()[2]
    [row] = project.json("runs", "good", "--local")["runs"]
    assert (row["run"], row["outcome"], row["source"]) == (project.good, "succeeded", "hand")
    assert project.dayfly("runs", "--since", "yesterday", "--local").returncode == 2
    assert project.dayfly("runs", "nightly", "--local").returncode == 4


def test_unknown_run_names_the_nearest_one(project):
    done = project.dayfly("show", "good@2020-01-01", "--local")
    assert done.returncode == 4
    assert project.good[:16] in done.stderr


def test_project_never_deployed_is_reported(project):
    project.write(FILE.replace('"looking"', '"other"'))
    for words in (["runs"], ["logs", "good"]):
        done = project.dayfly(*words, "--local")
        assert done.returncode == 4, done.stderr
        assert "other was never deployed here" in done.stderr
