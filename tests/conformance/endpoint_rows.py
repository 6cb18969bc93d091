"""The endpoint itself: public parameters, regions, and what must not be open beside it."""

import json
import socket
from functools import partial
from typing import Any

import rows
from targets import IMAGE, REGION, Target, refusal

row = partial(rows.row, "endpoint")
OURS = "not of AWS: what a cloud on one machine owes to it"


@row(
    "Public parameters name the newest stock images, in every region",
    "Systems Manager User Guide, Calling AMI public parameters",
    differs="no image of Debian has a parameter",
)
def stock_images(target: Target) -> None:
    names = [IMAGE, "/aws/service/debian/release/13/latest/amd64", "/aws/service/debian/release/13/latest/arm64"]
    for region in (REGION, "eu-west-1"):
        found = target.client("ssm", region).get_parameters(Names=names)
        assert found["InvalidParameters"] == []
        images = [one["Value"] for one in found["Parameters"]]
        shown = target.client("ec2", region).describe_images(ImageIds=images)["Images"]
        assert {one["Architecture"] for one in shown} == {"x86_64", "arm64"}


@row("A parameter that does not exist is ParameterNotFound", "Systems Manager API Reference, GetParameter")
def missing_parameters(target: Target) -> None:
    assert refusal(target.client("ssm").get_parameter, Name="/aws/service/none") == "ParameterNotFound"


@row(
    "An account number and key pair of nobody are refused",
    "IAM User Guide, Signing requests",
    unknown="it takes any key unless it judges",
    unasked="nothing to learn from AWS",
)
def keys_of_nobody(target: Target) -> None:
    for key in ("test", "000000000000", "AKIAIOSFODNN7EXAMPLE"):
        keys = {"aws_access_key_id": key, "aws_secret_access_key": "test"}
        assert refusal(target.client("s3", keys=keys).list_buckets) == "InvalidAccessKeyId"


@row(
    "Nothing listens but the one port, and on loopback only: no MQTT on 8883",
    OURS,
    unknown="its server is this test's own",
    unasked="no machine of AWS's is looked at",
)
def one_port(target: Any) -> None:
    port = int(target.endpoint.rpartition(":")[2])
    with socket.socket() as taken:
        taken.settimeout(1)
        assert taken.connect_ex(("127.0.0.1", 8883)) != 0 or port == 8883
    listening = set()
    pids = {str(target.running.facts["pid"])}
    inodes = set()
    from pathlib import Path

    for pid in pids:
        for one in Path("/proc", pid, "fd").iterdir():
            try:
                inodes.add(str(one.readlink()))
            except OSError:
                continue
    for table in ("tcp", "tcp6"):
        for line in Path("/proc", next(iter(pids)), "net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                listening.add(fields[1])
    assert listening == {f"0100007F:{port:04X}"}


@row(
    "What is not a request of AWS's but a control is not for guests and functions",
    OURS,
    unknown="it has none",
    unasked="AWS has none",
)
def controls_are_closed(target: Target) -> None:
    from lambda_rows import call, function

    source = (
        "import urllib.request, urllib.error, os\ndef handler(event, context):\n    said = []\n"
        "    for path in ('/_localcloud/ec2/capacity', '/_localcloud/status', '/_ministack/reset'):\n        try:\n"
        "            said.append(urllib.request.urlopen(os.environ['AWS_ENDPOINT_URL'] + path, timeout=5).status)\n"
        "        except urllib.error.HTTPError as error:\n            said.append(error.code)\n    return said\n"
    )
    said, error, log = call(target, function(target, source))
    assert (error, said) == ("", [403, 403, 403]), json.dumps(log)
