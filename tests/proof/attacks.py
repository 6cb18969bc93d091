"""Requests whose answers are known: what each role must be able to do, and every attack on the guarantees. One line each."""

from __future__ import annotations

from dataclasses import dataclass, field

from dayfly.core import names
from model.cloud import PROJECT
from project.rendering import ACCOUNT, REGION, arn
from proof.requests import here
from proof.roles import BUCKET, INGEST, STACK, job_role, server_role

ALLOWED, DENIED = "allowed", "denied"
SERVER = here("ec2", "instance/i-0123456789abcdef0")
OURS, THEIRS = {"aws:ResourceTag/dayfly:project": PROJECT}, {"aws:ResourceTag/dayfly:project": "other"}
BUCKET_ARN = f"arn:aws:s3:::{BUCKET}"
ME, OTHER = "AROASERVER:i-0123456789abcdef0", "AROASERVER:i-0fedcba9876543210"
STACK_NAME = names.stack(PROJECT)
NEW = {"s3:if-none-match": "*", "s3:ObjectCreationOperation": "true"}
OVER = {"s3:ObjectCreationOperation": "true"}
TO_EC2 = {"iam:PassedToService": "ec2.amazonaws.com"}


@dataclass(frozen=True)
class Case:
    """One request. `expected`: allowed or denied."""

    name: str
    role: str
    action: str
    resource: str
    expected: str
    context: dict[str, str] = field(default_factory=dict)


def _key(key: str) -> str:
    return f"{BUCKET_ARN}/{key}"


def _by_me(**context: str) -> dict[str, str]:
    return {"aws:userid": ME, **context}


MINE = f"out/pi/2026-11-24T22:41:00Z/1/{ME}"
HIS = f"out/pi/2026-11-24T22:41:00Z/1/{OTHER}"
_SERVER = (
    Case("store its own end", "server", "s3:PutObject", _key(f"{MINE}/ended.json"), ALLOWED, _by_me(**NEW)),
    Case("store its own output", "server", "s3:PutObject", _key(f"{MINE}/output/pi.txt"), ALLOWED, _by_me(**NEW)),
    Case("abort its own upload", "server", "s3:AbortMultipartUpload", _key(f"{MINE}/output/pi.txt"), ALLOWED, _by_me()),
    Case("read its own go.json", "server", "s3:GetObject", _key(f"go/{ME}/go.json"), ALLOWED, _by_me()),
    Case("read its own cancel.json", "server", "s3:GetObject", _key(f"go/{ME}/cancel.json"), ALLOWED, _by_me()),
    Case("overwrite a fact", "server", "s3:PutObject", _key(f"{MINE}/ended.json"), DENIED, _by_me(**OVER)),
    Case("write the end of another server", "server", "s3:PutObject", _key(f"{HIS}/ended.json"), DENIED, _by_me(**NEW)),
    Case("read another server's go.json", "server", "s3:GetObject", _key(f"go/{OTHER}/go.json"), DENIED, _by_me()),
    Case("read what it stored", "server", "s3:GetObject", _key(f"{MINE}/output/pi.txt"), DENIED, _by_me()),
    Case("read another run", "server", "s3:GetObject", _key(f"{HIS}/output/pi.txt"), DENIED, _by_me()),
    Case("list the bucket", "server", "s3:ListBucket", BUCKET_ARN, DENIED, _by_me()),
    Case("move latest", "server", "s3:PutObject", _key("latest/pi.json"), DENIED, _by_me(**NEW)),
    Case("open a run", "server", "s3:PutObject", _key("open/pi@2026-11-24T22:41:00Z"), DENIED, _by_me(**NEW)),
    Case(
        "elect itself",
        "server",
        "s3:PutObject",
        _key("runs/pi/2026-11-24T22:41:00Z/1/server.json"),
        DENIED,
        _by_me(**NEW),
    ),
    Case("delete its output", "server", "s3:DeleteObject", _key(f"{MINE}/output/pi.txt"), DENIED, _by_me()),
    Case(
        "read a secret of another set", "server", "ssm:GetParameter", here("ssm", "parameter/lake/db"), DENIED, _by_me()
    ),
    Case("take the role of another set", "server", "sts:AssumeRole", arn(job_role(INGEST), STACK), DENIED, _by_me()),
    Case("launch a server", "server", "ec2:RunInstances", here("ec2", "instance/*"), DENIED, _by_me()),
    Case("extend its deadline", "server", "ec2:CreateTags", SERVER, DENIED, _by_me(**OURS)),
    Case("allow IMDSv1", "server", "ec2:ModifyInstanceMetadataOptions", SERVER, DENIED, _by_me(**OURS)),
    Case(
        "delete its kill schedule",
        "server",
        "scheduler:DeleteSchedule",
        here("scheduler", f"schedule/{STACK_NAME}/kill-i-1"),
        DENIED,
        _by_me(),
    ),
)
_BY_SSM = {"kms:ViaService": f"ssm.{REGION}.amazonaws.com"}
_SECRET = "secretsmanager:GetSecretValue"
_INGEST = (
    Case("read the results that it names", "server of ingest", "s3:GetObject", _key(f"{HIS}/output/pi.txt"), ALLOWED, _by_me()),
    Case("read another job's results", "server of ingest", "s3:GetObject", _key("out/else/x/1/x/output/y"), DENIED, _by_me()),
    Case("read its parameter", "server of ingest", "ssm:GetParameter", here("ssm", "parameter/lake/db"), ALLOWED, _by_me()),
    Case("read another parameter", "server of ingest", "ssm:GetParameter", here("ssm", "parameter/lake/dba"), DENIED, _by_me()),
    Case("read its secret", "server of ingest", _SECRET, here("secretsmanager", "secret:lake/api-a1B2c3"), ALLOWED, _by_me()),
    Case("read another secret", "server of ingest", _SECRET, here("secretsmanager", "secret:lake/api-key-a1B2c3"), DENIED, _by_me()),
    Case("decrypt without SSM", "server of ingest", "kms:Decrypt", here("kms", "key/1"), DENIED, _by_me()),
    Case("decrypt another parameter", "server of ingest", "kms:Decrypt", here("kms", "key/1"), DENIED, _by_me(**_BY_SSM)),
    Case("take its job's role", "server of ingest", "sts:AssumeRole", arn(job_role(INGEST), STACK), ALLOWED, _by_me()),
    Case("take another role", "server of ingest", "sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/admin", DENIED, _by_me()),
    Case("write to the job's places itself", "server of ingest", "s3:PutObject", "arn:aws:s3:::acme-lake/raw/x", DENIED, _by_me()),
)  # fmt: skip
_JOB = (
    Case("read what it reads", "job ingest", "s3:GetObject", "arn:aws:s3:::acme-raw/events/a.parquet", ALLOWED),
    Case(
        "list what it reads", "job ingest", "s3:ListBucket", "arn:aws:s3:::acme-raw", ALLOWED, {"s3:prefix": "events/"}
    ),
    Case("write what it writes", "job ingest", "s3:PutObject", "arn:aws:s3:::acme-lake/raw/a.parquet", ALLOWED),
    Case(
        "do what its policy allows",
        "job ingest",
        "athena:StartQueryExecution",
        here("athena", "workgroup/lake"),
        ALLOWED,
    ),
    Case("read beside what it reads", "job ingest", "s3:GetObject", "arn:aws:s3:::acme-raw/events2/a", DENIED),
    Case(
        "list beside what it reads", "job ingest", "s3:ListBucket", "arn:aws:s3:::acme-raw", DENIED, {"s3:prefix": ""}
    ),
    Case("write what it reads", "job ingest", "s3:PutObject", "arn:aws:s3:::acme-raw/events/a", DENIED),
    Case("delete what it writes", "job ingest", "s3:DeleteObject", "arn:aws:s3:::acme-lake/raw/a", DENIED),
    Case("read another run", "job ingest", "s3:GetObject", _key(f"{HIS}/output/pi.txt"), DENIED),
    Case("overwrite a fact", "job ingest", "s3:PutObject", _key(f"{MINE}/started.json"), DENIED, OVER),
    Case("write ended.json", "job ingest", "s3:PutObject", _key(f"{MINE}/ended.json"), DENIED, NEW),
    Case("move latest", "job ingest", "s3:PutObject", _key("latest/pi.json"), DENIED, NEW),
    Case("read its go.json", "job ingest", "s3:GetObject", _key(f"go/{ME}/go.json"), DENIED),
    Case("list the project's bucket", "job ingest", "s3:ListBucket", BUCKET_ARN, DENIED, {"s3:prefix": ""}),
    Case("read its server's secret", "job ingest", "ssm:GetParameter", here("ssm", "parameter/lake/db"), DENIED),
    Case("launch a server", "job ingest", "ec2:RunInstances", here("ec2", "instance/*"), DENIED),
    Case("launch by a fleet", "job ingest", "ec2:CreateFleet", here("ec2", "fleet/*"), DENIED),
    Case("retag the deadline", "job ingest", "ec2:CreateTags", SERVER, DENIED, OURS),
    Case("remove the deadline", "job ingest", "ec2:DeleteTags", SERVER, DENIED, OURS),
    Case("keep the server at power-off", "job ingest", "ec2:ModifyInstanceAttribute", SERVER, DENIED, OURS),
    Case("allow IMDSv1", "job ingest", "ec2:ModifyInstanceMetadataOptions", SERVER, DENIED, OURS),
    Case(
        "delete the kill schedule",
        "job ingest",
        "scheduler:DeleteSchedule",
        here("scheduler", f"schedule/{STACK_NAME}/kill-i-1"),
        DENIED,
    ),
    Case("pass the server's role", "job ingest", "iam:PassRole", arn(server_role(INGEST), STACK), DENIED, TO_EC2),
    Case("take the server's role", "job ingest", "sts:AssumeRole", arn(server_role(INGEST), STACK), DENIED),
    Case("change its own role", "job ingest", "iam:PutRolePolicy", arn(job_role(INGEST), STACK), DENIED),
    Case(
        "call the launcher",
        "job ingest",
        "lambda:InvokeFunction",
        here("lambda", f"function:{STACK_NAME}-launcher"),
        DENIED,
    ),
    Case(
        "change the sweeper",
        "job ingest",
        "lambda:UpdateFunctionCode",
        here("lambda", f"function:{STACK_NAME}-sweeper"),
        DENIED,
    ),
    Case(
        "stop the sweeper",
        "job ingest",
        "lambda:PutFunctionConcurrency",
        here("lambda", f"function:{STACK_NAME}-sweeper"),
        DENIED,
    ),
    Case("tell people lies", "job ingest", "sns:Publish", here("sns", STACK_NAME), DENIED),
    Case(
        "empty the dead letters", "job ingest", "sqs:DeleteMessage", here("sqs", f"{STACK_NAME}-dead-letters"), DENIED
    ),
)
_LAUNCHER = (
    Case("end a server", "launcher", "ec2:TerminateInstances", SERVER, DENIED, OURS),
    Case("stop a server", "launcher", "ec2:StopInstances", SERVER, DENIED, OURS),
    Case("launch without the project's tag", "launcher", "ec2:RunInstances", here("ec2", "instance/*"), DENIED),
    Case(
        "launch with another project's tag",
        "launcher",
        "ec2:RunInstances",
        here("ec2", "instance/*"),
        DENIED,
        {"aws:RequestTag/dayfly:project": "other"},
    ),
    Case(
        "launch from a foreign template",
        "launcher",
        "ec2:RunInstances",
        here("ec2", "launch-template/lt-1"),
        DENIED,
        THEIRS,
    ),
    Case(
        "launch an unknown owner's image",
        "launcher",
        "ec2:RunInstances",
        f"arn:aws:ec2:{REGION}::image/ami-1",
        DENIED,
        {"ec2:Owner": "666666666666"},
    ),
    Case("retag a running server", "launcher", "ec2:CreateTags", SERVER, DENIED, OURS),
    Case(
        "change a template",
        "launcher",
        "ec2:CreateLaunchTemplateVersion",
        here("ec2", "launch-template/lt-1"),
        DENIED,
        OURS,
    ),
    Case(
        "pass an administrator's role", "launcher", "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/admin", DENIED, TO_EC2
    ),
    Case("pass a job's role to a server", "launcher", "iam:PassRole", arn(job_role(INGEST), STACK), DENIED, TO_EC2),
    Case(
        "pass the server's role to Lambda",
        "launcher",
        "iam:PassRole",
        arn("ServerRole", STACK),
        DENIED,
        {"iam:PassedToService": "lambda.amazonaws.com"},
    ),
    Case("delete a result", "launcher", "s3:DeleteObject", _key(f"{HIS}/output/pi.txt"), DENIED),
    Case("write a result", "launcher", "s3:PutObject", _key(f"{HIS}/output/pi.txt"), DENIED, NEW),
    Case(
        "create a job's schedule",
        "launcher",
        "scheduler:CreateSchedule",
        here("scheduler", f"schedule/{STACK_NAME}/pi"),
        DENIED,
    ),
    Case("take a job's role", "launcher", "sts:AssumeRole", arn(job_role(INGEST), STACK), DENIED),
    Case("read a job's secret", "launcher", "ssm:GetParameter", here("ssm", "parameter/lake/db"), DENIED),
    Case("read another bucket", "launcher", "s3:GetObject", "arn:aws:s3:::acme-raw/events/a", DENIED),
)
_OTHERS = (
    Case("end a server of the project", "sweeper", "ec2:TerminateInstances", SERVER, ALLOWED, OURS),
    Case("end a stranger's server", "sweeper", "ec2:TerminateInstances", SERVER, DENIED, THEIRS),
    Case("end a server without a tag", "sweeper", "ec2:TerminateInstances", SERVER, DENIED),
    Case("delete a job's version", "sweeper", "s3:DeleteObject", _key("jobs/pi/1.json"), DENIED),
    Case("move latest away", "sweeper", "s3:DeleteObject", _key("latest/pi.json"), DENIED),
    Case("overwrite an output", "sweeper", "s3:PutObject", _key(f"{HIS}/output/pi.txt"), DENIED, OVER),
    Case(
        "change a function",
        "sweeper",
        "lambda:UpdateFunctionCode",
        here("lambda", f"function:{STACK_NAME}-launcher"),
        DENIED,
    ),
    Case("end a server at its deadline", "kill", "ec2:TerminateInstances", SERVER, ALLOWED, OURS),
    Case("end a stranger's server", "kill", "ec2:TerminateInstances", SERVER, DENIED, THEIRS),
    Case("start a server", "kill", "ec2:RunInstances", here("ec2", "instance/*"), DENIED),
    Case(
        "call the launcher",
        "schedules",
        "lambda:InvokeFunction",
        here("lambda", f"function:{STACK_NAME}-launcher"),
        ALLOWED,
    ),
    Case("call another function", "schedules", "lambda:InvokeFunction", here("lambda", "function:other"), DENIED),
    Case("make the roles", "deployer", "iam:CreateRole", arn("ServerRole", STACK), ALLOWED),
    Case("make a template", "deployer", "ec2:CreateLaunchTemplate", here("ec2", "launch-template/*"), ALLOWED),
    Case("change another role", "deployer", "iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/admin", DENIED),
    Case("pass another role", "deployer", "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/admin", DENIED, TO_EC2),
    Case("launch a server", "deployer", "ec2:RunInstances", here("ec2", "instance/*"), DENIED),
    Case("end a stranger's server", "deployer", "ec2:TerminateInstances", SERVER, DENIED, THEIRS),
    Case(
        "change another stack",
        "deployer",
        "cloudformation:UpdateStack",
        here("cloudformation", "stack/other/1"),
        DENIED,
    ),
    Case("read another bucket", "deployer", "s3:GetObject", "arn:aws:s3:::acme-raw/events/a", DENIED),
)
CASES = (*_SERVER, *_INGEST, *_JOB, *_LAUNCHER, *_OTHERS)
