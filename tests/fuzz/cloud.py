"""The part of the fuzz on a local cloud: real servers (processes) whose jobs write odd objects with their own rights.

Each job prints the credentials of its server's role. With these, and no others, the objects are written while the job runs.
"""

from __future__ import annotations

import contextlib
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from fuzz import facts, values
from fuzz.world import Broken, about, require
from system.conftest import Folder
from system.projects import BUCKET

PROJECT, RUNS = "fuzz", 8
BUCKET_NAME = BUCKET.format(PROJECT)
HOSTILE = """\
import json, os, time, urllib.request
site = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
def ask(path, method="GET", **headers):
    with urllib.request.urlopen(urllib.request.Request(f"{site}/latest/{path}", method=method, headers=headers), timeout=5) as answer:
        return answer.read().decode()
token = {"X-aws-ec2-metadata-token": ask("api/token", "PUT", **{"X-aws-ec2-metadata-token-ttl-seconds": "300"})}
role = ask("meta-data/iam/security-credentials/", **token).split()[0]
print(json.dumps(json.loads(ask(f"meta-data/iam/security-credentials/{role}", **token))), flush=True)
time.sleep(15)
"""
FILE = f"""\
project = "{PROJECT}"
regions = ["eu-west-1"]
[defaults]
servers = ["c8g.large"]
python = "none"
margin = "10s"
[jobs.hostile]
command = "python3 hostile.py"
time_limit = "60s"
overlap = "allow"
outputs = ["x.txt"]
[jobs.healthy]
command = "echo 3.14 >pi.txt"
outputs = ["pi.txt"]
"""


def check_cloud(chance: random.Random) -> str:
    """Run the part and return what was written. Raises Broken. Takes about a minute."""
    with tempfile.TemporaryDirectory() as name:
        folder = Folder(Path(name))
        folder.write(FILE)
        (folder.path / "hostile.py").write_text(HOSTILE)
        try:
            for command in (("local", "up"), ("deploy", "--local", "--yes"), ("run", "healthy", "--wait", "--local")):
                _fine(folder, *command, code=0)
            return _check(folder, chance)
        finally:
            folder.dayfly("local", "down")


def _check(folder: Folder, chance: random.Random) -> str:
    runs = [folder.json("run", "hostile", "--local") for _ in range(RUNS)]
    good = _stored(folder, "out/healthy/", "ended.json")
    became: Counter[str] = Counter()
    for number, run in enumerate(runs):
        prefix, keys = _until(lambda run=run: _credentials(folder, run["run"]))
        with about(f"{run['run']}, whose server wrote odd objects"):
            became.update(_write(folder, chance, prefix, keys, good, first=not number))
    _tag(folder, chance, runs[0]["server"], became)
    _check_screens(folder, runs)
    _until(lambda: _all_gone(folder))
    for _ in range(2):
        swept = folder.client("lambda").invoke(FunctionName=f"dayfly-{PROJECT}-sweeper", Payload=b"{}")
        require("FunctionError" not in swept, f"a sweep failed: {swept['Payload'].read()!r}")
    left = _keys(folder, "open/")
    require(not left, f"open after every server is gone and two sweeps: {left}")
    _check_screens(folder, runs)
    _fine(folder, "run", "healthy", "--wait", "--local", code=0)
    counts = ", ".join(f"{what} {count}" for what, count in sorted(became.items()))
    return f"cloud   {RUNS} servers, {sum(became.values())} objects and tags: {counts}"


def _write(folder: Folder, chance: random.Random, prefix: str, keys: Any, good: bytes, *, first: bool) -> list[str]:
    """Write an odd ended.json and other objects as the server, and try to write where it must not. Returns what was done."""
    export = folder.exports()
    s3 = boto3.client(
        "s3",
        endpoint_url=export["AWS_ENDPOINT_URL"],
        region_name="eu-west-1",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["Token"],
    )
    body = b"{"
    if not first:
        body = values.written(values.changed(chance, json.loads(good)))
        body = chance.choice((body, body, chance.choice(facts.BODIES[:-4])))
    done = []
    for name in ("ended.json", "log/000002", "output/x.txt", "x/y"):
        try:
            s3.put_object(Bucket=BUCKET_NAME, Key=prefix + name, Body=body, IfNoneMatch="*")
        except ClientError as error:
            # The agent of this server was first: the job may be over by now on a busy machine.
            require(error.response["Error"]["Code"] == "PreconditionFailed", f"{name}: {error}")
            done.append("too late")
        else:
            done.append(name)
    for key in ("runs/healthy/x", "open/healthy@x", "latest/healthy.json", "heartbeat.json", "out/healthy/x", "jobs/x"):
        try:
            s3.put_object(Bucket=BUCKET_NAME, Key=key, Body=b"{", IfNoneMatch="*")
        except ClientError as error:
            require(error.response["Error"]["Code"] == "AccessDenied", f"{key}: {error}")
            done.append("denied")
        else:
            raise Broken(f"a server may write {key}")
    return done


def _tag(folder: Folder, chance: random.Random, server: str, became: Counter[str]) -> None:
    """Give a live server odd tags. EC2 takes or refuses them; what it took, `ps` can read."""
    for _ in range(10):
        texts = [str(values.odd(chance))[:200] or "x" for _ in range(2)]
        try:
            folder.client("ec2").create_tags(Resources=[server], Tags=[{"Key": texts[0], "Value": texts[1]}])
            became["tag taken"] += 1
        except (ClientError, UnicodeEncodeError):
            became["tag refused"] += 1


def _check_screens(folder: Folder, runs: list[dict[str, Any]]) -> None:
    listed = _fine(folder, "runs", "--local")
    require("healthy" in listed, f"runs does not show the other job: {listed}")
    _fine(folder, "ps", "--local")
    _fine(folder, "fetch", "healthy@" + _healthy_run(folder), "--local", code=0)
    for run in runs[:3]:
        for command in ("show", "logs", "fetch"):
            _fine(folder, command, run["run"], "--local")


def _healthy_run(folder: Folder) -> str:
    return _keys(folder, "runs/healthy/")[0].split("/")[2]


def _fine(folder: Folder, *command: str, code: int | None = None) -> str:
    """Return what a command printed. Raises Broken for a bug, and for another exit code than `code`."""
    done = folder.dayfly(*command)
    shown = f"dayfly {' '.join(command)}: exit {done.returncode}: {done.stdout[-800:]} {done.stderr[-800:]}"
    require(done.returncode in ((0, 1, 2, 3, 4, 5, 6) if code is None else (code,)), shown)
    require("Traceback" not in done.stderr, shown)
    return done.stdout


def _credentials(folder: Folder, run: str) -> tuple[str, Any] | None:
    """Return where the server of a run may write, and its role's credentials, once its job printed them."""
    tick = run.split("@")[1]
    for key in _keys(folder, f"out/hostile/{tick}/"):
        if key.endswith("/log/000001"):
            stored = folder.client("s3").get_object(Bucket=BUCKET_NAME, Key=key)["Body"].read()
            with contextlib.suppress(ValueError):
                return key.removesuffix("log/000001"), json.loads(stored.splitlines()[0])
    return None


def _stored(folder: Folder, prefix: str, name: str) -> bytes:
    key = next(key for key in _keys(folder, prefix) if key.endswith(name))
    body: bytes = folder.client("s3").get_object(Bucket=BUCKET_NAME, Key=key)["Body"].read()
    return body


def _keys(folder: Folder, prefix: str) -> list[str]:
    page = folder.client("s3").list_objects_v2(Bucket=BUCKET_NAME, Prefix=prefix)
    return [each["Key"] for each in page.get("Contents", [])]


def _all_gone(folder: Folder) -> bool:
    groups = folder.client("ec2").describe_instances()["Reservations"]
    return all(one["State"]["Name"] == "terminated" for group in groups for one in group["Instances"])


def _until(look: Callable[[], Any], seconds: float = 120) -> Any:
    """Return the first answer that is true. Raises Broken if none comes in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        answer = look()
        if answer:
            return answer
        time.sleep(0.3)
    raise Broken(f"no answer within {seconds:.0f} s")
