"""The endpoint itself: public parameters, unknown keys, open ports, controls."""

import contextlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import rows
from targets import IMAGE, REGION, Target, error_code

row = partial(rows.row, "endpoint")
OWN = "no AWS page: a rule for a cloud on one machine"


@row(
    "Public parameters contain the newest stock images, in every region",
    "Systems Manager User Guide, Calling AMI public parameters",
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
    assert error_code(target.client("ssm").get_parameter, Name="/aws/service/none") == "ParameterNotFound"


@row(
    "Unknown access keys are refused",
    "IAM User Guide, Signing requests",
    not_on_aws="it is certain on AWS",
)
def unknown_access_keys(target: Target) -> None:
    for key in ("test", "000000000000", "AKIAIOSFODNN7EXAMPLE"):
        keys = {"aws_access_key_id": key, "aws_secret_access_key": "test"}
        assert error_code(target.client("s3", keys=keys).list_buckets) == "InvalidAccessKeyId"


@row(
    "Only one port is open, on loopback: no MQTT on 8883",
    OWN,
    not_on_aws="it inspects the machine that runs the cloud",
)
def one_port(target: Any) -> None:
    port, process = int(target.endpoint.rpartition(":")[2]), Path("/proc", str(target.running.facts["pid"]))
    held = set()
    for one in (process / "fd").iterdir():
        with contextlib.suppress(OSError):
            held.add(str(one.readlink()))
    lines = [
        line.split() for table in ("tcp", "tcp6") for line in (process / "net" / table).read_text().splitlines()[1:]
    ]
    listening = {line[1] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in held}
    assert f"0100007F:{port:04X}" in listening
    assert all(one.startswith("0100007F:") for one in listening)
    # Only the sockets of this process: another program on this machine may use 8883.
    assert not {one for one in listening if one.endswith(f":{8883:04X}")}
    # Where guests have no network namespace, their metadata is on loopback too.
    assert len(listening) == 1 or target.running.facts["sandbox"] == "none"


@row("Guests and functions cannot use the controls of localcloud", OWN, not_on_aws="AWS has no such controls")
def controls_are_refused(target: Target) -> None:
    from lambda_rows import call, function

    ask = (
        "import urllib.request, urllib.error, os\ndef handler(event, context):\n    said = []\n"
        "    for path in ('/_localcloud/ec2/capacity', '/_localcloud/status', '/_ministack/reset'):\n        try:\n"
        "            said.append(urllib.request.urlopen(os.environ['AWS_ENDPOINT_URL'] + path, timeout=30).status)\n"
        "        except urllib.error.HTTPError as error:\n            said.append(error.code)\n    return said\n"
    )
    said, error, log = call(target, function(target, ask))
    assert (error, said) == ("", [403, 403, 403]), json.dumps(log)
    ec2, (server,) = (
        target.client("ec2"),
        target.launch(UserData=f"#!/usr/bin/env python3\n{ask}print('answers', handler(0, 0))\n"),
    )

    def answers() -> list[str]:
        lines = str(ec2.get_console_output(InstanceId=server).get("Output", "")).splitlines()
        return [line for line in lines if "answers [" in line and line.rstrip().endswith("]")]

    assert "answers [403, 403, 403]" in target.wait_for(answers, "the guest's answers")[0]
