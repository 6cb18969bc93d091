"""Answered changes survive `down` and `up` as well as a kill; no process outlives the cloud."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lambda_functions import call, make_function, make_role, sleepers
from running_cloud import Running, command

pytestmark = pytest.mark.cloud

TEMPLATE = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "kept"}}}})


def until(true: Callable[[], Any], limit: float = 60) -> bool:
    deadline = time.monotonic() + limit
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def fill(cloud: Running) -> str:
    """Create one resource of each kind; return the role's id."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="kept-bucket")
    s3.put_bucket_tagging(Bucket="kept-bucket", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    for key in ("a", "a/b", "runs/x@2026-11-24T02:30:00Z/AROA:i-1/ended.json"):
        s3.put_object(Bucket="kept-bucket", Key=key, Body=key.encode(), ContentType="text/plain", Metadata={"m": "1"})
    role = make_role(cloud, "kept-role")
    iam = cloud.client("iam")
    iam.create_instance_profile(InstanceProfileName="kept-profile")
    iam.add_role_to_instance_profile(InstanceProfileName="kept-profile", RoleName="kept-role")
    services = ["lambda.amazonaws.com", "scheduler.amazonaws.com"]
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": services}, "Action": "sts:AssumeRole"}]}
    iam.update_assume_role_policy(RoleName="kept-role", PolicyDocument=json.dumps(trust))
    make_function(cloud, "kept", "def handler(e, c): return 'kept'", role)
    cloud.client("cloudformation").create_stack(StackName="kept-stack", TemplateBody=TEMPLATE)
    cloud.client("cloudformation").get_waiter("stack_create_complete").wait(
        StackName="kept-stack", WaiterConfig={"Delay": 1}
    )
    cloud.client("logs").create_log_group(logGroupName="kept-group")
    queue = cloud.client("sqs").create_queue(QueueName="kept-queue")["QueueUrl"]
    cloud.client("sqs").send_message(QueueUrl=queue, MessageBody="kept message")
    cloud.client("scheduler").create_schedule_group(Name="kept")
    cloud.client("scheduler").create_schedule(
        Name="kept",
        GroupName="kept",
        ScheduleExpression="cron(0 3 * * ? *)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": "arn:aws:lambda:us-east-1:000000000000:function:kept", "RoleArn": role},
    )
    identity: str = iam.get_role(RoleName="kept-role")["Role"]["RoleId"]
    return identity


def check(cloud: Running, role_id: str) -> None:
    """Check that everything that `fill` created exists."""
    s3 = cloud.client("s3")
    assert s3.get_bucket_tagging(Bucket="kept-bucket")["TagSet"] == [{"Key": "a", "Value": "b"}]
    for key in ("a", "a/b", "runs/x@2026-11-24T02:30:00Z/AROA:i-1/ended.json"):
        found = s3.get_object(Bucket="kept-bucket", Key=key)
        assert found["Body"].read() == key.encode()
        assert (found["ContentType"], found["Metadata"]) == ("text/plain", {"m": "1"})
    iam = cloud.client("iam")
    assert iam.get_role(RoleName="kept-role")["Role"]["RoleId"] == role_id
    profile = iam.get_instance_profile(InstanceProfileName="kept-profile")["InstanceProfile"]
    assert [role["RoleName"] for role in profile["Roles"]] == ["kept-role"]
    assert call(cloud.client("lambda"), "kept")[0] == "kept"
    stack = cloud.client("cloudformation").describe_stacks(StackName="kept-stack")["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert [t["TopicArn"].split(":")[-1] for t in cloud.client("sns").list_topics()["Topics"]] == ["kept"]
    groups = cloud.client("logs").describe_log_groups()["logGroups"]
    assert "kept-group" in [group["logGroupName"] for group in groups]
    queue = cloud.client("sqs").get_queue_url(QueueName="kept-queue")["QueueUrl"]
    assert cloud.client("sqs").receive_message(QueueUrl=queue)["Messages"][0]["Body"] == "kept message"
    schedule = cloud.client("scheduler").get_schedule(Name="kept", GroupName="kept")
    assert schedule["ScheduleExpression"] == "cron(0 3 * * ? *)"


def test_everything_survives_down_and_up(start: Callable[..., Running]) -> None:
    first = start()
    role_id = fill(first)
    command(first.directory, "down")
    again = start()
    assert again.facts["endpoint"] == first.facts["endpoint"]
    assert again.environment == first.environment
    check(again, role_id)


def test_answered_changes_survive_a_kill(start: Callable[..., Running]) -> None:
    first = start()
    role_id = fill(first)
    os.kill(first.facts["pid"], signal.SIGKILL)
    check(start(), role_id)


def test_large_object_is_intact_after_a_kill(start: Callable[..., Running]) -> None:
    first = start()
    s3 = first.client("s3")
    s3.create_bucket(Bucket="large-one")
    body = os.urandom(1 << 20) * 40
    upload = s3.create_multipart_upload(Bucket="large-one", Key="big")["UploadId"]
    parts = []
    for number in range(1, 5):
        piece = body[(number - 1) * 10 << 20 : number * 10 << 20]
        etag = s3.upload_part(Bucket="large-one", Key="big", UploadId=upload, PartNumber=number, Body=piece)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    s3.complete_multipart_upload(
        Bucket="large-one", Key="big", UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
    )
    os.kill(first.facts["pid"], signal.SIGKILL)
    found = start().client("s3").get_object(Bucket="large-one", Key="big")
    assert found["ETag"].endswith('-4"')
    assert found["Body"].read() == body


def test_accepted_event_runs_after_a_kill(start: Callable[..., Running]) -> None:
    first = start()
    first.client("s3").create_bucket(Bucket="told-here")
    allow = {"Statement": [{"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::told-here/*"}]}
    source = """
import boto3, os, time
def handler(event, context):
    if not os.path.exists(event["flag"]):
        open(event["flag"], "w").close()
        time.sleep(30)
    boto3.client("s3").put_object(Bucket="told-here", Key="ran", Body=b"")
"""
    flag = first.directory.parent / "flag"
    functions = make_function(first, "later", source, make_role(first, "later", allow), Timeout=60)
    functions.invoke(FunctionName="later", InvocationType="Event", Payload=json.dumps({"flag": str(flag)}))
    assert until(flag.exists)
    os.kill(first.facts["pid"], signal.SIGKILL)
    s3 = start().client("s3")
    assert until(lambda: s3.list_objects_v2(Bucket="told-here")["KeyCount"] == 1)


def test_missed_one_time_schedule_fires_at_up(start: Callable[..., Running]) -> None:
    first = start()
    sqs = first.client("sqs")
    url = sqs.create_queue(QueueName="missed")["QueueUrl"]
    trust = {
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "scheduler.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ]
    }
    allow = {"Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}]}
    role = make_role(first, "sender", allow, trust)
    due = int(time.time()) + 30
    for name, expression in (
        ("once", time.strftime("at(%Y-%m-%dT%H:%M:%S)", time.gmtime(due))),
        ("often", "rate(1 hour)"),
    ):
        first.client("scheduler").create_schedule(
            Name=name,
            ScheduleExpression=expression,
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": "arn:aws:sqs:us-east-1:000000000000:missed", "RoleArn": role, "Input": name},
            ActionAfterCompletion="DELETE" if name == "once" else "NONE",
        )
    # A rate fires when it is created. The other schedule must not be due before the cloud is killed.
    [message] = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]
    assert message["Body"] == "often"
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    os.kill(first.facts["pid"], signal.SIGKILL)
    time.sleep(max(0.0, due - time.time()) + 0.2)
    again = start()
    assert until(lambda: len(again.client("scheduler").list_schedules()["Schedules"]) == 1)
    answer = again.client("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=20, MaxNumberOfMessages=10)
    assert [message["Body"] for message in answer["Messages"]] == ["once"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_function_outlives_the_cloud(start: Callable[..., Running], number: signal.Signals) -> None:
    cloud = start()
    seconds = str(3000 + number)
    source = f"""
import subprocess, time
def handler(event, context):
    subprocess.Popen(["sh", "-c", "sleep {seconds} & sleep {seconds}"], start_new_session=True)
    time.sleep(60)
"""
    functions = make_function(cloud, "stays", source, make_role(cloud, "stays"), Timeout=60)
    functions.invoke(FunctionName="stays", InvocationType="Event")
    assert until(lambda: len(sleepers(seconds)) == 2)
    os.kill(cloud.facts["pid"], number)
    assert until(lambda: not sleepers(seconds))
    assert until(lambda: not os.path.exists(f"/proc/{cloud.facts['pid']}"))


def test_cloud_with_parent_pipe_ends_with_its_caller(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "localcloud", "up", "--json", "--parent-pipe", "--state", str(tmp_path / "state")]
    caller = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert caller.stdout is not None
    assert caller.stdin is not None
    facts = json.loads(caller.stdout.readline())
    caller.wait(60)
    assert command(tmp_path / "state", "status").returncode == 0
    caller.stdin.close()
    assert until(lambda: not os.path.exists(f"/proc/{facts['pid']}"))
    assert command(tmp_path / "state", "status").returncode == 3


def test_port_in_use_is_reported_with_a_remedy(start: Callable[..., Running]) -> None:
    first = start()
    command(first.directory, "down")
    port = int(first.facts["endpoint"].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        done = command(first.directory, "up", "--json")
    assert done.returncode == 1
    assert str(port) in json.loads(done.stdout)["error"]
    assert "--port" in json.loads(done.stdout)["remedy"]


def test_only_one_loopback_port_is_open(start: Callable[..., Running]) -> None:
    cloud = start()
    own = {os.readlink(f"/proc/{cloud.facts['pid']}/fd/{fd}") for fd in os.listdir(f"/proc/{cloud.facts['pid']}/fd")}
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                listening.append(fields[1])
    port = int(cloud.facts["endpoint"].rpartition(":")[2])
    assert listening == [f"0100007F:{port:04X}"]
    assert cloud.directory.stat().st_mode & 0o777 == 0o700


def test_concurrent_up_commands_share_one_cloud(start: Callable[..., Running]) -> None:
    with ThreadPoolExecutor(3) as pool:
        clouds = [future.result() for future in [pool.submit(start) for _ in range(3)]]
    assert len({cloud.facts["pid"] for cloud in clouds}) == 1
    assert sorted("already" in cloud.facts for cloud in clouds) == [False, True, True]


def test_up_reports_a_running_cloud(start: Callable[..., Running]) -> None:
    first = start()
    again = start()
    assert again.facts["pid"] == first.facts["pid"]
    assert again.facts["already"] is True


def test_function_cannot_use_controls_of_the_cloud(start: Callable[..., Running]) -> None:
    cloud = start()
    source = """
import os, urllib.error, urllib.request
def handler(event, context):
    answers = []
    for method, path in event:
        request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + path, method=method, data=b"{}")
        try:
            answers.append(urllib.request.urlopen(request).status)
        except urllib.error.HTTPError as error:
            answers.append(error.code)
    return answers
"""
    functions = make_function(cloud, "asks", source, make_role(cloud, "asks"))
    values = [
        ("GET", "/_localcloud/status"),
        ("POST", "/_localcloud/ec2/capacity"),
        ("POST", "/_ministack/reset"),
        ("GET", "/_ministack/lambda-code/000000000000/us-east-1/asks"),
    ]
    answer = functions.invoke(FunctionName="asks", Payload=json.dumps(values))
    assert json.loads(answer["Payload"].read()) == [403, 403, 403, 403]
    assert functions.get_function(FunctionName="asks")["Configuration"]["State"] == "Active"
    assert json.loads(command(cloud.directory, "status", "--json").stdout)["pid"] == cloud.facts["pid"]


def test_down_does_not_wait_for_a_function(start: Callable[..., Running]) -> None:
    cloud = start()
    source = "import time\ndef handler(e, c):\n    open(e, 'w').close()\n    time.sleep(50)"
    functions = make_function(cloud, "long", source, make_role(cloud, "long"), Timeout=60)
    flag = cloud.directory.parent / "flag"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(functions.invoke, FunctionName="long", Payload=json.dumps(str(flag)))
        assert until(flag.exists)
        began = time.monotonic()
        assert command(cloud.directory, "down").returncode == 0
        assert time.monotonic() - began < 40
        assert waiting.result(60)["FunctionError"] == "Unhandled"


def test_multipart_upload_continues_after_a_kill(start: Callable[..., Running]) -> None:
    first = start()
    s3 = first.client("s3")
    s3.create_bucket(Bucket="parts-here")
    parameters = {"Bucket": "parts-here", "Key": "a/whole"}
    upload = parameters | {"UploadId": s3.create_multipart_upload(**parameters, Metadata={"run": "pi"})["UploadId"]}
    other = parameters | {"UploadId": s3.create_multipart_upload(**parameters)["UploadId"]}
    parts = [b"1" * (5 << 20), b"2\n2"]
    s3.upload_part(**upload, PartNumber=2, Body=b"in the place of another")
    tags = [s3.upload_part(**upload, PartNumber=number, Body=body)["ETag"] for number, body in enumerate(parts, 1)]
    s3.abort_multipart_upload(**other)
    os.kill(first.facts["pid"], signal.SIGKILL)
    s3 = start().client("s3")
    assert [one["UploadId"] for one in s3.list_multipart_uploads(Bucket="parts-here")["Uploads"]] == [
        upload["UploadId"]
    ]
    listed = {"Parts": [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]}
    s3.complete_multipart_upload(**upload, MultipartUpload=listed, IfNoneMatch="*")
    found = s3.get_object(**parameters)
    assert (found["Body"].read(), found["Metadata"]) == (b"".join(parts), {"run": "pi"})
    assert list((first.directory / "uploads").iterdir()) == []


def test_retry_made_under_an_offset_is_on_time_after_a_kill(start: Callable[..., Running]) -> None:
    first = start()
    allow = {"Statement": [{"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::tries-here/*"}]}
    first.client("s3").create_bucket(Bucket="tries-here")
    source = """
import boto3, time
def handler(event, context):
    boto3.client("s3").put_object(Bucket="tries-here", Key=str(time.time_ns()), Body=b"")
    raise ValueError("no")
"""

    def tries(cloud: Running) -> int:
        return int(cloud.client("s3").list_objects_v2(Bucket="tries-here")["KeyCount"])

    first.advance(7200)
    functions = make_function(first, "turned", source, make_role(first, "turned", allow))
    functions.invoke(FunctionName="turned", InvocationType="Event", Payload=b"{}")
    files = first.directory / "functions" / "events"
    assert until(lambda: [json.loads(path.read_text())["attempts"] for path in files.glob("*.json")] == [1])
    os.kill(first.facts["pid"], signal.SIGKILL)
    again = start()
    assert tries(again) == 1
    again.advance(150)
    assert tries(again) == 2
