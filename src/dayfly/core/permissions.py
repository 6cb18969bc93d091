"""The permissions of each role: exactly the calls that its flows make. For a security review, reading this file is enough.

Documents are values for CloudFormation (ARNs by `Fn::Sub`). The launcher starts servers and terminates none. The sweeper terminates
them, and starts one only for an open run. A server writes under its own aws:userid and reads its own go.json. To walk a run means to
take the steps that are due (flows/walk.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dayfly.core import names

Statement = dict[str, Any]
Document = dict[str, Any]

LAUNCHED = ("instance", "volume", "network-interface", "fleet", "spot-instances-request")
"""The kinds of resources that a launch creates."""


def document(*statements: Statement) -> Document:
    """Return a policy document of these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def trust(service: str, group: str | None = None) -> Document:
    """Return the trust policy that lets one AWS service assume a role; with `group` only for that schedule group's schedules."""
    statement: Statement = {
        "Effect": "Allow",
        "Principal": {"Service": f"{service}.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    if group is not None:
        source = _sub(f"arn:${{AWS::Partition}}:scheduler:${{AWS::Region}}:${{AWS::AccountId}}:schedule-group/{group}")
        account = {"Ref": "AWS::AccountId"}
        statement["Condition"] = {"StringEquals": {"aws:SourceAccount": account, "aws:SourceArn": source}}
    return document(statement)


def launcher(project: str, bucket: str, references: Mapping[str, Any], owners: Sequence[str]) -> Document:
    """Return the launcher's policy: open and walk runs, start servers from the project's templates, create kill schedules.

    `references`: CloudFormation references to the roles `server` and `kill` and to the queue `dead_letters`. `owners`: account ids or
    aliases of the owners of the project's images.
    """
    return document(
        *_walk_runs(project, bucket),
        *_start_servers(project, references, owners),
        *_write_logs(project),
        *_send_dead_letters(references),
    )


def sweeper(project: str, bucket: str, references: Mapping[str, Any], owners: Sequence[str]) -> Document:
    """Return the sweeper's policy: all that the launcher may, as it continues the launcher's work, and terminate the project's servers."""
    return document(
        *_walk_runs(project, bucket),
        *_start_servers(project, references, owners),
        *_terminate_servers(project),
        _allow(
            ["s3:DeleteObject"],
            [_objects(bucket, prefix) for prefix in ("out/*", "runs/*", "done/*", "go/*", "requests/*")],
        ),
        _allow(["s3:PutObject", "s3:GetObject"], [_objects(bucket, names.HEARTBEAT)]),
        *_write_logs(project),
        *_send_dead_letters(references),
    )


def server(bucket: str) -> Document:
    """Return a server's policy: write under its own id, read its own go.json. It cannot list, read outputs or call EC2."""
    own = "${!aws:userid}"
    return document(
        _allow(["s3:PutObject", "s3:AbortMultipartUpload"], [_objects(bucket, f"out/*/{own}/*")]),
        _allow(["s3:GetObject"], [_objects(bucket, f"go/{own}/go.json")]),
    )


def schedules(project: str, references: Mapping[str, Any]) -> Document:
    """Return the schedules' policy: invoke the two functions."""
    functions = [
        _sub(f"arn:${{AWS::Partition}}:lambda:${{AWS::Region}}:${{AWS::AccountId}}:function:{name}")
        for name in (names.launcher_function(project), names.sweeper_function(project))
    ]
    return document(_allow(["lambda:InvokeFunction"], functions), *_send_dead_letters(references))


def kill(project: str, references: Mapping[str, Any]) -> Document:
    """Return the kill schedules' policy: terminate servers of this project."""
    return document(*_terminate_servers(project), *_send_dead_letters(references))


def bucket_policy(bucket: str, partition: str = "aws") -> Document:
    """Return the bucket's own policy: it refuses plain HTTP, and the overwriting of what a server wrote."""
    arn = f"arn:{partition}:s3:::{bucket}"
    return document(
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
        {
            "Sid": "OutputIsWrittenOnce",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": f"{arn}/out/*",
            "Condition": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}},
        },
    )


def leave_dead_letters(rule: Any, queue: Any) -> Document:
    """Return the policy of the queue `queue`: the rule `rule` may put events there that it could not deliver. Both are ARNs."""
    return document(
        {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue,
            "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
        }
    )


def _walk_runs(project: str, bucket: str) -> list[Statement]:
    """Return what walking a run needs: records in the bucket, and reading servers and kill schedules."""
    records = ("open/*", "requests/*", "slots/*", "runs/*", "go/*", "jobs/*", "out/*", "latest/*", "done/*")
    signed = ("bundles/*", "agents/*")  # a link has the rights of its signer
    writes = ("open/*", "requests/*", "slots/*", "runs/*", "go/*", "latest/*", "done/*")
    kills = _schedule(project, names.KILL_PREFIX + "*")
    return [
        _allow(["s3:GetObject"], [_objects(bucket, prefix) for prefix in (*records, *signed)]),
        _allow(["s3:PutObject"], [_objects(bucket, prefix) for prefix in writes]),
        _allow(["s3:DeleteObject"], [_objects(bucket, "open/*"), _objects(bucket, "slots/*")]),
        _allow(["s3:ListBucket"], [_sub(f"arn:${{AWS::Partition}}:s3:::{bucket}")]),
        _allow(["ec2:DescribeInstances", "ec2:DescribeFleets", "ec2:DescribeFleetInstances"], ["*"]),
        _allow(["scheduler:GetSchedule", "scheduler:DeleteSchedule"], [kills]),
        _allow(["ec2:GetConsoleOutput"], [_ec2("instance/*")], _tagged(project)),
    ]


def _start_servers(project: str, references: Mapping[str, Any], owners: Sequence[str]) -> list[Statement]:
    """Return what starting a server needs: only from the project's templates, with the project's tag and role."""
    launch = ["ec2:CreateFleet", "ec2:RunInstances"]
    created = {"StringEquals": {f"aws:RequestTag/{names.TAG_PROJECT}": project}}
    owned = {"StringEquals": {"ec2:Owner": [*owners, {"Ref": "AWS::AccountId"}]}}
    at_creation = {"StringEquals": {**created["StringEquals"], "ec2:CreateAction": ["RunInstances", "CreateFleet"]}}
    created_with_it = [_ec2(f"{kind}/*") for kind in LAUNCHED]
    passing = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    arming = {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}
    return [
        _allow(launch, [_sub("arn:${AWS::Partition}:ec2:${AWS::Region}::image/*")], owned),
        _allow(launch, [_ec2("subnet/*"), _ec2("security-group/*")]),
        _allow(["ec2:RunInstances"], [_sub("arn:${AWS::Partition}:ec2:${AWS::Region}::snapshot/*")]),
        _allow(
            launch, [_ec2("launch-template/*")], {"StringEquals": {f"aws:ResourceTag/{names.TAG_PROJECT}": project}}
        ),
        _allow(launch, created_with_it, created),
        _allow(["ec2:CreateTags"], created_with_it, at_creation),
        _allow(["ssm:GetParameters"], [_sub("arn:${AWS::Partition}:ssm:${AWS::Region}::parameter/aws/service/*")]),
        _allow(["iam:PassRole"], [references["server"]], passing),
        _allow(["scheduler:CreateSchedule"], [_schedule(project, names.KILL_PREFIX + "*")]),
        _allow(["iam:PassRole"], [references["kill"]], arming),
    ]


def _terminate_servers(project: str) -> list[Statement]:
    return [_allow(["ec2:TerminateInstances"], [_ec2("instance/*")], _tagged(project))]


def _send_dead_letters(references: Mapping[str, Any]) -> list[Statement]:
    return [_allow(["sqs:SendMessage"], [references["dead_letters"]])]


def _write_logs(project: str) -> list[Statement]:
    stream = _sub(f"arn:${{AWS::Partition}}:logs:${{AWS::Region}}:${{AWS::AccountId}}:log-group:/dayfly/{project}/*")
    return [_allow(["logs:CreateLogStream", "logs:PutLogEvents"], [stream])]


def _allow(actions: list[str], resources: list[Any], condition: Mapping[str, Any] | None = None) -> Statement:
    statement: Statement = {"Effect": "Allow", "Action": actions, "Resource": resources}
    if condition is not None:
        statement["Condition"] = dict(condition)
    return statement


def _sub(text: str) -> dict[str, str]:
    return {"Fn::Sub": text}


def _objects(bucket: str, keys: str) -> dict[str, str]:
    return _sub(f"arn:${{AWS::Partition}}:s3:::{bucket}/{keys}")


def _ec2(resource: str) -> dict[str, str]:
    return _sub(f"arn:${{AWS::Partition}}:ec2:${{AWS::Region}}:${{AWS::AccountId}}:{resource}")


def _schedule(project: str, name: str) -> dict[str, str]:
    group = names.stack(project)
    return _sub(f"arn:${{AWS::Partition}}:scheduler:${{AWS::Region}}:${{AWS::AccountId}}:schedule/{group}/{name}")


def _tagged(project: str) -> dict[str, Any]:
    return {"StringEquals": {f"aws:ResourceTag/{names.TAG_PROJECT}": project}}
