"""The agent runs real commands: their environment, how they end, and that no process of theirs is left."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import pytest

from remote.agent.conftest import RUN, Server


def test_exit_0_with_all_outputs_succeeds(server: Server) -> None:
    server.go("mkdir out; echo 3.14 > out/pi.txt; echo said; echo wrong >&2", outputs=["out/*.txt"])
    server.agent()
    ended = server.ended()
    assert (ended["outcome"], ended["reason"], ended["exit"], ended["signal"]) == ("succeeded", "", 0, None)
    (output,) = ended["outputs"]
    assert output["path"] == "out/pi.txt"
    assert output["key"] == server.prefix + "output/out/pi.txt"
    assert server.aws.read(output["key"]) == b"3.14\n"
    assert server.log() == b"said\nwrong\n"
    assert ended["log"] == {"pieces": 1, "bytes": 11, "lines": 2, "last": ["said", "wrong"]}
    assert ended["job_started"] <= ended["job_ended"] <= ended["at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", ended["at"])
    assert max(server.aws.times, key=lambda key: server.aws.times[key]) == server.prefix + "ended.json"


def test_started_is_written_before_the_command_starts(server: Server) -> None:
    server.go("date +%s.%N > when", outputs=["when"])
    server.agent()
    server.ended()
    started = json.loads(server.aws.read(server.prefix + "started.json"))
    assert set(started) == {"format", "at", "pid", "python", "machine", "cpus", "memory_mb", "user"}
    assert server.aws.times[server.prefix + "started.json"] <= float(server.aws.read(server.prefix + "output/when"))


def test_failed_job_keeps_outputs_and_last_log_lines(server: Server) -> None:
    server.go("echo kept > a; i=0; while [ $i -lt 30 ]; do echo line $i; i=$((i+1)); done; exit 3", outputs=["a", "b"])
    server.agent()
    ended = server.ended()
    assert (ended["outcome"], ended["reason"], ended["exit"]) == ("failed", "exit 3", 3)
    assert [output["path"] for output in ended["outputs"]] == ["a"]
    assert ended["missing"] == ["b"]
    assert ended["log"]["last"] == [f"line {number}" for number in range(10, 30)]


def test_missing_output_is_named(server: Server) -> None:
    server.go("mkdir -p out/empty.parquet; touch out/x.csv", outputs=["out/*.csv", "out/*.parquet"])
    server.agent()
    ended = server.ended()
    assert (ended["outcome"], ended["reason"]) == ("failed", "output-missing")
    assert ended["detail"] == "out/*.parquet matched nothing"
    assert [output["path"] for output in ended["outputs"]] == ["out/x.csv"]


def test_signal_is_named(server: Server) -> None:
    server.go(["sh", "-c", "kill -KILL $$"])
    server.agent()
    ended = server.ended()
    assert (ended["outcome"], ended["reason"], ended["exit"], ended["signal"]) == (
        "failed",
        "killed by signal 9",
        None,
        9,
    )


def test_missing_command_is_exit_127(server: Server) -> None:
    server.go(["no-such-program"])
    server.agent()
    ended = server.ended()
    assert (ended["outcome"], ended["reason"]) == ("failed", "exit 127")
    assert "no-such-program" in ended["detail"]
    assert b"no-such-program: No such file" in server.log()


def test_text_command_stops_at_first_error(server: Server) -> None:
    server.go("false; echo never")
    server.agent()
    assert server.ended()["reason"] == "exit 1"
    assert server.log() == b""


def test_job_environment_is_complete_and_clean(server: Server) -> None:
    server.environ["SECRET_OF_THE_AGENT"] = "x"
    server.go("env > env; pwd > pwd", env={"MINE": "a b"}, outputs=["env", "pwd"])
    server.agent()
    server.ended()
    lines = server.aws.read(server.prefix + "output/env").decode().splitlines()
    env = dict(line.split("=", 1) for line in lines)
    assert server.aws.read(server.prefix + "output/pwd").decode().strip() == str(server.job)
    assert env["PATH"].startswith(f"{server.job}/.dayfly/bin:{server.job}/bin:{server.home}/shims:")
    assert env["PYTHONPATH"] == f"{server.job}/.dayfly/site"
    assert {name: env[name] for name in env if name.startswith("DAYFLY_") and name != "DAYFLY_TERM_AT"} == {
        "DAYFLY_TICK": "2026-11-24T22:41:00Z",
        "DAYFLY_DAY": "2026-11-25",
        "DAYFLY_RUN": str(RUN),
        "DAYFLY_JOB": "pi",
        "DAYFLY_ATTEMPT": "1",
        "DAYFLY_REGION": "eu-west-1",
        "DAYFLY_LAST": f"{server.home}/last",
        "DAYFLY_SCRATCH": f"{server.home}/scratch",
    }
    left = time.mktime(time.strptime(env["DAYFLY_TERM_AT"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone - time.time()
    assert 40 < left <= 60
    assert env["MINE"] == "a b"
    assert env["AWS_REGION"] == env["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert env["AWS_ENDPOINT_URL"] == server.aws.url
    assert env["LANG"] == "C.UTF-8"
    assert "SECRET_OF_THE_AGENT" not in env
    assert "INSTANCE_ID" not in env


STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for number in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for name in ("HUP", "INT", "TERM"):
                signal.signal(getattr(signal, "SIG" + name), signal.SIG_IGN)
            print("daemon", os.getpid(), flush=True)
            while True:
                time.sleep(1)
        os._exit(0)
while True:
    time.sleep(1)
"""


def test_time_limit_kills_detached_processes_that_ignore_term(server: Server) -> None:
    began = time.monotonic()
    server.go(["python3", "-c", STUBBORN], time_limit_s=2)
    server.agent(grace=2.0)
    ended = server.ended()
    assert 4 <= time.monotonic() - began < 20
    assert (ended["outcome"], ended["exit"], ended["signal"]) == ("timed-out", None, 9)
    assert "2 s" in ended["detail"]
    daemons = [int(pid) for pid in re.findall(rb"daemon (\d+)", server.log())]
    assert len(daemons) == 3
    assert server.processes("DAYFLY_JOB=") == []
    assert not any(Path(f"/proc/{pid}").exists() for pid in daemons)


def test_daemon_is_ended_before_outputs_are_collected(server: Server) -> None:
    server.go(
        "echo 1 > out; (setsid sh -c 'trap \"\" TERM HUP; sleep 1; while true; do echo more >> out; done' &) ; sleep 0.3",
        outputs=["out"],
    )
    server.agent()
    ended = server.ended()
    assert ended["outcome"] == "succeeded"
    assert server.processes("DAYFLY_JOB=") == []
    assert server.aws.read(server.prefix + "output/out") == b"1\n"


def test_job_that_exits_on_term_is_still_timed_out(server: Server) -> None:
    server.go(
        "trap 'echo saved > out; exit 0' TERM; while true; do sleep 0.1 || :; done", time_limit_s=1, outputs=["out"]
    )
    server.agent(grace=20.0)
    ended = server.ended(10)
    assert (ended["outcome"], ended["exit"]) == ("timed-out", 0)
    assert server.aws.read(server.prefix + "output/out") == b"saved\n"


def test_fork_bomb_is_ended(server: Server) -> None:
    bomb = "import os,time\nfor _ in range(5): os.fork()\nwhile True:\n  time.sleep(0.01)\n  if os.fork(): os._exit(0)"
    server.go(["python3", "-c", bomb], time_limit_s=2)
    server.agent()
    server.ended()
    assert server.processes("DAYFLY_JOB=") == []


def test_invalid_go_json_powers_off_with_its_reason(server: Server) -> None:
    server.go("true", deadline="tomorrow")
    server.agent()
    assert "powering off: the agent failed" in server.wait_off()


def test_setup_runs_before_the_job(server: Server) -> None:
    server.go("cat made", setup="echo ready > made", time_limit_s=5)
    server.agent()
    assert server.ended()["outcome"] == "succeeded"
    assert server.log() == b"ready\n"


def test_failed_setup_ends_the_run_with_reason_setup(server: Server) -> None:
    server.go("echo never", setup="echo trying; exit 7")
    server.agent()
    ended = server.ended()
    assert (ended["outcome"], ended["reason"], ended["job_started"]) == ("failed", "setup", None)
    assert "exit 7" in ended["detail"]
    assert server.log() == b"trying\n"
    assert server.prefix + "started.json" not in server.aws.objects


SMALL_DISK = (
    "unshare",
    "-rm",
    "sh",
    "-c",
    'mkdir -p "$HOME/job" && mount -t tmpfs -o size=2m t "$HOME/job" && exec "$@"',
    "sh",
)


def test_full_disk_is_the_reason_and_the_log_is_kept(server: Server) -> None:
    if subprocess.run([*SMALL_DISK, "true"], env=server.environ, capture_output=True).returncode:
        pytest.skip("needs user namespaces, which this machine does not allow")
    server.go("echo before; head -c 9000000 /dev/zero > big", outputs=["big"])
    server.agent(within=SMALL_DISK)
    ended = server.ended()
    assert (ended["outcome"], ended["reason"]) == ("failed", "disk-full")
    assert "exit 1" in ended["detail"]
    assert server.log().startswith(b"before\n")
    assert b"No space left" in server.log()
