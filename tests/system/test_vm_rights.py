"""On vm guests: a job reads, writes and uses secrets by its own rights; another reads its result; and what they may not is refused.

The programs of the jobs are in the folder rights. Run this with -s to see each attack and what refused it.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from system.conftest import Folder
from system.projects import BUCKET

pytestmark = [pytest.mark.vm, pytest.mark.cloud, pytest.mark.slow]
LONG_S = 900
"""An emulated machine on a busy host takes minutes to boot."""
NAME = "lake"
DB_URL, PASSWORD = "postgres://lake:hunter2@db/lake", "correct horse battery"
EVENTS = b"day,count\n2026-11-24,41\n"
REFUSALS = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "SsmAccessDenied", "EACCES", "EPERM"}

FILE = f"""
project = "{NAME}"
regions = ["eu-west-1"]

[defaults]
servers = ["c8g.large"]
time_limit = "10m"
bundle = ["ingest.py", "attacks.py", "nothing.py", "store.py"]

[jobs.ingest]
command = "python3 ingest.py && python3 attacks.py"
setup = "id -un > setup.txt"
reads = ["s3://acme-raw/events/"]
writes = ["s3://acme-clean/"]
secrets = {{ DB_URL = "ssm:/lake/db", PASSWORD = "secretsmanager:lake#password" }}
outputs = ["out/*", "attacks.json"]

[jobs.report]
command = "mkdir out; cp $DAYFLY_LAST/ingest/out/events.csv out/; ls $DAYFLY_LAST"
reads = ["job:ingest"]
outputs = ["out/*"]

[jobs.nothing]
command = "python3 nothing.py"
setup = "systemctl restart systemd-networkd && python3 store.py"
outputs = ["nothing.json", "store.txt"]
"""


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


class Lake:
    """The deployed project, its local cloud, and the runs so far."""

    def __init__(self, cloud: Folder) -> None:
        self.cloud, self.bucket, self.s3 = cloud, BUCKET.format(NAME), cloud.client("s3")
        self.runs: dict[str, dict[str, Any]] = {}

    def run(self, job: str, **env: str) -> dict[str, Any]:
        """Run a job to its good end once, and return its document."""
        if job not in self.runs:
            given = [word for name, value in env.items() for word in ("--env", f"{name}={value}")]
            self.runs[job] = self.cloud.json("run", job, "--local", "--wait", "--publish", *given, timeout=LONG_S)
        return self.runs[job]

    def output(self, job: str, path: str) -> bytes:
        """Return an output of the job's newest run."""
        latest = json.loads(self.read(self.bucket, f"latest/{job}.json"))
        [key] = [output["key"] for output in latest["outputs"] if output["path"] == path]
        return self.read(self.bucket, key)

    def read(self, bucket: str, key: str) -> bytes:
        body: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def ingest(self) -> dict[str, Any]:
        """Run the job that has rights, and tell it what an attacker would have to guess."""
        [key] = [each["Key"] for each in self.listed(self.bucket, "jobs/ingest/")]
        launch = json.loads(self.read(self.bucket, key))["launch"]
        roles = self.cloud.client("iam").list_roles(MaxItems=1000)["Roles"]
        [arn] = [role["Arn"] for role in roles if role["RoleId"] == launch["role_id"]]
        told = {"BUCKET": self.bucket, "SERVER_ROLE_ID": launch["role_id"], "SERVER_ROLE": arn}
        return self.run("ingest", **told, TEMPLATE=launch["template"])

    def listed(self, bucket: str, prefix: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        return found

    def log(self, run: dict[str, Any]) -> str:
        return self.cloud.dayfly("logs", run["run"], "--local").stdout


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    cloud = Folder(tmp_path_factory.mktemp("lake"))
    try:
        yield deployed(cloud)
    finally:
        cloud.dayfly("local", "down", timeout=LONG_S)


def deployed(cloud: Folder) -> Lake:
    """Start the local cloud with what the jobs need beside the project, and deploy the project."""
    up = cloud.dayfly("local", "up", "--guest", "vm", timeout=LONG_S)
    assert up.returncode == 0, up.stdout + up.stderr
    for program in (Path(__file__).parent / "rights").glob("*.py"):
        shutil.copy(program, cloud.path)
    s3 = cloud.client("s3")
    for bucket in ("acme-raw", "acme-clean"):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    for key in ("events/day.csv", "private/day.csv"):
        s3.put_object(Bucket="acme-raw", Key=key, Body=EVENTS)
    cloud.client("ssm").put_parameter(Name="/lake/db", Value=DB_URL, Type="SecureString")
    cloud.client("secretsmanager").create_secret(Name="lake", SecretString=json.dumps({"password": PASSWORD}))
    cloud.write(FILE)
    done = cloud.dayfly("deploy", "--local", "--yes", timeout=LONG_S)
    assert done.returncode == 0, done.stdout + done.stderr
    found = Lake(cloud)
    other = "out/other/2026-11-24T00:00:00Z/1/AROAOTHER:i-1/output/x"
    s3.put_object(Bucket=found.bucket, Key=other, Body=b"x", IfNoneMatch="*")
    return found


def test_job_reads_writes_and_uses_secrets_by_its_own_role(lake: Lake) -> None:
    run = lake.ingest()
    assert run["outcome"] == "succeeded"
    assert lake.read("acme-clean", "day.csv") == EVENTS
    assert lake.output("ingest", "out/events.csv") == EVENTS
    log = lake.log(run)
    assert "connecting to *** with ***\n" in log
    assert "setup ran as root and the command as dayfly" in log
    assert "DAYFLY_SCRATCH /home/dayfly/scratch is mine" in log


def test_every_attack_with_the_credentials_of_the_job_is_refused(lake: Lake) -> None:
    lake.ingest()
    found = json.loads(lake.output("ingest", "attacks.json"))
    say(f"\nas {found['caller']}")
    for name, answer in found["attacks"].items():
        say(f"  {name:<34}{answer}")
    assert ":assumed-role/dayfly-lake-" in found["caller"]
    assert len(found["attacks"]) >= 35
    assert {name: answer for name, answer in found["attacks"].items() if answer.startswith("done")} == {}
    commands = ("metadata as root of a namespace", "remove the rule", "use sudo", "power off")
    for name, answer in found["attacks"].items():
        assert answer in REFUSALS or name in commands, (name, answer)


def test_another_job_reads_the_last_result(lake: Lake) -> None:
    lake.ingest()
    run = lake.run("report")
    assert lake.output("report", "out/events.csv") == EVENTS
    assert lake.log(run).strip() == "ingest"


def test_job_that_declares_nothing_has_none_of_it(lake: Lake) -> None:
    """Its `setup` restarts the network, which removes rules that nobody configured."""
    lake.run("nothing")
    found = json.loads(lake.output("nothing", "nothing.json"))
    say("\n" + "\n".join(f"  {name:<12}{answer}" for name, answer in found.items()))
    assert found.pop("last") == "[]"
    assert {name: answer.split(":")[0] for name, answer in found.items()} == {
        "read": "NoCredentialsError",
        "write": "NoCredentialsError",
        "secret": "KeyError",
        "result": "FileNotFoundError",
        "unsigned": "HTTPError",
        "metadata": "URLError",
    }


def test_scratch_is_on_the_instance_store(lake: Lake) -> None:
    lake.run("nothing")
    folder, mounted = lake.output("nothing", "store.txt").decode().splitlines()
    assert folder == "/mnt/scratch"
    assert mounted.startswith("/dev/loop0 /mnt/scratch ext4 rw,nosuid,nodev,noatime")


def test_secrets_are_stored_nowhere(lake: Lake) -> None:
    lake.ingest()
    ec2 = lake.cloud.client("ec2")
    places: dict[str, bytes] = {}
    for bucket in lake.s3.list_buckets()["Buckets"]:
        for each in lake.listed(bucket["Name"]):
            places[f"s3 {each['Key']}"] = lake.read(bucket["Name"], each["Key"])
    for template in ec2.describe_launch_templates()["LaunchTemplates"]:
        versions = ec2.describe_launch_template_versions(LaunchTemplateId=template["LaunchTemplateId"])
        places[f"template {template['LaunchTemplateId']}"] = json.dumps(versions, default=str).encode()
    for group in ec2.describe_instances()["Reservations"]:
        server = group["Instances"][0]["InstanceId"]
        places[f"instance {server}"] = json.dumps(group, default=str).encode()
        places[f"console {server}"] = ec2.get_console_output(InstanceId=server).get("Output", "").encode()
    stack = lake.cloud.client("cloudformation").get_template(StackName=f"dayfly-{NAME}")
    places["stack"] = json.dumps(stack["TemplateBody"], default=str).encode()
    places["screens"] = lake.cloud.dayfly("show", lake.runs["ingest"]["run"], "--local").stdout.encode()
    log = next(body for place, body in places.items() if place.endswith("/log/000001") and b"attacks" in body)
    assert b"ps -efww" in log  # the list of all processes of the server
    assert any(place.startswith("console") and b"powering off" in body for place, body in places.items())
    say(f"\nsearched {len(places)} places, {sum(map(len, places.values())):,} bytes")
    for secret in (DB_URL, PASSWORD, "hunter2"):
        assert [place for place, body in places.items() if secret.encode() in body] == []
