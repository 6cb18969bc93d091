"""The last good results of other jobs are in DAYFLY_LAST before the command starts: whole and verified, or the run fails."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from remote.agent.conftest import Server

RUN = "out/ingest/2026-11-23T01:30:00Z/1/AROAOTHER:i-0aa/"
BIG = bytes(range(256)) * 40_000


def store(server: Server, files: dict[str, bytes], **changes: Any) -> dict[str, str]:
    """Store another run's outputs and its ended.json; return its entry in go.json. `changes`: other values of its only output."""
    outputs = []
    for path, content in files.items():
        key = f"{RUN}output/{path}"
        server.aws.put(key, content)
        digest = hashlib.sha256(content).hexdigest()
        outputs.append({"path": path, "key": key, "size": len(content), "sha256": digest, **changes})
    server.aws.put(RUN + "ended.json", json.dumps({"outcome": "succeeded", "outputs": outputs}).encode())
    return {"job": "ingest", "run": "ingest@2026-11-23T01:30:00Z", "ended": RUN + "ended.json"}


def test_results_are_below_the_name_of_their_job(server: Server) -> None:
    files = {"a b.csv": b"1,2\n", "out/day/x.parquet": BIG, "empty": b""} | {f"n/{n}": b"%d" % n for n in range(20)}
    server.go('cd "$DAYFLY_LAST/ingest"; find . -type f -exec sha256sum {} +', inputs=[store(server, files)])
    server.agent()
    assert server.ended()["outcome"] == "succeeded", server.log()
    found = {line[66:]: line[:64] for line in server.log().decode().splitlines()}
    assert found == {f"./{path}": hashlib.sha256(content).hexdigest() for path, content in files.items()}


def test_folder_is_empty_when_there_is_nothing_to_read(server: Server) -> None:
    server.go('ls -A "$DAYFLY_LAST"; ls -A "$DAYFLY_SCRATCH"; touch "$DAYFLY_SCRATCH/x"')
    server.agent()
    assert server.ended()["outcome"] == "succeeded"
    assert server.log() == b""


def test_results_are_no_outputs_of_the_job_that_reads_them(server: Server) -> None:
    server.go("echo mine > mine", inputs=[store(server, {"a": b"theirs"})], outputs=["**"])
    server.agent()
    assert [output["path"] for output in server.ended()["outputs"]] == ["mine"]


@pytest.mark.parametrize("cut", [1, 300_000, 5_000_000])
def test_broken_download_goes_on_where_it_broke(server: Server, cut: int) -> None:
    server.aws.cut = cut
    server.go('sha256sum < "$DAYFLY_LAST/ingest/big"', inputs=[store(server, {"big": BIG})])
    server.agent()
    assert server.ended()["outcome"] == "succeeded"
    assert server.log()[:64].decode() == hashlib.sha256(BIG).hexdigest()
    assert sum("output/big" in line for line in server.aws.seen) == 2


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"size": 3}, {"size": 5}])
def test_another_file_than_the_recorded_one_ends_the_run(server: Server, change: dict[str, Any]) -> None:
    server.go("echo never", inputs=[store(server, {"a": b"1234"}, **change)])
    server.agent()
    ended = server.ended()
    assert (ended["outcome"], ended["reason"]) == ("failed", "no-input")
    assert ended["detail"].startswith("ingest: a is not the file recorded: 4 bytes, SHA-256 ")
    assert server.prefix + "started.json" not in server.aws.objects


def test_long_record_is_read_whole(server: Server) -> None:
    entry = store(server, {"a": b"1"})
    record = json.loads(server.aws.read(RUN + "ended.json"))
    server.aws.put(RUN + "ended.json", json.dumps({"log": "x" * (6 << 20), **record}).encode())
    server.go('cat "$DAYFLY_LAST/ingest/a"', inputs=[entry])
    server.agent()
    assert server.ended()["outcome"] == "succeeded"
    assert server.log() == b"1"


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "a//b", ".", "a\0b"])
def test_path_that_leads_elsewhere_ends_the_run(server: Server, path: str) -> None:
    server.go("echo never", inputs=[store(server, {"a": b"1"}, path=path, key=f"{RUN}output/{path}")])
    server.agent()
    ended = server.ended()
    assert (ended["outcome"], ended["reason"]) == ("failed", "no-input")
    assert "a path outside the run" in ended["detail"]
    assert not (server.home / "x").exists()


def test_key_of_another_run_ends_the_run(server: Server) -> None:
    other = "out/other/2026-11-23T01:30:00Z/1/AROAOTHER:i-0bb/output/a"
    server.aws.put(other, b"1")
    server.go("echo never", inputs=[store(server, {"a": b"1"}, key=other)])
    server.agent()
    ended = server.ended()
    assert ended["reason"] == "no-input"
    assert "a path outside the run" in ended["detail"]


def test_missing_result_is_named(server: Server) -> None:
    entry = store(server, {"a": b"1", "b": b"2"})
    del server.aws.objects[RUN + "output/b"]
    server.go("echo never", inputs=[entry])
    server.agent()
    ended = server.ended()
    assert (ended["reason"], ended["detail"]) == ("no-input", "ingest: b: AccessDenied: m")


@pytest.mark.parametrize("record", [b"{", b"[]", b'{"outputs": [1]}', b'{"outputs": 1}', b"{}", b"\xff"])
def test_record_that_cannot_be_read_ends_the_run(server: Server, record: bytes) -> None:
    entry = store(server, {"a": b"1"})
    server.aws.put(RUN + "ended.json", record)
    server.go("echo never", inputs=[entry])
    server.agent()
    ended = server.ended()
    assert ended["reason"] == "no-input"
    assert ended["detail"].startswith("ingest: cannot read ingest@2026-11-23T01:30:00Z: ")


@pytest.mark.parametrize(
    ("job", "ended"),
    [
        ("../up", RUN + "ended.json"),
        ("ingest", "go/x/ended.json"),
        ("ingest", RUN + "log/000001"),
        ("other", RUN + "ended.json"),
    ],
)
def test_entry_that_is_no_record_of_a_job_ends_the_run(server: Server, job: str, ended: str) -> None:
    server.go("echo never", inputs=[{**store(server, {"a": b"1"}), "job": job, "ended": ended}])
    server.agent()
    assert server.ended()["reason"] == "no-input"
