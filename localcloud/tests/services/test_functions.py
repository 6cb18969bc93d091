"""Lambda functions run as their role, in a process that can import only its zip, the standard library and boto3."""

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lambda_functions import TRUST, call, make_function, make_role, sleepers, zipped
from running_cloud import Running

pytestmark = pytest.mark.cloud


@pytest.fixture(scope="module", autouse=True)
def user_variable() -> Iterator[None]:
    """A variable in the environment of the user who starts the cloud. Autouse, so it is set before the cloud starts."""
    os.environ["USER_SECRET"] = "of the user"
    yield
    del os.environ["USER_SECRET"]


@pytest.fixture(scope="module")
def role(cloud: Running) -> str:
    return make_role(cloud, "plain")


def test_function_sees_only_its_zip_stdlib_and_boto3(cloud: Running, role: str) -> None:
    source = """
import importlib.util, os, sys
def handler(event, context):
    import boto3
    seen = {name: importlib.util.find_spec(name) is not None for name in event["names"]}
    return {"seen": seen, "env": dict(os.environ), "path": sys.path, "cwd": os.getcwd()}
"""
    names = ["boto3", "json", "ministack", "hypercorn", "pytest", "localcloud"]
    functions = make_function(cloud, "sees", source, role, Environment={"Variables": {"OWN": "1"}})
    answer, error, log = call(functions, "sees", {"names": names})
    assert error is None, log
    assert {name for name, seen in answer["seen"].items() if seen} == {"boto3", "json"}
    environment = answer["env"]
    assert environment["OWN"] == "1"
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "sees"
    assert environment["AWS_REGION"] == "us-east-1"
    assert environment["AWS_ENDPOINT_URL"] == cloud.facts["endpoint"]
    assert environment["AWS_ACCESS_KEY_ID"] != cloud.environment["AWS_ACCESS_KEY_ID"]
    assert not {"HOME", "PYTHONPATH", "VIRTUAL_ENV", "USER_SECRET", "GATEWAY_PORT"} & set(environment)
    assert not [entry for entry in answer["path"] if "site-packages" in entry]
    assert answer["cwd"] == environment["LAMBDA_TASK_ROOT"]


def test_function_is_authorized_as_its_role(cloud: Running) -> None:
    cloud.client("s3").create_bucket(Bucket="role-bucket")
    allowed = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::role-bucket/mine/*"}
    role = make_role(cloud, "writer", {"Version": "2012-10-17", "Statement": [allowed]})
    source = """
import boto3
def handler(event, context):
    boto3.client("s3").put_object(Bucket="role-bucket", Key=event["key"], Body=b"x")
    return boto3.client("sts").get_caller_identity()
"""
    functions = make_function(cloud, "role-bucket", source, role)
    answer, error, log = call(functions, "role-bucket", {"key": "mine/a"})
    assert error is None, log
    assert answer["Arn"] == "arn:aws:sts::000000000000:assumed-role/writer/role-bucket"
    assert answer["UserId"].startswith("AROA")
    answer, error, _ = call(functions, "role-bucket", {"key": "other/a"})
    assert error == "Unhandled"
    assert "AccessDenied" in answer["errorMessage"]


def test_function_fails_when_its_role_stops_trusting_lambda(cloud: Running) -> None:
    functions = make_function(cloud, "untrusted", "def handler(e, c): pass", make_role(cloud, "ec2only"))
    trust = json.dumps(TRUST).replace("lambda.", "ec2.")
    cloud.client("iam").update_assume_role_policy(RoleName="ec2only", PolicyDocument=trust)
    answer, error, _ = call(functions, "untrusted")
    assert error == "Unhandled"
    assert "cannot be assumed" in answer["errorMessage"]


def test_exception_and_import_error_are_reported_as_by_lambda(cloud: Running, role: str) -> None:
    functions = make_function(cloud, "raises", "def handler(e, c):\n    raise KeyError('lost')", role)
    answer, error, log = call(functions, "raises")
    assert (error, answer["errorType"]) == ("Unhandled", "KeyError")
    assert "Traceback" in log
    functions = make_function(cloud, "broken", "import nothing_such", role)
    answer, error, _ = call(functions, "broken")
    assert (error, answer["errorType"]) == ("Unhandled", "Runtime.ImportModuleError")


def test_timeout_ends_the_function_and_its_child_processes(cloud: Running, role: str) -> None:
    source = """
import subprocess, time
def handler(event, context):
    print("before", flush=True)
    subprocess.Popen(["sh", "-c", "sleep 271 & sleep 271"], start_new_session=True)
    time.sleep(60)
"""
    functions = make_function(cloud, "slow", source, role, Timeout=2)
    began = time.monotonic()
    answer, error, log = call(functions, "slow")
    assert 1.9 < time.monotonic() - began < 50
    assert error == "Unhandled"
    assert "Task timed out after 2.00 seconds" in answer["errorMessage"]
    assert "before" in log
    deadline = time.monotonic() + 60
    while sleepers("271") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not sleepers("271")


def test_output_goes_to_the_functions_log_group(cloud: Running, role: str) -> None:
    source = """
import logging
def handler(event, context):
    print("printed here")
    logging.getLogger().warning("warned %s", 7)
    print("x" * 300_000)
"""
    functions = make_function(cloud, "prints", source, role)
    assert call(functions, "prints")[1] is None
    events = cloud.client("logs").filter_log_events(logGroupName="/aws/lambda/prints")["events"]
    messages = [event["message"] for event in events]
    assert messages[0].startswith("START RequestId: ")
    assert "printed here" in messages
    assert any(line.startswith("[WARNING]") and line.endswith("warned 7") for line in messages)
    assert any(len(line) == 300_000 for line in messages)
    assert messages[-1].startswith("REPORT RequestId: ")


def test_twenty_concurrent_invocations_all_run(cloud: Running, role: str) -> None:
    source = """
import os, time
def handler(event, context):
    time.sleep(0.5)
    return [event["n"], os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]]
"""
    functions = make_function(cloud, "many", source, role)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: call(functions, "many", {"n": n}), range(20)))
    assert [answer[1] for answer in answers] == [None] * 20
    assert sorted(answer[0][0] for answer in answers) == list(range(20))


def test_new_code_runs_at_the_next_invocation(cloud: Running, role: str) -> None:
    functions = make_function(cloud, "changes", "def handler(e, c): return 1", role)
    assert call(functions, "changes")[0] == 1
    functions.update_function_code(FunctionName="changes", ZipFile=zipped("def handler(e, c): return 2"))
    assert call(functions, "changes")[0] == 2


def test_failed_asynchronous_event_goes_to_its_destination(cloud: Running) -> None:
    url = cloud.client("sqs").create_queue(QueueName="failures")["QueueUrl"]
    arn = "arn:aws:sqs:us-east-1:000000000000:failures"
    allowed = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": arn}
    role = make_role(cloud, "teller", {"Version": "2012-10-17", "Statement": [allowed]})
    functions = make_function(cloud, "fails", "def handler(e, c): raise ValueError(e['n'])", role)
    functions.put_function_event_invoke_config(
        FunctionName="fails", MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": arn}}
    )
    answer = functions.invoke(FunctionName="fails", InvocationType="Event", Payload=b'{"n": "seven"}')
    assert answer["StatusCode"] == 202
    messages = cloud.client("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]
    record = json.loads(messages[0]["Body"])
    assert record["requestPayload"] == {"n": "seven"}
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 1
    assert record["responsePayload"]["errorType"] == "ValueError"
