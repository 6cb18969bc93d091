"""The requests that launcher, sweeper and CLI send, recorded: flows run on the model cloud, and each call that they yield is answered by
the real interpreter, whose botocore clients send nothing."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore
import botocore.session

from dayfly.cloud import clients
from dayfly.cloud.clients import Aws
from dayfly.cloud.interpreter import ANSWERS, Interpreter
from dayfly.core import names
from dayfly.core.sweeper_event import ServerState, StateChange
from dayfly.errors import Unclear
from dayfly.flows import calls
from dayfly.flows.closing import close_after
from model.account import ModelAccount
from model.cloud import PROJECT, ModelCloud, acting_as, cloud_with, version
from model.deploying import deploy, end
from model.steps import NO_CAPACITY, number_of, retry, sweep, tick
from project.rendering import ACCOUNT, REGION, arn
from proof.requests import Asked, asked
from proof.roles import BUCKET, STACK

NO_REQUEST = {calls.Now, calls.Sleep, calls.Log, calls.ShowBytes, calls.ObjectUrl, calls.Post}
"""Calls that ask nothing of AWS."""
FRESH = datetime(2026, 11, 24, tzinfo=UTC)


_INSTANCE = {
    "InstanceId": "i-0123456789abcdef0",
    "LaunchTime": datetime(2026, 11, 24, tzinfo=UTC),
    "State": {"Name": "running"},
    "Tags": [{"Key": names.TAG_PROJECT, "Value": PROJECT}],
}
_ANSWERS: dict[str, Any] = {
    "DescribeInstances": {"Reservations": [{"Instances": [_INSTANCE]}]},
    "DescribeSubnets": {
        "Subnets": [{"SubnetId": "subnet-1", "VpcId": "vpc-1", "AvailabilityZone": "a", "AvailableIpAddressCount": 9}]
    },
    "DescribeRouteTables": {"RouteTables": []},
    "GetQueueUrl": {"QueueUrl": "http://127.0.0.1:9/q"},
    "ListObjectsV2": {"Contents": [{"Key": "out/x", "Size": 1}]},
    "CreateMultipartUpload": {"UploadId": "1"},
    "UploadPartCopy": {"CopyPartResult": {"ETag": "e"}},
    "ListMultipartUploads": {"Uploads": [{"Key": "out/x", "UploadId": "1"}]},
    "HeadObject": {"LastModified": datetime(2020, 1, 1, tzinfo=UTC)},
    "GetCallerIdentity": {"Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/dora/x"},
    "GetRole": {"Role": {"Arn": f"arn:aws:iam::{ACCOUNT}:role/dora"}},
}
"""Answers after which the interpreter sends another request; all others are empty."""


class _Answer:
    """An answer without content."""

    status_code = 200
    headers: dict[str, str] = {}  # noqa: RUF012


@dataclass(frozen=True)
class Recording(Aws):
    """Clients that note each operation with its parameters, and send nothing."""

    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def client(self, service: str) -> Any:
        known = service in self._clients
        made = super().client(service)
        if not known:
            made.meta.events.register("provide-client-params", self._note)
            made.meta.events.register("before-call", self._answer)
        return made

    def _answer(self, model: Any, **_keys: Any) -> tuple[_Answer, dict[str, Any]]:
        return _Answer(), _ANSWERS.get(model.name, {})

    def _note(self, params: Any, model: Any, **_keys: Any) -> None:
        self.sent.append((f"{model.service_model.service_name}.{model.name}", dict(params)))


@functools.cache
def _recording() -> Recording:
    """Return the clients, which take long to make."""
    return Recording(region=REGION, endpoint="http://127.0.0.1:9", keys=("AKIA", "secret"))


def operations(call: calls.Call[Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the operations that the interpreter sends for a call, as far as an empty answer lets it go on."""
    if isinstance(call, calls.SignGet):  # a link has the rights of its signer
        return [("s3.GetObject", {"Bucket": BUCKET, "Key": call.key})]
    aws = _recording()
    aws.sent.clear()
    interpreter = Interpreter(
        aws=aws,
        project=PROJECT,
        bucket=BUCKET,
        group=names.stack(PROJECT),
        kill_role=arn("KillRole", STACK),
        dead_letters=arn("DeadLetters", STACK),
        log=lambda _line, _fields: None,
    )
    try:
        ANSWERS[type(call)](interpreter, call)
    except Exception as error:  # an empty answer is none that it can read, but what it sent is noted
        if not aws.sent:
            raise AssertionError(f"{type(call).__name__} sent nothing: {error!r}") from error
    return list(aws.sent)


def requests(yielded: list[calls.Call[Any]]) -> list[tuple[Asked, str]]:
    """Return what IAM judges for these calls, each once, with the operation that asks it."""
    found: dict[Any, tuple[Asked, str]] = {}
    for call in different(yielded):
        for operation, params in operations(call):
            for each in asked(operation, params):
                key = (each.action, each.resource, tuple(sorted(each.context.items())))
                found.setdefault(key, (each, operation))
    return list(found.values())


def different(yielded: list[calls.Call[Any]]) -> list[calls.Call[Any]]:
    """Return the calls that ask something of AWS, one of each kind that IAM can tell apart."""
    shapes: dict[Any, calls.Call[Any]] = {}
    for call in yielded:
        if type(call) not in NO_REQUEST:
            shapes.setdefault(_shape(call), call)
    return list(shapes.values())


def _shape(call: calls.Call[Any]) -> tuple[Any, ...]:
    """Return what tells calls apart for IAM: the type, and the folder of the key."""
    key = str(getattr(call, "key", getattr(call, "prefix", "")))
    return type(call), key.partition("/")[0], key.rpartition("/")[2].partition(".")[0] if key.startswith("go/") else ""


# --- what is run --------------------------------------------------------------------------------------------------------


def launcher() -> list[calls.Call[Any]]:
    """Return the calls of launches: by schedule, delivered twice, spot that is refused, and a retry."""
    one = version(market="spot-first", reads=("job:pi", "job:other"))
    found: list[calls.Call[Any]] = []
    for refused in ({}, {"spot": NO_CAPACITY}):
        cloud = cloud_with(one, refuse=refused)
        found += _during(cloud, lambda cloud=cloud: (tick(cloud), tick(cloud)))
        cloud.run_agent(next(iter(cloud.servers)), exit_code=1)
        sweep(cloud)
        found += _during(cloud, lambda cloud=cloud: retry(cloud))
    cloud = cloud_with(one)
    cloud.faults = {cloud_calls(one, "CreateFleet"): "after"}
    with suppress(Unclear):
        tick(cloud)
    cloud.faults = {}
    found += _during(cloud, lambda: tick(cloud))
    return [*found, calls.FleetServers("fleet-0123", {})]  # what EC2 already knew, and did not name


def cloud_calls(one: Any, call: str) -> int:
    """Return the number of the first call of this type in a launch."""
    return number_of(cloud_with(one), call)


def sweeper() -> list[calls.Call[Any]]:
    """Return the calls of sweeps and events: a good end, a lost server, one past its deadline, a missed tick, old results."""
    found: list[calls.Call[Any]] = [_COPY]
    good = cloud_with()
    tick(good)
    [server] = good.servers
    good.run_agent(server)
    found += _during(good, lambda: good.run(close_after(_terminated(good, server), acting_as("sweeper"))))
    found += _during(good, lambda: sweep(good))
    good.now += timedelta(days=200)
    found += _during(good, lambda: sweep(good))
    shown = cloud_with(version(results="project"))
    tick(shown)
    shown.run_agent(next(iter(shown.servers)))
    found += _during(shown, lambda: sweep(shown))
    lost = cloud_with()
    tick(lost)
    lost.terminate(next(iter(lost.servers)))
    found += _during(lost, lambda: sweep(lost))
    late = cloud_with()
    tick(late)
    late.now += timedelta(hours=3)
    found += _during(late, lambda: (sweep(late), sweep(late)))
    missed = cloud_with(version(schedule=("* * * * *",)))
    missed.now += timedelta(minutes=20)
    found += _during(missed, lambda: (sweep(missed), sweep(missed)))
    return [*found, _MESSAGE, calls.ReadSecret(_NOTIFY)]  # what is sent to the addresses of notify


def _terminated(cloud: ModelCloud, server: str) -> StateChange:
    return StateChange(server=server, state=ServerState.TERMINATED, at=cloud.now)


def cli() -> list[calls.Call[Any]]:
    """Return the calls of a person: a deploy, a change, a destroy; and one of each type that these do not have."""
    account = ModelAccount()
    found = _during(
        account, lambda: (deploy(account), deploy(account, functions="functions2"), end(account, keep=False))
    )
    made = {type(call) for call in found}
    return found + [call for call in _SAMPLES if type(call) not in made]


def _during(cloud: ModelCloud, act: Callable[[], object]) -> list[calls.Call[Any]]:
    """Return the calls that are answered while `act` runs."""
    noted: list[calls.Call[Any]] = []
    answer = cloud.answer

    def note(call: calls.Call[Any]) -> Any:
        noted.append(call)
        return answer(call)

    cloud.answer = note  # type: ignore[method-assign]
    act()
    cloud.answer = answer  # type: ignore[method-assign]
    return noted


_COPY = calls.Copy(tuple(calls.Copied(source="out/pi/x", to="results/pi/x", size=size) for size in (1, 6 * 10**9)))
"""A small and a large file of a result."""
_NOTIFY = names.notify_key(PROJECT)
_MESSAGE = calls.Publish(topic=arn("Topic", STACK), subject="x", text="x")
_SCHEDULE = {"Name": "pi", "GroupName": names.stack(PROJECT), "Target": {}}
_SAMPLES: tuple[calls.Call[Any], ...] = (
    calls.Get("runs/x"),
    calls.PutNew("open/x", b""),
    calls.PutMatch("slots/x", b"", "e"),
    calls.Put("heartbeat.json", b""),
    calls.Delete("open/x"),
    calls.DeleteMany(("out/x",)),
    calls.List("done/"),
    calls.ListFrom("jobs/pi/", ""),
    calls.ListSizes("out/", ""),
    calls.SignGet("bundles/x", 900),
    calls.ListServers(),
    calls.FindServer("i-0123456789abcdef0"),
    calls.TerminateServer("i-0123456789abcdef0"),
    calls.ReadConsole("i-0123456789abcdef0"),
    calls.IsArmed("i-0123456789abcdef0"),
    calls.Disarm("i-0123456789abcdef0"),
    calls.MeasureBucket(),
    calls.DeleteSomeObjects(),
    calls.AbortSomeUploads(),
    calls.DeleteBucket(),
    calls.Upload("bundles/x.zip", __file__, FRESH),
    calls.Download("out/x", __file__ + ".none"),
    calls.ContinueRollback(names.stack(PROJECT)),
    calls.UpdateStack({"StackName": names.stack(PROJECT)}),
    calls.StackEvents(names.stack(PROJECT)),
    calls.GetSchedule("pi"),
    calls.UpdateSchedule({**_SCHEDULE}),
    calls.DeleteSchedule("pi"),
    calls.FindImage("ami-0123456789abcdef0"),
    calls.HasPolicy(f"arn:aws:iam::{ACCOUNT}:policy/dev"),
    calls.CreateLinkedRole("spot.amazonaws.com"),
    calls.Invoke(names.launcher_function(PROJECT), "{}"),
    calls.IsStopped(names.launcher_function(PROJECT)),
    calls.FindQuota("L-1216C47A"),
    calls.FindPlan(),
    calls.FindVcpus(("c8g.large",)),
    calls.FindRoutes(("subnet-1",)),
    calls.FindClock(),
    calls.FindDenied((calls.Wanted(actions=("s3:GetObject",), resource="*"),)),
    calls.ListOlder("bundles/", FRESH),
    calls.ReadSecret(_NOTIFY),
    calls.MakeSecret(name=_NOTIFY, value="x", tags={"a": "b"}),
    calls.RemoveSecret(_NOTIFY),
    _MESSAGE,
    calls.FindAlarms(names.stack(PROJECT)),
    calls.CountDeadLetters(f"{names.stack(PROJECT)}-dead-letters"),
    calls.FindSubscriptions("arn:aws:sns:eu-west-1:123456789012:dayfly-pi"),
    calls.FindStrays(),
    calls.ListTypes(),
)
"""One call of each type that no scenario above yields as a person does."""

ACTORS: dict[str, Callable[[], list[calls.Call[Any]]]] = {"launcher": launcher, "sweeper": sweeper, "deployer": cli}


def operations_in_source() -> set[str]:
    """Return the operations that the source of the room `cloud` names, as `PutObject`."""
    session = botocore.session.get_session()
    known: dict[str, str] = {}
    for service in {operation.partition(".")[0] for call in _SAMPLES for operation, _ in operations(call)} | {
        "ec2",
        "iam",
        "sts",
    }:
        model = session.get_service_model(service)
        known |= {botocore.xform_name(name): name for name in model.operation_names}
    source = "".join(path.read_text() for path in Path(clients.__file__).parent.glob("*.py"))
    used = set(re.findall(r"\.([a-z0-9_]+)\(", source)) | set(re.findall(r'get_paginator\("([a-z0-9_]+)"', source))
    return {known[name] for name in used & set(known)}
