"""The permissions of each role: exactly the calls that its flows make. For a security review, reading this file is enough.

Documents are values for CloudFormation (ARNs by `Fn::Sub`). The launcher starts servers and terminates none. The sweeper terminates
them, and starts one only for an open run. A server writes under its own aws:userid, reads its own go.json, and gets what its job
declares: results of other jobs, and secrets. The command has another role, with what the job reads and writes elsewhere, or none. To
walk a run means to take the steps that are due (flows/walk.py). What a user's own policy may not say is in own_policy.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dayfly.core import names
from dayfly.core.model import Job

Statement = dict[str, Any]
Document = dict[str, Any]

LAUNCHED = ("instance", "volume", "network-interface", "fleet", "spot-instances-request")
"""The kinds of resources that a launch creates."""


JOB = "job:"
"""What an element of `reads` begins with if it names a job of the project."""
S3 = "s3://"
SSM = "ssm:"
SECRETS_MANAGER = "secretsmanager:"


@dataclass(frozen=True, kw_only=True)
class PermissionSet:
    """What jobs may do beyond their own run. Jobs with equal sets share roles and launch templates. `secrets`: where they are stored."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    policy: Mapping[str, Any] | None = None

    @property
    def id(self) -> str:
        """Return 8 hex digits that name the set, in any order of its lists; empty for the set without any permission."""
        if self == NOTHING:
            return ""
        content = (sorted(self.reads), sorted(self.writes), sorted(self.secrets), self.policy)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def has_job_role(self) -> bool:
        """Return whether the command gets credentials. Without a right of its own it gets none."""
        return bool(self.objects_read or self.writes or self.policy)

    @property
    def objects_read(self) -> tuple[str, ...]:
        """Return what the set reads in other buckets."""
        return tuple(each for each in self.reads if not each.startswith(JOB))


NOTHING = PermissionSet()
MOST_SETS = 15
"""The most permission sets of one project. The launcher may pass the role of each, and of as many that versions before have, and IAM
limits the size of its policy."""


def set_of(job: Job) -> PermissionSet:
    """Return the permission set of a job."""
    sources = tuple(sorted(set(job.secrets.values())))
    return PermissionSet(reads=job.reads, writes=job.writes, secrets=sources, policy=job.policy)


def jobs_read(reads: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the jobs whose last good result these `reads` name."""
    return tuple(each.removeprefix(JOB) for each in reads if each.startswith(JOB))


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


def trust_role(arn: Any) -> Document:
    """Return the trust policy that lets the role with this ARN assume a role."""
    return document({"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "sts:AssumeRole"})


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


def server(bucket: str, granted: PermissionSet = NOTHING) -> Document:
    """Return a server's policy: write under its own id, read what is sent to it, the secrets of its job, and the results that it reads.

    It cannot list or call EC2, and reads the outputs of no other job.
    """
    own = "${!aws:userid}"
    received = [f"go/{own}/*", *(f"out/{job}/*" for job in sorted(jobs_read(granted.reads)))]
    return document(
        _allow(["s3:PutObject", "s3:AbortMultipartUpload"], [_objects(bucket, f"out/*/{own}/*")]),
        _allow(["s3:GetObject"], [_objects(bucket, keys) for keys in received]),
        *_read_parameters(granted.secrets),
        *_read_secrets(granted.secrets),
    )


def assume(role: Any) -> Document:
    """Return what a server needs beside its own policy to take the credentials of its job: assume this one role."""
    return document(_allow(["sts:AssumeRole"], [role]))


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


def characters(policy: Mapping[str, Any]) -> int:
    """Return how many characters IAM counts of a policy: at most that many, because what CloudFormation fills in is shorter."""
    return len(json.dumps(policy, separators=(",", ":")))


def _walk_runs(project: str, bucket: str) -> list[Statement]:
    """Return what walking a run needs: records in the bucket, and reading servers and kill schedules."""
    records = ("open/*", "requests/*", "slots/*", "paused/*", "runs/*", "go/*", "jobs/*", "out/*", "latest/*", "done/*")
    signed = ("bundles/*", "agents/*")  # a link has the rights of its signer
    writes = ("open/*", "requests/*", "slots/*", "runs/*", "go/*", "latest/*", "done/*")
    kills = _schedule(project, names.KILL_PREFIX + "*")
    return [
        _allow(["s3:GetObject"], [_objects(bucket, prefix) for prefix in (*records, *signed)]),
        _allow(["s3:PutObject"], [_objects(bucket, prefix) for prefix in writes]),
        _allow(["s3:DeleteObject"], [_objects(bucket, "open/*"), _objects(bucket, "slots/*")]),
        _allow(["s3:ListBucket"], [_bucket(bucket)]),
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
    images = _sub("arn:${AWS::Partition}:ec2:${AWS::Region}::image/*")
    created_with_it = [_ec2(f"{kind}/*") for kind in LAUNCHED]
    passing = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    arming = {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}
    return [
        # EC2 may not know the owner yet when it judges CreateFleet; RunInstances follows, with the same image.
        _allow(["ec2:CreateFleet"], [images]),
        _allow(["ec2:RunInstances"], [images], owned),
        _allow(launch, [_shared("subnet/*"), _shared("security-group/*")]),
        _allow(["ec2:RunInstances"], [_sub("arn:${AWS::Partition}:ec2:${AWS::Region}::snapshot/*")]),
        _allow(
            launch, [_ec2("launch-template/*")], {"StringEquals": {f"aws:ResourceTag/{names.TAG_PROJECT}": project}}
        ),
        _allow(launch, created_with_it, created),
        _allow(["ec2:CreateTags"], created_with_it, at_creation),
        _allow(
            ["ssm:GetParameter", "ssm:GetParameters"],
            [_sub("arn:${AWS::Partition}:ssm:${AWS::Region}::parameter/aws/service/*")],
        ),
        _allow(["iam:PassRole"], list(references["servers"]), passing),
        _allow(["scheduler:CreateSchedule"], [_schedule(project, names.KILL_PREFIX + "*")]),
        _allow(["iam:PassRole"], [references["kill"]], arming),
    ]


def _terminate_servers(project: str) -> list[Statement]:
    return [_allow(["ec2:TerminateInstances"], [_ec2("instance/*")], _tagged(project))]


def _read_objects(places: Sequence[str]) -> list[Statement]:
    """Return what reading these places needs: their objects, and the lists of the keys there."""
    if not places:
        return []
    found = [Place.of(place) for place in sorted(places)]
    buckets = list(dict.fromkeys(place.bucket for place in found))
    statements = [
        _allow(["s3:GetObject", "s3:GetObjectVersion"], [each for place in found for each in _inside(place)]),
        _allow(["s3:GetBucketLocation"], [_bucket(bucket) for bucket in buckets]),
    ]
    for bucket in buckets:
        prefixes = [place.prefix for place in found if place.bucket == bucket]
        statements.append(_list(bucket, prefixes))
    return statements


def _list(bucket: str, prefixes: Sequence[str]) -> Statement:
    """Return the permission to list these prefixes of a bucket."""
    if "" in prefixes:  # a list of the whole bucket may come without a prefix
        return _allow(["s3:ListBucket"], [_bucket(bucket)])
    listed = [f"{prefix}/*" for prefix in prefixes]
    return _allow(["s3:ListBucket"], [_bucket(bucket)], {"StringLike": {"s3:prefix": listed}})


def _write_objects(places: Sequence[str]) -> list[Statement]:
    if not places:
        return []
    resources = [each for place in sorted(places) for each in _inside(Place.of(place))]
    return [_allow(["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"], resources)]


class Place(NamedTuple):
    """A place in S3. `prefix` has no `/` at its end; it is empty for a whole bucket."""

    bucket: str
    prefix: str

    @classmethod
    def of(cls, text: str) -> Place:
        """Return the place that `s3://BUCKET/PREFIX` names."""
        bucket, _, prefix = text.removeprefix(S3).partition("/")
        return cls(bucket, prefix.rstrip("/"))


def _inside(place: Place) -> list[Any]:
    """Return the objects of a place: those below it, and the one of its name, for which readers of folders ask first."""
    if not place.prefix:
        return [_objects(place.bucket, "*")]
    return [_objects(place.bucket, place.prefix), _objects(place.bucket, f"{place.prefix}/*")]


def _read_parameters(sources: Sequence[str]) -> list[Statement]:
    """Return what reading these parameters of SSM needs. Their key may be a customer's: it decrypts nothing but them."""
    paths = [source.removeprefix(SSM).removeprefix("/") for source in sources if source.startswith(SSM)]
    if not paths:
        return []
    parameters = [_arn("ssm", f"parameter/{path}") for path in paths]
    return [_allow(["ssm:GetParameter"], parameters), _decrypt("ssm", "PARAMETER_ARN", parameters)]


def _read_secrets(sources: Sequence[str]) -> list[Statement]:
    """Return what reading these secrets of Secrets Manager needs. It adds six characters to the name of each."""
    stored = {secret_name(source) for source in sources if source.startswith(SECRETS_MANAGER)}
    if not stored:
        return []
    secrets = [_arn("secretsmanager", f"secret:{name}-??????") for name in sorted(stored)]
    return [_allow(["secretsmanager:GetSecretValue"], secrets), _decrypt("secretsmanager", "SecretARN", secrets)]


def secret_name(source: str) -> str:
    """Return NAME of `secretsmanager:NAME#KEY`."""
    return source.removeprefix(SECRETS_MANAGER).partition("#")[0]


def _decrypt(service: str, context: str, arns: Sequence[Any]) -> Statement:
    """Return the permission to decrypt what this service stores under these ARNs, with whichever key of the account it did that."""
    via = _sub(f"{service}.${{AWS::Region}}.${{AWS::URLSuffix}}")
    condition = {
        "StringEquals": {"kms:ViaService": via},
        "StringLike": {f"kms:EncryptionContext:{context}": list(arns)},
    }
    return _allow(["kms:Decrypt"], [_arn("kms", "key/*")], condition)


def _send_dead_letters(references: Mapping[str, Any]) -> list[Statement]:
    return [_allow(["sqs:SendMessage"], [references["dead_letters"]])]


def _write_logs(project: str) -> list[Statement]:
    stream = _arn("logs", f"log-group:/dayfly/{project}/*")
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


def _bucket(name: str) -> dict[str, str]:
    return _sub(f"arn:${{AWS::Partition}}:s3:::{name}")


def _arn(service: str, resource: str) -> dict[str, str]:
    return _sub(f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{resource}")


def _ec2(resource: str) -> dict[str, str]:
    return _arn("ec2", resource)


def _shared(resource: str) -> dict[str, str]:
    """Return a resource of EC2 that may belong to another account, which shares it with this one."""
    return _sub(f"arn:${{AWS::Partition}}:ec2:${{AWS::Region}}:*:{resource}")


def _schedule(project: str, name: str) -> dict[str, str]:
    group = names.stack(project)
    return _arn("scheduler", f"schedule/{group}/{name}")


def _tagged(project: str) -> dict[str, Any]:
    return {"StringEquals": {f"aws:ResourceTag/{names.TAG_PROJECT}": project}}
