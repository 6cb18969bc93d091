"""Functions: their role, environment, errors, and retries of events."""

import base64
import io
import json
import zipfile
from functools import partial
from typing import Any

import rows
from targets import REGION, Target, allow, error_code

ENVIRONMENT = "Lambda Developer Guide, Using Lambda environment variables"
ASYNC = "Lambda Developer Guide, How Lambda handles errors and retries with asynchronous invocation"
ROLE = "Lambda Developer Guide, Defining Lambda function permissions with an execution role"
INVOKE = "Lambda API Reference, Invoke"
ECHO = "def handler(event, context):\n    return event\n"

row = partial(rows.row, "lambda")


def zipped(source: str) -> bytes:
    """Return the zip file of a function."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("main.py", source)
    return buffer.getvalue()


def function(target: Target, source: str, statements: list[dict[str, Any]] | None = None, **more: Any) -> str:
    """Create a function, wait until it is active, and return its ARN."""
    functions, name = target.client("lambda"), target.name_for("function")
    role = target.role("lambda", statements)
    parameters = {
        "FunctionName": name, "Runtime": "python3.13", "Handler": "main.handler", "Role": role,
        "Code": {"ZipFile": zipped(source)}, "Timeout": 20,
    }  # fmt: skip
    made = target.retried(lambda: functions.create_function(**(parameters | more)))
    target.undo_after_row(functions.delete_function, FunctionName=name)
    functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    return str(made["FunctionArn"])


def call(target: Target, arn: str, event: Any = None) -> tuple[Any, str, str]:
    """Invoke a function; return its result, its error (or "") and the end of its log."""
    payload = json.dumps(event or {})
    answer = target.client("lambda").invoke(FunctionName=arn, Payload=payload, LogType="Tail")
    log = base64.b64decode(answer.get("LogResult", "")).decode()
    return json.loads(answer["Payload"].read() or b"null"), answer.get("FunctionError", ""), log


@row("A function runs and its result is returned", INVOKE)
def a_function_runs(target: Target) -> None:
    assert call(target, function(target, ECHO), {"a": 1})[:2] == ({"a": 1}, "")


@row("A function runs with the permissions of its role", ROLE)
def function_role(target: Target) -> None:
    bucket = target.bucket()
    source = (
        "import boto3\nfrom botocore.exceptions import ClientError\n"
        "def handler(event, context):\n    who = boto3.client('sts').get_caller_identity()['Arn']\n    said = {}\n"
        "    for key in ('mine/function', 'other/function'):\n        try:\n"
        f"            boto3.client('s3').put_object(Bucket={bucket!r}, Key=key, Body=b'1')\n            said[key] = ''\n"
        "        except ClientError as error:\n            said[key] = error.response['Error']['Code']\n"
        "    return [who, said]\n"
    )
    arn = function(target, source, [allow("s3:PutObject", f"arn:aws:s3:::{bucket}/mine/*")])
    (who, said), error, log = call(target, arn)
    assert error == "", log
    assert said == {"mine/function": "", "other/function": "AccessDenied"}
    assert who.startswith(f"arn:aws:sts::{target.account}:assumed-role/")


@row(
    "A function has its own environment variables and those of the runtime",
    ENVIRONMENT + ", Defined runtime environment variables",
)
def variables(target: Target) -> None:
    source = "import os\ndef handler(event, context):\n    return dict(os.environ)\n"
    arn = function(target, source, Environment={"Variables": {"OWN": "1"}})
    said, error, log = call(target, arn)
    assert error == "", log
    assert said["OWN"] == "1"
    assert said["AWS_REGION"] == REGION
    assert said["AWS_LAMBDA_FUNCTION_NAME"] == arn.rpartition(":")[2]
    names = {
        "AWS_ACCESS_KEY_ID",
        "AWS_SESSION_TOKEN",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "_HANDLER",
    }
    assert names <= set(said)


@row(
    "An error in the function is `FunctionError: Unhandled`, with its type, message and stack trace",
    "Lambda Developer Guide, Lambda function handler errors in Python",
)
def errors(target: Target) -> None:
    arn = function(target, "def handler(event, context):\n    raise KeyError('no such tick')\n")
    said, error, _ = call(target, arn)
    assert error == "Unhandled"
    assert (said["errorType"], "no such tick" in said["errorMessage"]) == ("KeyError", True)
    assert said["stackTrace"]


@row(
    "A function that exceeds its timeout is ended: Task timed out",
    "Lambda Developer Guide, Configure Lambda function timeout",
)
def timeouts(target: Target) -> None:
    arn = function(target, "import time\ndef handler(event, context):\n    time.sleep(30)\n", Timeout=1)
    said, error, _ = call(target, arn)
    assert (error, "Task timed out after 1.00 seconds" in said["errorMessage"]) == ("Unhandled", True)


@row(
    "The context has name, ARN, version, request id and remaining time",
    "Lambda Developer Guide, Using the Lambda context object with Python",
)
def contexts(target: Target) -> None:
    source = (
        "def handler(event, context):\n    left = context.get_remaining_time_in_millis()\n"
        "    return [context.function_name, context.invoked_function_arn, context.function_version,"
        " context.aws_request_id, left]\n"
    )
    arn = function(target, source)
    (name, said, version, request, left), error, log = call(target, arn)
    assert error == "", log
    assert (name, said, version) == (arn.rpartition(":")[2], arn, "$LATEST")
    assert request in log
    assert 0 < left <= 20_000


@row(
    "Output of a function goes to the log group /aws/lambda/NAME",
    "Lambda Developer Guide, Sending Lambda function logs to CloudWatch Logs",
)
def logs(target: Target) -> None:
    rights = [allow(["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"])]
    arn = function(target, "def handler(event, context):\n    print('it was here')\n", rights)
    call(target, arn)
    client, group = target.client("logs"), f"/aws/lambda/{arn.rpartition(':')[2]}"
    target.undo_after_row(client.delete_log_group, logGroupName=group)

    def printed() -> bool:
        if error_code(client.filter_log_events, logGroupName=group):
            return False
        return any("it was here" in one["message"] for one in client.filter_log_events(logGroupName=group)["events"])

    target.wait_for(printed)


@row(
    "An asynchronous event is accepted with 202; a failed one goes to the OnFailure destination with the reason",
    ASYNC,
)
def asynchronous_events(target: Target) -> None:
    url, queue = target.queue()
    arn = function(
        target, "def handler(event, context):\n    raise ValueError('no')\n", [allow("sqs:SendMessage", queue)]
    )
    functions = target.client("lambda")
    destination = {"OnFailure": {"Destination": queue}}
    functions.put_function_event_invoke_config(FunctionName=arn, MaximumRetryAttempts=0, DestinationConfig=destination)
    answer = functions.invoke(FunctionName=arn, InvocationType="Event", Payload=b'{"tick": 1}')
    assert answer["StatusCode"] == 202
    found = target.message(url)
    assert found is not None
    record = json.loads(found["Body"])
    assert record["requestPayload"] == {"tick": 1}
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 1
    assert record["responseContext"]["functionError"] == "Unhandled"


@row(
    "A failed event is retried after one minute and after two more minutes; then it goes to the dead-letter queue",
    ASYNC,
)
def retries(target: Target) -> None:
    (tries, own), (url, dead) = target.queue(), target.queue()
    source = "import boto3\ndef handler(event, context):\n"
    source += f"    boto3.client('sqs').send_message(QueueUrl={tries!r}, MessageBody='a try')\n"
    source += "    raise ValueError('it fails each time')\n"
    rights = [allow("sqs:SendMessage", [own, dead])]
    arn = function(target, source, rights, DeadLetterConfig={"TargetArn": dead})
    target.client("lambda").invoke(FunctionName=arn, InvocationType="Event", Payload=b'{"tick": 1}')
    # First advance by less than the wait, then by more than the rest of it.
    for less, more in ((0, 0), (30, 35), (90, 35)):
        if less:
            target.let_pass(less)
            assert target.message(tries, 1.0) is None
            target.let_pass(more)
        assert target.message(tries) is not None
    found = target.message(url)
    assert found is not None
    assert json.loads(found["Body"]) == {"tick": 1}
    values = {name: one["StringValue"] for name, one in found["MessageAttributes"].items()}
    assert {"RequestID", "ErrorCode"} <= set(values)
    assert "it fails each time" in values["ErrorMessage"]
    assert target.message(tries, 1.0) is None


@row("New code runs at the next invocation", "Lambda API Reference, UpdateFunctionCode")
def new_code(target: Target) -> None:
    arn = function(target, "def handler(event, context):\n    return 1\n")
    assert call(target, arn)[0] == 1
    functions = target.client("lambda")
    functions.update_function_code(FunctionName=arn, ZipFile=zipped("def handler(event, context):\n    return 2\n"))
    functions.get_waiter("function_updated_v2").wait(FunctionName=arn, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    assert call(target, arn)[0] == 2


@row("An unknown function is ResourceNotFoundException", INVOKE)
def unknown_functions(target: Target) -> None:
    assert error_code(target.client("lambda").invoke, FunctionName="conf-none") == "ResourceNotFoundException"


@row("InvocationType DryRun answers 204 and runs nothing", INVOKE)
def dry_runs(target: Target) -> None:
    url, queue = target.queue()
    source = "import boto3\ndef handler(event, context):\n"
    source += f"    boto3.client('sqs').send_message(QueueUrl={url!r}, MessageBody=event['by'])\n"
    arn = function(target, source, [allow("sqs:SendMessage", queue)])
    invoke = partial(target.client("lambda").invoke, FunctionName=arn)
    assert invoke(InvocationType="DryRun", Payload=b'{"by": "a dry run"}')["StatusCode"] == 204
    assert invoke(Payload=b'{"by": "an invocation"}')["StatusCode"] == 200
    found = target.message(url)
    assert found is not None
    assert found["Body"] == "an invocation"


@row(
    "Creating a function needs iam:PassRole on its role, for lambda.amazonaws.com",
    "IAM User Guide, Grant a user permissions to pass a role to an AWS service",
)
def pass_role_to_function(target: Target) -> None:
    role = target.role("lambda")
    parameters = {"Runtime": "python3.13", "Handler": "main.handler", "Role": role, "Code": {"ZipFile": zipped(ECHO)}}
    condition = {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}
    codes = []
    for more in ([], [allow("iam:PassRole", role, Condition=condition)]):
        keys, name = target.session(allow("lambda:CreateFunction"), *more), target.name_for("function")
        client = target.client("lambda", keys=keys)
        target.undo_after_row(target.client("lambda").delete_function, FunctionName=name)
        codes.append(error_code(client.create_function, FunctionName=name, **parameters))
    assert codes == ["AccessDeniedException", ""]


@row("Creating a function needs a role that trusts Lambda", ROLE)
def roles_are_checked(target: Target) -> None:
    parameters = {"Runtime": "python3.13", "Handler": "main.handler", "Code": {"ZipFile": zipped(ECHO)}}
    functions, name = target.client("lambda"), target.name_for("function")
    target.undo_after_row(functions.delete_function, FunctionName=name)
    code = error_code(functions.create_function, FunctionName=name, Role=target.role("ec2"), **parameters)
    assert code == "InvalidParameterValueException"


@row(
    "A function can import its zip, the standard library and the SDK, and has no variable of the user who runs the cloud",
    "Lambda Developer Guide, Building Lambda functions with Python, Runtime-included SDK versions",
)
def function_imports(target: Target) -> None:
    source = (
        "import importlib.util, os\ndef handler(event, context):\n"
        "    seen = [name for name in event if importlib.util.find_spec(name)]\n"
        "    return [seen, os.getcwd() == os.environ['LAMBDA_TASK_ROOT'], sorted(os.environ)]\n"
    )
    arn = function(target, source)
    (seen, at_home, names), error, log = call(
        target, arn, ["boto3", "json", "main", "pytest", "hypercorn", "ministack"]
    )
    assert error == "", log
    assert (seen, at_home) == (["boto3", "json", "main"], True)
    assert not {"HOME", "USER", "VIRTUAL_ENV", "PYTEST_CURRENT_TEST"} & set(names)
