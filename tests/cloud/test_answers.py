"""What AWS's answers are taken to mean: throttled is not refused, unknown is not capacity, what could not be opened is raised.

The answers stand here word for word; where a whole exchange is needed, a server on loopback gives it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dayfly.cloud.clients import Aws
from dayfly.cloud.interpreter import Interpreter
from dayfly.core import election, names
from dayfly.core.records import FleetError
from dayfly.errors import DayflyError, Unclear
from dayfly.flows import calls
from dayfly.project.file import config
from dayfly.remote import launcher

REQUEST = {"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": names.TAG_PROJECT, "Value": "pi"}]}]}


class Ec2:
    """EC2 with one answer to CreateFleet."""

    def __init__(self, answer: dict) -> None:
        self.answer = answer

    def create_fleet(self, **_request: object) -> dict:
        return self.answer


def answered(client: Any, call: calls.Call[Any], bucket: str = "") -> Any:
    """The interpreter's answer to a call when every AWS client is this one."""
    aws: Any = SimpleNamespace(client=lambda _service: client)
    names_only = {"group": "", "kill_role": "", "dead_letters": "", "log": lambda _line, _fields: None}
    return Interpreter(aws=aws, project="pi", bucket=bucket, **names_only).answer(call)


def test_throttling_inside_a_good_answer_is_no_refusal():
    throttled = {
        "ErrorCode": "RequestLimitExceeded",
        "ErrorMessage": "Request limit exceeded.",
        "Lifecycle": "on-demand",
    }
    with pytest.raises(Unclear):
        answered(Ec2({"FleetId": "fleet-1", "Instances": [], "Errors": [throttled]}), calls.CreateFleet(REQUEST))


def test_the_zone_that_create_fleet_tells_is_kept():
    told = {"InstanceIds": ["i-1"], "InstanceType": "c8g.large", "Lifecycle": "spot", "AvailabilityZone": "eu-west-1a"}
    answer = answered(Ec2({"FleetId": "f", "Errors": [], "Instances": [told]}), calls.CreateFleet(REQUEST))
    assert [server.zone for server in answer.servers] == ["eu-west-1a"]


@pytest.mark.parametrize(
    "code", ["InvalidLaunchTemplateId.NotFound", "InvalidBlockDeviceMapping", "InvalidSubnetID.NotFound"]
)
def test_a_request_that_ec2_calls_wrong_is_not_called_a_want_of_capacity(code):
    assert election.refused_because((FleetError(code=code, message=""),)) == "unknown"


def test_the_bundles_link_names_the_buckets_region(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAX")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    bucket = "dayfly-pi-000000000000-eu-south-2"
    link = answered(Aws(region="eu-south-2").client("s3"), calls.SignGet("bundles/a.zip", 900), bucket=bucket)
    assert link.startswith(f"https://{bucket}.s3.eu-south-2.amazonaws.com/")


@pytest.mark.parametrize("name", ["kill-old", "dayfly-sweeper"])
def test_a_job_can_not_take_the_name_of_a_schedule_of_dayflys_own(name):
    text = f'project = "pi"\nregions = ["eu-west-1"]\n[jobs.{name}]\ncommand = "true"\nservers = ["c8g.large"]\n'
    with pytest.raises(config.Problems, match="1 error"):
        config.read(text, zones=ZoneInfo)


class Denied(BaseHTTPRequestHandler):
    """EC2 shows no server; everything else is denied."""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        ec2 = "/ec2/aws4_request" in self.headers.get("Authorization", "")
        space = 'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"'
        shown = f"<DescribeInstancesResponse {space}><reservationSet/></DescribeInstancesResponse>"
        body = (shown if ec2 else "<Error><Code>AccessDenied</Code><Message>no</Message></Error>").encode()
        self.send_response(200 if ec2 else 403)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def denied(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = HTTPServer(("127.0.0.1", 0), Denied)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    given = {
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        names.ENV_PROJECT: "pi",
        names.ENV_BUCKET: "b",
        names.ENV_GROUP: "g",
        names.ENV_KILL_ROLE: "r",
        names.ENV_DEAD_LETTERS: "q",
    }
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("denied")
def test_a_scheduled_tick_that_could_not_be_opened_is_raised_so_that_it_is_kept():
    event = {"job": "pi", "tick": "2026-11-24T22:41:00Z", "source": "schedule"}
    with pytest.raises(DayflyError):
        launcher.handler(event, SimpleNamespace(aws_request_id="x"))


@pytest.mark.usefixtures("denied")
def test_a_wish_by_hand_that_is_denied_is_answered_with_the_exit_code_for_rights():
    assert launcher.handler({"job": "pi"}, SimpleNamespace(aws_request_id="x"))["exit"] == 3
