"""What a job must not be able to do, tried from inside its server with its own credentials. Writes what answered to attacks.json.

SERVER_ROLE_ID, SERVER_ROLE, BUCKET and TEMPLATE tell it what an attacker would have to guess.
"""

import errno
import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

BUCKET = os.environ["BUCKET"]
METADATA = "http://169.254.169.254"
s3, ec2, sts = boto3.client("s3"), boto3.client("ec2"), boto3.client("sts")
found: dict[str, str] = {}


def attack(name: str, act: Callable[[], object]) -> None:
    """Try it, and keep the code of what refused it."""
    try:
        found[name] = f"done: {act()!r}"[:300]
    except ClientError as error:
        found[name] = error.response["Error"]["Code"]
    except BotoCoreError as error:
        found[name] = type(error).__name__
    except OSError as error:
        found[name] = errno.errorcode.get(getattr(error, "reason", error).errno or 0, repr(error))
    except subprocess.CalledProcessError as error:
        found[name] = f"exit {error.returncode}: {error.output.strip().splitlines()[-1]}"


def command(*words: str) -> Callable[[], object]:
    return lambda: subprocess.run(
        words, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20
    )


def put(key: str) -> Callable[[], object]:
    return lambda: s3.put_object(Bucket=BUCKET, Key=key, Body=b"{}")


def ask(method: str, path: str, **headers: str) -> Callable[[], object]:
    return lambda: urllib.request.urlopen(
        urllib.request.Request(METADATA + path, method=method, headers=headers), timeout=5
    ).read()


def connect(family: int, host: str) -> Callable[[], object]:
    def act() -> None:
        with socket.socket(family) as tried:
            tried.settimeout(5)
            tried.connect((host, 80))

    return act


def of_the_project(server: str) -> None:
    run = os.environ["DAYFLY_RUN"].replace("@", "/")
    user = f"{os.environ['SERVER_ROLE_ID']}:{server}"
    own = f"out/{run}/{os.environ['DAYFLY_ATTEMPT']}/{user}/"
    other = "out/other/2026-11-24T00:00:00Z/1/AROAOTHER:i-1/output/x"
    attack("read another run", lambda: s3.get_object(Bucket=BUCKET, Key=other))
    attack("read its own go.json", lambda: s3.get_object(Bucket=BUCKET, Key=f"go/{user}/go.json"))
    attack("list the project's bucket", lambda: s3.list_objects_v2(Bucket=BUCKET))
    attack("list all buckets", lambda: s3.list_buckets())
    attack("overwrite a fact", put(f"runs/{run}/claim.json"))
    attack("write ended.json", put(own + "ended.json"))
    attack("forge an output", put(own + "output/forged"))
    attack("move latest", put("latest/ingest.json"))
    attack("cancel a run", put(f"go/{user}/cancel.json"))
    attack("read beyond its place", lambda: s3.get_object(Bucket="acme-raw", Key="private/day.csv"))
    attack("write beyond its place", lambda: s3.put_object(Bucket="acme-raw", Key="events/forged", Body=b""))
    attack("delete what it wrote", lambda: s3.delete_object(Bucket="acme-clean", Key="day.csv"))


def of_the_account(server: str) -> None:
    tags = [{"Key": "dayfly:deadline", "Value": "2030-01-01T00:00:00Z"}]
    template = {"LaunchTemplateId": os.environ["TEMPLATE"], "Version": "1"}
    one = {"InstanceType": "c8g.large", "MinCount": 1, "MaxCount": 1}
    attack("launch", lambda: ec2.run_instances(LaunchTemplate=template, **one))
    fleet = {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"}
    configs = [{"LaunchTemplateSpecification": template}]
    attack(
        "launch by a fleet",
        lambda: ec2.create_fleet(Type="instant", TargetCapacitySpecification=fleet, LaunchTemplateConfigs=configs),
    )
    attack("retag the deadline", lambda: ec2.create_tags(Resources=[server], Tags=tags))
    attack("see servers", lambda: ec2.describe_instances())
    attack("terminate", lambda: ec2.terminate_instances(InstanceIds=[server]))
    kill = {"GroupName": "dayfly-lake", "Name": f"kill-{server}"}
    attack("delete the kill schedule", lambda: boto3.client("scheduler").delete_schedule(**kill))
    start = {"FunctionName": "dayfly-lake-launcher", "Payload": b"{}"}
    attack("start a run", lambda: boto3.client("lambda").invoke(**start))
    attack("read the parameter itself", lambda: boto3.client("ssm").get_parameter(Name="/lake/db", WithDecryption=True))
    attack("read the secret itself", lambda: boto3.client("secretsmanager").get_secret_value(SecretId="lake"))
    role = os.environ["SERVER_ROLE"]
    attack("take the server's role", lambda: sts.assume_role(RoleArn=role, RoleSessionName="attack"))


def of_the_server() -> None:
    ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    attack("metadata, version 1", ask("GET", "/latest/meta-data/iam/security-credentials/"))
    attack("metadata, version 2", ask("PUT", "/latest/api/token", **ttl))
    attack("metadata by IPv6", connect(socket.AF_INET6, "fd00:ec2::254"))
    inner = f"import socket; socket.create_connection(({METADATA[7:]!r}, 80), 5)"
    attack("metadata as root of a namespace", command("unshare", "-Ur", sys.executable, "-c", inner))
    attack("remove the rule", command("ip", "rule", "del", "priority", "100"))
    attack("become root", lambda: os.setuid(0))
    attack("use sudo", command("sudo", "-n", "id"))
    attack("power off", command("systemctl", "poweroff"))
    attack("enter the agent's folder", lambda: os.listdir("/run/dayfly"))
    attack("see what waits for its upload", lambda: os.listdir("/var/lib/dayfly/spool"))
    attack("read the user data", lambda: Path("/var/lib/cloud/instance/user-data.txt").read_bytes())
    attack("read the log of the boot", lambda: Path("/var/log/cloud-init-output.log").read_bytes())
    attack("open the console", lambda: os.open("/dev/ttyS0", os.O_RDWR | os.O_NONBLOCK))
    attack("read the agent's variables", lambda: Path(f"/proc/{agent()}/environ").read_bytes())
    attack("read the agent's memory", lambda: os.open(f"/proc/{agent()}/mem", os.O_RDONLY))
    attack("end the agent", lambda: os.kill(agent(), 9))


def agent() -> int:
    """Return the process of the agent: the one with its folder on the command line."""
    for each in Path("/proc").glob("[0-9]*"):
        if b"/run/dayfly/agent" in (each / "cmdline").read_bytes():
            return int(each.name)
    raise LookupError("no agent")


caller = sts.get_caller_identity()["Arn"]
this = caller.rsplit("/", 1)[1]
of_the_project(this)
of_the_account(this)
of_the_server()
Path("attacks.json").write_text(json.dumps({"caller": caller, "attacks": found}))
