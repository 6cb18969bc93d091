"""Damaged, old or unwritable state and ports in use: a clear error, never silently an empty cloud."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

import instances
from localcloud.ministack.store import retry_until_stable
from running_cloud import Running, begin, command

pytestmark = pytest.mark.cloud


def refused(directory: Path, *words: str) -> dict[str, str]:
    """Run `up`, which must fail; return its error and remedy."""
    done = command(directory, "up", "--json", *words)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in (directory / "cloud.log").read_text()
    output: dict[str, str] = json.loads(done.stdout)
    return output


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a stopped cloud with a queue, a role and an object."""
    running = begin(tmp_path_factory.mktemp("ended") / "state")
    running.client("sqs").create_queue(QueueName="held")
    running.client("iam").create_user(UserName="held")
    running.client("s3").create_bucket(Bucket="held-bucket")
    running.client("s3").put_object(Bucket="held-bucket", Key="held", Body=b"content")
    command(running.directory, "down")
    return running.directory


@pytest.fixture
def file(ended: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file of that state, restored after the test."""
    path: Path = ended / request.param
    whole, times = path.read_bytes(), path.stat()
    yield path
    path.write_bytes(whole)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


OBJECT = "s3/000000000000/held-bucket/held"


@pytest.mark.parametrize("file", ["services/iam.json", "services/sqs.json", "cloud.json"], indirect=True)
def test_truncated_file_is_refused_with_its_name_and_a_remedy(ended: Path, file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    answer = refused(ended)
    assert f"{file} is damaged" in answer["error"]
    assert "from a copy" in answer["remedy"]


@pytest.mark.parametrize("file", ["services/iam.json"], indirect=True)
@pytest.mark.parametrize("content", [b"", b'{"__ministack_format__": 99, "payload": {}}'])
def test_foreign_file_is_refused(ended: Path, file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert str(file) in refused(ended)["error"]


@pytest.mark.parametrize("file", ["cloud.json"], indirect=True)
def test_state_of_another_format_is_refused_with_its_number(ended: Path, file: Path) -> None:
    record = json.loads(file.read_text())
    assert record["format"] == 1
    file.write_text(json.dumps(record | {"format": 2}))
    assert "has format 2" in refused(ended)["error"]
    # Files of the first format do not contain its number.
    del record["format"]
    file.write_text(json.dumps(record))
    assert begin(ended).facts["state"] == str(ended)
    command(ended, "down")


@pytest.mark.parametrize("file", [OBJECT, f"{OBJECT}.meta.json"], indirect=True)
def test_object_that_does_not_match_its_description_is_refused(ended: Path, file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[:-2])
    other = ended / (OBJECT if file.name.endswith(".json") else f"{OBJECT}.meta.json")
    long_ago = file.stat().st_mtime_ns - 3_600_000_000_000
    # The two files need not have been written at the same time.
    os.utime(ended / OBJECT, ns=(long_ago, long_ago))
    if file != other and not file.name.endswith(".json"):
        os.utime(other)
    answer = refused(ended)
    assert str(ended / OBJECT) in answer["error"]


def test_damaged_function_event_is_refused(ended: Path) -> None:
    path = ended / "functions" / "events" / "one.json"
    path.write_text('{"id": ')
    try:
        assert str(path) in refused(ended)["error"]
    finally:
        path.unlink()


def test_undamaged_state_is_complete(ended: Path) -> None:
    again = begin(ended)
    try:
        assert [url.split("/")[-1] for url in again.client("sqs").list_queues()["QueueUrls"]] == ["held"]
        assert again.client("iam").get_user(UserName="held")["User"]["UserName"] == "held"
        assert again.client("s3").get_object(Bucket="held-bucket", Key="held")["Body"].read() == b"content"
    finally:
        command(ended, "down")


def test_given_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        answer = refused(tmp_path / "state", "--port", str(port))
    assert f"Port {port} is taken by another program" in answer["error"]
    assert "another port" in answer["remedy"]
    assert "cannot be used" in refused(tmp_path / "state", "--port", "70000")["error"]


def test_chosen_port_is_outside_the_ephemeral_range(start: Callable[..., Running]) -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    port = int(start().facts["endpoint"].rpartition(":")[2])
    if first - 10000 > 1000:
        assert not first <= port <= last


def test_cloud_keeps_its_state_at_another_port(start: Callable[..., Running]) -> None:
    first = start()
    first.client("sqs").create_queue(QueueName="moves")
    command(first.directory, "down")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    again = start("--port", str(port))
    sqs = again.client("sqs")
    url = sqs.get_queue_url(QueueName="moves")["QueueUrl"]
    assert f":{port}/" in url
    sqs.send_message(QueueUrl=url, MessageBody="here")
    assert sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "here"


class SmallDiskCloud:
    """A cloud whose state is on a file system of a few megabytes, in its own mount namespace."""

    def __init__(self, directory: Path, megabytes: int) -> None:
        directory.mkdir()
        line = f'mount -t tmpfs -o size={megabytes}m none "$1" && exec "$2" -m localcloud up --foreground --json --state "$1"'
        self._process = subprocess.Popen(
            ["unshare", "-rm", "sh", "-c", line, "sh", str(directory), sys.executable],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        output = self._process.stdout.readline()
        self.facts: dict[str, Any] = json.loads(output) if output else {}
        self.inside = Path(f"/proc/{self._process.pid}/root{directory}")

    def running(self) -> Running:
        lines = command(self.inside, "env").stdout.splitlines()
        pairs = [line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export ")]
        return Running(self.inside, self.facts, dict(pairs))

    def fill(self) -> None:
        """Fill the file system completely."""
        with (self.inside / "filler").open("wb", buffering=0) as filler:
            try:
                while filler.write(b"x" * 65536):
                    pass
            except OSError:
                return

    def end(self) -> str:
        """Stop the cloud and return its standard error."""
        timer = threading.Timer(60, self._process.kill)
        timer.start()
        self._process.terminate()
        _, said = self._process.communicate()
        timer.cancel()
        return said


def can_mount() -> bool:
    try:
        done = subprocess.run(
            ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False, timeout=30
        )
    except OSError:
        return False
    return done.returncode == 0


@pytest.mark.skipif(not can_mount(), reason="users may not mount in their own namespace on this machine")
def test_full_disk_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    tiny = SmallDiskCloud(tmp_path / "tiny", 24)
    try:
        cloud = tiny.running()
        s3, sqs, ec2 = cloud.client("s3"), cloud.client("sqs"), cloud.client("ec2")
        s3.create_bucket(Bucket="full-bucket")
        s3.put_object(Bucket="full-bucket", Key="kept", Body=b"before")
        server = instances.run(ec2, "#!/bin/sh\nsleep 600\n")
        instances.wait_for_state(ec2, server, "running")
        stopped = instances.run(ec2, "#!/bin/sh\nshutdown -h now\n")
        instances.wait_for_state(ec2, stopped, "stopped")
        tiny.fill()
        for key in ("kept", "new"):
            with pytest.raises(ClientError) as caught:
                s3.put_object(Bucket="full-bucket", Key=key, Body=b"after" * 10000)
            assert caught.value.response["Error"]["Code"] == "InternalError"
            assert "No space left" in caught.value.response["Error"]["Message"]
        with pytest.raises(ClientError) as caught:
            sqs.create_queue(QueueName="full")
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        assert "No space left" in json.loads(command(tiny.inside, "status", "--json").stdout)["trouble"]
        assert s3.get_object(Bucket="full-bucket", Key="kept")["Body"].read() == b"before"
        assert [found["Key"] for found in s3.list_objects_v2(Bucket="full-bucket")["Contents"]] == ["kept"]
        assert instances.refusal(lambda: instances.run(ec2)) == "InternalError"
        assert instances.refusal(ec2.start_instances, InstanceIds=[stopped]) == "InternalError"
        assert instances.state(ec2, stopped) == "stopped"
        # It is done, but not on disk, so the answer was an error.
        assert instances.refusal(ec2.terminate_instances, InstanceIds=[server]) in ("none", "InternalError")
        instances.wait_for_state(ec2, server, "terminated")
        found = [one for group in ec2.describe_instances()["Reservations"] for one in group["Instances"]]
        assert {one["InstanceId"] for one in found} == {server, stopped}
        (tiny.inside / "filler").unlink()
        assert s3.put_object(Bucket="full-bucket", Key="new", Body=b"after" * 10000)["ETag"]
        instances.wait_until(lambda: "trouble" not in json.loads(command(tiny.inside, "status", "--json").stdout), 60)
        assert "full" in (tiny.inside / "services" / "sqs.json").read_text()
        ec2.start_instances(InstanceIds=[stopped])
        instances.wait_for_state(ec2, stopped, "running")
    finally:
        tiny.end()


@pytest.mark.skipif(not can_mount(), reason="users may not mount in their own namespace on this machine")
def test_up_reports_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    line = (
        'mount -t tmpfs -o size=64k none "$1" && (cat /dev/zero >"$1/filler" 2>/dev/null || true) '
        '&& exec "$2" -m localcloud up --foreground --json --state "$1"'
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", line, "sh", str(tmp_path / "tiny"), sys.executable],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    output = json.loads(done.stdout)
    assert "No space left" in output["error"]
    assert "Make room" in output["remedy"]
    assert "Traceback" not in done.stderr


def test_change_is_answered_only_after_it_is_written() -> None:
    tries: list[int] = []

    def write() -> None:
        tries.append(1)
        if len(tries) < 4:
            raise RuntimeError("dictionary changed size during iteration")

    asyncio.run(retry_until_stable(write))
    assert len(tries) == 4


def test_endlessly_changing_state_is_not_reported_as_written() -> None:
    def write() -> None:
        raise RuntimeError("dictionary changed size during iteration")

    with pytest.raises(OSError, match="it kept changing"):
        asyncio.run(retry_until_stable(write))
