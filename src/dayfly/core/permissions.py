"""The permissions of each role: exactly the calls that its flows make. For a security review, reading this file is enough.

Documents are values for CloudFormation (ARNs by `Fn::Sub`). The launcher starts servers and terminates none. The sweeper terminates
them, and starts one only for an open run. A server writes under its own aws:userid, reads its own go.json, and gets what its job
declares: results of other jobs, and secrets. The command has another role, with what the job reads and writes elsewhere, or none. To
walk a run means to take the steps that are due (flows/walk.py). Who may take a role, and what the bucket and the queue refuse, is in
resource_policies.py; what a user's own policy may not say in own_policy.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dayfly.core import names, publication
from dayfly.core.permission_sets import NOTHING, SECRETS_MANAGER, SSM, PermissionSet, Place, jobs_read, secret_name

Document = dict[str, Any]


class Statement(dict[str, Any]):
    """A statement of a policy. `why`: what it allows, in plain words."""

    why: str = ""


LAUNCHED = ("instance", "volume", "network-interface", "fleet", "spot-instances-request")
"""The kinds of resources that a launch creates."""


def document(*statements: dict[str, Any]) -> Document:
    """Return a policy document of these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def launcher(project: str, bucket: str, references: Mapping[str, Any], owners: Sequence[str]) -> Document:
    """Return the launcher's policy: open and walk runs, start servers from the project's templates, create kill schedules.

    `references`: CloudFormation references to the roles `servers` (a list) and `kill` and to the queue `dead_letters`. `owners`: account
    ids or aliases of the owners of the project's images.
    """
    return document(
        *_walk_runs(project, bucket),
        *_start_servers(project, references, owners),
        *_write_logs(project),
        *_send_dead_letters(references),
    )


_SWEPT = ("out", "runs", "done", "go", "requests", "trouble", "results")
_STORED = ("bundles", "agents", "functions")


def sweeper(
    project: str, bucket: str, references: Mapping[str, Any], owners: Sequence[str], results: Sequence[str] = ()
) -> Document:
    """Return the sweeper's policy: all that the launcher may, to continue its work; terminate servers; tell people by the `topic`.

    `results`: the values of that key of all jobs.
    """
    removed, stored = ([_objects(bucket, f"{folder}/*") for folder in folders] for folders in (_SWEPT, _STORED))
    return document(
        *_walk_runs(project, bucket),
        *_start_servers(project, references, owners),
        *_terminate_servers(project),
        _allow(["s3:DeleteObject"], removed, why="delete results and records that are older than keep"),
        _allow(["s3:DeleteObject"], stored, why="delete bundles, agents and zips that nothing names"),
        _allow(
            ["s3:PutObject", "s3:GetObject"],
            [_objects(bucket, names.HEARTBEAT), _objects(bucket, "trouble/*")],
            why="note when it swept last, and which jobs are in trouble",
        ),
        _allow(["sns:Publish"], [references["topic"]], why="mail the addresses of notify"),
        _allow(
            ["ssm:GetParameter"],
            [_arn("ssm", f"parameter{names.notify_key(project)}")],
            why="read the key that signs webhooks",
        ),
        *_publish(bucket, results),
        *_write_logs(project),
        *_send_dead_letters(references),
    )


def _publish(bucket: str, results: Sequence[str]) -> list[Statement]:
    """Return what copying results needs: store them under the prefixes of `results`, and read the manifest that is there."""
    places = [publication.place(each, "*") for each in results]
    prefixes = [place.prefix.removesuffix("*/") for place in places]  # of all jobs, in the project's own bucket
    targets = [_objects(place.bucket or bucket, f"{prefix}*") for place, prefix in zip(places, prefixes, strict=True)]
    copying = ["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"]
    why = f"copy good results to {', '.join(results)}"
    if not results:
        return []
    return [_allow(copying, targets, why=why)]


def server(bucket: str, granted: PermissionSet = NOTHING) -> Document:
    """Return a server's policy: write under its own id, read what is sent to it, the secrets of its job, and the results that it reads.

    It cannot list or call EC2, and reads the outputs of no other job.
    """
    own = "${!aws:userid}"
    stored = "store its run's log, outputs and end, each once, below its own id"
    return document(
        _allow(["s3:PutObject", "s3:AbortMultipartUpload"], [_objects(bucket, f"out/*/{own}/*")], why=stored),
        _allow(
            ["s3:GetObject"], [_objects(bucket, f"go/{own}/*")], why="read what is sent to it: its job, or a cancel"
        ),
        *_read_results(bucket, sorted(jobs_read(granted.reads))),
        *_read_parameters(granted.secrets),
        *_read_secrets(granted.secrets),
    )


def assume(role: Any) -> Document:
    """Return what a server needs beside its own policy to take the credentials of its job: assume this one role."""
    return document(_allow(["sts:AssumeRole"], [role], why="take the credentials of its command, and no others"))


def job(granted: PermissionSet) -> Document:
    """Return the policy of a job's own role: read and write the objects that the file names.

    It has nothing of the project's: neither the bucket nor a server. The file's `policy` is a second policy of the role.
    """
    return document(*_read_objects(granted.objects_read), *_write_objects(granted.writes))


def schedules(project: str, references: Mapping[str, Any]) -> Document:
    """Return the schedules' policy: invoke the two functions."""
    functions = [
        _arn("lambda", f"function:{name}")
        for name in (names.launcher_function(project), names.sweeper_function(project))
    ]
    invoke = _allow(["lambda:InvokeFunction"], functions, why="call the launcher and the sweeper")
    return document(invoke, *_send_dead_letters(references))


def kill(project: str, references: Mapping[str, Any]) -> Document:
    """Return the kill schedules' policy: terminate servers of this project."""
    return document(*_terminate_servers(project), *_send_dead_letters(references))


def characters(policy: Mapping[str, Any]) -> int:
    """Return how many characters IAM counts of a policy: at most that many, because what CloudFormation fills in is shorter."""
    return len(json.dumps(policy, separators=(",", ":")))


def _walk_runs(project: str, bucket: str) -> list[Statement]:
    """Return what walking a run needs: records in the bucket, and reading servers and kill schedules."""
    folders = ("open", "requests", "slots", "paused", "runs", "go", "jobs", "out", "latest", "done", "trouble")
    records = [f"{folder}/*" for folder in folders]
    signed = ("bundles/*", "agents/*")  # a link has the rights of its signer
    writes = ("open/*", "requests/*", "slots/*", "runs/*", "go/*", "latest/*", "done/*")
    kills = _schedule(project, names.KILL_PREFIX + "*")
    return [
        _allow(
            ["s3:GetObject"],
            [_objects(bucket, prefix) for prefix in (*records, *signed)],
            why="read records and what servers stored, and sign links to bundles and the agent",
        ),
        _allow(["s3:PutObject"], [_objects(bucket, prefix) for prefix in writes], why="write the records of runs"),
        _allow(
            ["s3:DeleteObject"],
            [_objects(bucket, "open/*"), _objects(bucket, "slots/*")],
            why="end a run: it is open no longer, and its slot is free",
        ),
        _allow(["s3:ListBucket"], [_bucket(bucket)], why="list the keys of the project's bucket"),
        _allow(
            ["ec2:DescribeInstances", "ec2:DescribeFleets"],
            ["*"],
            why="see servers and fleets; EC2 cannot limit that to some",
        ),
        _allow(
            ["scheduler:GetSchedule", "scheduler:DeleteSchedule"],
            [kills],
            why="look at kill schedules, and delete them",
        ),
        _allow(
            ["ec2:GetConsoleOutput"],
            [_ec2("instance/*")],
            _tagged(project),
            why="read the console of the project's servers",
        ),
    ]


def _start_servers(project: str, references: Mapping[str, Any], owners: Sequence[str]) -> list[Statement]:
    """Return what starting a server needs: only from the project's templates, with the project's tag and role."""
    launch = ["ec2:CreateFleet", "ec2:RunInstances"]
    created = {"StringEquals": {f"aws:RequestTag/{names.TAG_PROJECT}": project}}
    owned = {"StringEquals": {"ec2:Owner": [*owners, {"Ref": "AWS::AccountId"}]}}
    at_creation = {"StringEquals": {**created["StringEquals"], "ec2:CreateAction": ["RunInstances", "CreateFleet"]}}
    images = substituted("arn:${AWS::Partition}:ec2:${AWS::Region}::image/*")
    created_with_it = [_ec2(f"{kind}/*") for kind in LAUNCHED]
    passing = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    return [
        # EC2 may not know the owner yet when it judges CreateFleet; RunInstances follows, with the same image.
        _allow(["ec2:CreateFleet"], [images], why="ask for a server of an image; starting it is the next line"),
        _allow(
            ["ec2:RunInstances"],
            [images],
            owned,
            why="start servers of images of the account, or of an owner that it uses",
        ),
        _allow(
            launch,
            [_shared("subnet/*"), _shared("security-group/*")],
            why="start them in a subnet, with security groups",
        ),
        _allow(
            ["ec2:RunInstances"],
            [substituted("arn:${AWS::Partition}:ec2:${AWS::Region}::snapshot/*")],
            why="start them with the disk that the image has",
        ),
        _allow(
            launch,
            [_ec2("launch-template/*")],
            {"StringEquals": {f"aws:ResourceTag/{names.TAG_PROJECT}": project}},
            why="start them from the project's launch templates only",
        ),
        _allow(launch, created_with_it, created, why="start them only with the project's tag"),
        _allow(["ec2:CreateTags"], created_with_it, at_creation, why="set tags while a server starts, and never later"),
        _allow(
            ["ssm:GetParameter", "ssm:GetParameters"],
            [substituted("arn:${AWS::Partition}:ssm:${AWS::Region}::parameter/aws/service/*")],
            why="find the newest image in AWS's public parameters",
        ),
        _allow(
            ["iam:PassRole"],
            list(references["servers"]),
            passing,
            why="give servers the roles of servers, and no others",
        ),
        *_arm_servers(project, references),
    ]


def _arm_servers(project: str, references: Mapping[str, Any]) -> list[Statement]:
    """Return what making the kill schedule of a server needs."""
    arming = {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}
    return [
        _allow(
            ["scheduler:CreateSchedule"],
            [_schedule(project, names.KILL_PREFIX + "*")],
            why="create the kill schedule of each server",
        ),
        _allow(["iam:PassRole"], [references["kill"]], arming, why="give a kill schedule its role"),
    ]


def _terminate_servers(project: str) -> list[Statement]:
    why = "end servers with the project's tag"
    return [_allow(["ec2:TerminateInstances"], [_ec2("instance/*")], _tagged(project), why=why)]


def _read_results(bucket: str, jobs: Sequence[str]) -> list[Statement]:
    """Return what reading the results of these jobs needs."""
    if not jobs:
        return []
    why = f"read what {', '.join(jobs)} stored, for reads"
    return [_allow(["s3:GetObject"], [_objects(bucket, f"out/{job}/*") for job in jobs], why=why)]


def _read_objects(places: Sequence[str]) -> list[Statement]:
    """Return what reading these places needs: their objects, and the lists of the keys there."""
    if not places:
        return []
    found = [Place.of(place) for place in sorted(places)]
    buckets = list(dict.fromkeys(place.bucket for place in found))
    why = f"read {', '.join(map(str, found))}, for reads"
    inside = [each for place in found for each in _inside(place)]
    statements = [
        _allow(["s3:GetObject", "s3:GetObjectVersion"], inside, why=why),
        _allow(["s3:GetBucketLocation"], [_bucket(bucket) for bucket in buckets], why="ask in which region that is"),
    ]
    for bucket in buckets:
        prefixes = [place.prefix for place in found if place.bucket == bucket]
        statements.append(_list(bucket, prefixes))
    return statements


def _list(bucket: str, prefixes: Sequence[str]) -> Statement:
    """Return the permission to list these prefixes of a bucket."""
    if "" in prefixes:  # a list of the whole bucket may come without a prefix
        return _allow(["s3:ListBucket"], [_bucket(bucket)], why=f"list the keys of {bucket}")
    listed = [f"{prefix}/*" for prefix in prefixes]
    condition = {"StringLike": {"s3:prefix": listed}}
    return _allow(["s3:ListBucket"], [_bucket(bucket)], condition, why=f"list the keys of {bucket} that are below it")


def _write_objects(places: Sequence[str]) -> list[Statement]:
    if not places:
        return []
    found = [Place.of(place) for place in sorted(places)]
    resources = [each for place in found for each in _inside(place)]
    why = f"store and replace objects in {', '.join(map(str, found))}, for writes"
    return [_allow(["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"], resources, why=why)]


def _inside(place: Place) -> list[Any]:
    """Return the objects of a place: those below it, and the one of its name, for which readers of folders ask first."""
    if not place.prefix:
        return [_objects(place.bucket, "*")]
    return [_objects(place.bucket, place.prefix), _objects(place.bucket, f"{place.prefix}/*")]


def _read_parameters(sources: Sequence[str]) -> list[Statement]:
    """Return what reading these parameters of SSM needs. Their key may be a customer's: it decrypts nothing but them."""
    paths = [source.removeprefix(SSM) for source in sources if source.startswith(SSM)]
    if not paths:
        return []
    parameters = [_arn("ssm", f"parameter/{path.removeprefix('/')}") for path in paths]
    why = f"read the parameters {', '.join(paths)}, for secrets"
    return [_allow(["ssm:GetParameter"], parameters, why=why), _decrypt("ssm", "PARAMETER_ARN", parameters)]


def _read_secrets(sources: Sequence[str]) -> list[Statement]:
    """Return what reading these secrets of Secrets Manager needs. It adds six characters to the name of each."""
    stored = {secret_name(source) for source in sources if source.startswith(SECRETS_MANAGER)}
    if not stored:
        return []
    secrets = [_arn("secretsmanager", f"secret:{name}-??????") for name in sorted(stored)]
    why = f"read the secrets {', '.join(sorted(stored))}, for secrets"
    return [
        _allow(["secretsmanager:GetSecretValue"], secrets, why=why),
        _decrypt("secretsmanager", "SecretARN", secrets),
    ]


def _decrypt(service: str, context: str, arns: Sequence[Any]) -> Statement:
    """Return the permission to decrypt what this service stores under these ARNs, with whichever key of the account it did that."""
    via = substituted(f"{service}.${{AWS::Region}}.${{AWS::URLSuffix}}")
    condition = {
        "StringEquals": {"kms:ViaService": via},
        "StringLike": {f"kms:EncryptionContext:{context}": list(arns)},
    }
    return _allow(["kms:Decrypt"], [_arn("kms", "key/*")], condition, why="decrypt them, and only them")


def _send_dead_letters(references: Mapping[str, Any]) -> list[Statement]:
    why = "leave what failed in the queue of dead letters"
    return [_allow(["sqs:SendMessage"], [references["dead_letters"]], why=why)]


def _write_logs(project: str) -> list[Statement]:
    stream = _arn("logs", f"log-group:/dayfly/{project}/*")
    return [_allow(["logs:CreateLogStream", "logs:PutLogEvents"], [stream], why="write its own log")]


def _allow(
    actions: list[str], resources: list[Any], condition: Mapping[str, Any] | None = None, *, why: str = ""
) -> Statement:
    """Return a statement. `why`: what it allows, in plain words, as `dayfly permissions` shows it."""
    statement = Statement({"Effect": "Allow", "Action": actions, "Resource": resources})
    statement.why = why
    if condition is not None:
        statement["Condition"] = dict(condition)
    return statement


def substituted(text: str) -> dict[str, str]:
    """Return a text in which CloudFormation replaces the names in `${...}`."""
    return {"Fn::Sub": text}


def _objects(bucket: str, keys: str) -> dict[str, str]:
    return substituted(f"arn:${{AWS::Partition}}:s3:::{bucket}/{keys}")


def _bucket(name: str) -> dict[str, str]:
    return substituted(f"arn:${{AWS::Partition}}:s3:::{name}")


def _arn(service: str, resource: str) -> dict[str, str]:
    return substituted(f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{resource}")


def _ec2(resource: str) -> dict[str, str]:
    return _arn("ec2", resource)


def _shared(resource: str) -> dict[str, str]:
    """Return a resource of EC2 that may belong to another account, which shares it with this one."""
    return substituted(f"arn:${{AWS::Partition}}:ec2:${{AWS::Region}}:*:{resource}")


def _schedule(project: str, name: str) -> dict[str, str]:
    group = names.stack(project)
    return _arn("scheduler", f"schedule/{group}/{name}")


def _tagged(project: str) -> dict[str, Any]:
    return {"StringEquals": {f"aws:ResourceTag/{names.TAG_PROJECT}": project}}
