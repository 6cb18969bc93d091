"""Logs and outputs are stored whole, in bounded memory, also if the bucket fails at times."""

from __future__ import annotations

import hashlib
import re
import time

from remote.agent.conftest import Server

MIB = 1 << 20


def test_log_of_100_mb_is_exact_in_under_64_mib_of_memory(server: Server) -> None:
    line = "import sys\nb = bytes(range(256)) * 4096\nfor _ in range(100): sys.stdout.buffer.write(b)\nprint('\\nlast words')"
    server.aws.delay = 0.2  # slower than the job writes: the rest waits on the disk
    server.go(["python3", "-c", line])
    server.agent()
    ended = server.ended(60)
    assert ended["outcome"] == "succeeded"
    assert server.log() == bytes(range(256)) * 4096 * 100 + b"\nlast words\n"
    assert ended["log"]["bytes"] == 100 * MIB + 12
    assert ended["log"]["pieces"] == len(server.aws.keys(server.prefix + "log/")) >= 25
    assert ended["log"]["lines"] == 100 * 4096 + 2
    assert ended["log"]["last"][-1] == "last words"
    assert ended["agent_peak_memory_mb"] < 64


def test_output_of_200_mb_is_stored_in_under_64_mib(server: Server) -> None:
    server.go("head -c 200000000 /dev/urandom > big; sha256sum big", outputs=["big"])
    server.agent()
    ended = server.ended(60)
    (output,) = ended["outputs"]
    assert output["size"] == 200_000_000
    assert hashlib.sha256(server.aws.read(output["key"])).hexdigest() == output["sha256"]
    assert server.log().decode().split()[0] == output["sha256"]
    assert ended["outcome"] == "succeeded"
    assert ended["agent_peak_memory_mb"] < 64


def test_1000_outputs_are_stored_in_under_64_mib(server: Server) -> None:
    server.go("mkdir out; for i in $(seq 1000); do echo $i > out/$i; done", outputs=["out/*"])
    server.agent()
    ended = server.ended(60)
    assert ended["outcome"] == "succeeded"
    assert len(ended["outputs"]) == 1000
    assert all(server.aws.read(server.prefix + f"output/out/{n}") == f"{n}\n".encode() for n in range(1, 1001))
    assert ended["agent_peak_memory_mb"] < 64


def test_log_is_in_the_bucket_while_the_job_runs(server: Server) -> None:
    server.go("echo early; sleep 30", time_limit_s=6)
    server.agent()
    until = time.monotonic() + 5.5
    while not server.aws.keys(server.prefix + "log/"):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert server.log() == b"early\n"
    assert not (server.home / "shutdown").exists()


def test_writing_to_dev_stderr_loses_nothing(server: Server) -> None:
    server.go("echo one; echo two > /dev/stderr; echo three > /dev/stdout; echo four")
    server.agent()
    server.ended()
    assert server.log() == b"one\ntwo\nthree\nfour\n"


def test_output_names_may_hold_signs_and_unicode(server: Server) -> None:
    names = ["a b+c.txt", "ünï@x:y.txt", "100%&=?.txt", "日本.txt"]
    server.go(["python3", "-c", f"for n in {names!r}: open(n, 'w').write(n)"], outputs=["*.txt"])
    server.agent()
    ended = server.ended()
    assert ended["outcome"] == "succeeded"
    for name in names:
        assert server.aws.read(server.prefix + "output/" + name) == name.encode()


def test_empty_output_is_stored(server: Server) -> None:
    server.go("touch empty", outputs=["empty"])
    server.agent()
    ended = server.ended()
    assert ended["outcome"] == "succeeded"
    assert ended["outputs"][0]["sha256"] == hashlib.sha256(b"").hexdigest()


def test_only_links_inside_the_folder_are_stored(server: Server) -> None:
    server.go("echo x > real; ln -s real in; ln -s /etc/passwd leak", outputs=["real", "in", "leak"])
    server.agent()
    ended = server.ended()
    assert (ended["outcome"], ended["reason"]) == ("failed", "output-missing")
    assert ended["missing"] == ["leak"]
    assert server.aws.read(server.prefix + "output/in") == b"x\n"
    assert server.prefix + "output/leak" not in server.aws.objects


def test_match_that_links_outside_is_not_saved(server: Server) -> None:
    server.go("echo x > a.txt; ln -s /etc/passwd b.txt", outputs=["*.txt"])
    server.agent()
    ended = server.ended()
    assert (ended["outcome"], ended["reason"]) == ("failed", "not-saved")
    assert "b.txt" in ended["detail"]


def test_failing_bucket_loses_nothing(server: Server) -> None:
    def fault(method: str, path: str, before: int) -> int | str | None:
        if method == "GET" or "/meta/" in path:
            return None
        if "output" in path:
            return (
                (503, 409, None)[min(before, 2)]
                if method == "PUT" and "uploadId" not in path
                else (500, None)[min(before, 1)]
            )
        return ("late", None)[min(before, 1)]

    server.aws.fault = fault
    server.go("echo small > small; head -c 20000000 /dev/zero > big; echo words", outputs=["small", "big"])
    server.agent()
    ended = server.ended()
    assert ended["outcome"] == "succeeded"
    assert server.log() == b"words\n"
    assert server.aws.read(server.prefix + "output/small") == b"small\n"
    assert server.aws.read(server.prefix + "output/big") == bytes(20_000_000)


def test_upload_with_a_lost_completion_is_stored_once(server: Server) -> None:
    server.aws.fault = lambda method, path, before: (
        "late" if method == "POST" and "uploadId" in path and before == 0 else None
    )
    server.go("head -c 9000000 /dev/zero > big", outputs=["big"])
    server.agent()
    ended = server.ended()
    assert ended["outcome"] == "succeeded"
    assert server.aws.read(server.prefix + "output/big") == bytes(9_000_000)


def test_one_refused_output_leaves_the_others_stored(server: Server) -> None:
    server.aws.fault = lambda method, path, _before: 403 if method == "PUT" and path.endswith("/output/bad") else None
    server.go("echo 1 > bad; echo 2 > good", outputs=["bad", "good"])
    server.agent()
    ended = server.ended()
    assert (ended["outcome"], ended["reason"]) == ("failed", "not-saved")
    assert "bad" in ended["detail"]
    assert [output["path"] for output in ended["outputs"]] == ["good"]


def test_output_key_written_before_is_not_called_saved(server: Server) -> None:
    server.aws.put(server.prefix + "output/pi", b"forged")
    server.go("echo 3 > pi", outputs=["pi"])
    server.agent()
    ended = server.ended()
    assert (ended["outcome"], ended["reason"]) == ("failed", "not-saved")


def test_log_that_cannot_be_stored_is_not_called_saved(server: Server) -> None:
    server.aws.fault = lambda _method, path, _before: 403 if "/log/" in path else None
    server.go("echo lost")
    server.agent()
    ended = server.ended()
    assert (ended["outcome"], ended["reason"]) == ("failed", "not-saved")
    assert ended["log"]["last"] == ["lost"]


def test_expired_credentials_are_renewed(server: Server) -> None:
    server.aws.fault = lambda method, path, before: (
        "ExpiredToken" if method == "PUT" and "started" in path and before == 0 else None
    )
    server.go("true")
    server.agent()
    assert server.ended()["outcome"] == "succeeded"
    asked = [line for line in server.aws.seen if line.endswith("/security-credentials/the-role")]
    assert len(asked) == 2


def test_peak_memory_of_the_job_is_reported(server: Server) -> None:
    server.go(["python3", "-c", "x = bytearray(200 << 20)"])
    server.agent()
    ended = server.ended()
    assert 200 <= ended["job_peak_memory_mb"] < 300
    assert re.fullmatch(r"\d+", str(ended["agent_peak_memory_mb"]))
