"""The roles of a rendered stack: what is judged. A project of three jobs, of which one has every kind of permission."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dayfly.core import deployer, names, resource_policies
from dayfly.core.permission_sets import PermissionSet
from dayfly.project.stack import template
from dayfly.project.stack.given import ServerKind, job_role, server_role
from model.cloud import PROJECT
from project.rendering import ACCOUNT, REGION, arn, render
from project.stack_input import DEBIAN, GIVEN

BUCKET = names.bucket(PROJECT, ACCOUNT, REGION)
WORKGROUP = f"arn:aws:athena:{REGION}:{ACCOUNT}:workgroup/lake"
INGEST = PermissionSet(
    reads=("s3://acme-raw/events/", "job:pi"),
    writes=("s3://acme-lake/raw/",),
    secrets=("ssm:/lake/db", "secretsmanager:lake/api#KEY"),
    policy={
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "athena:StartQueryExecution", "Resource": WORKGROUP}],
    },
)
PLAIN = PermissionSet()
KINDS = (ServerKind(image=DEBIAN), ServerKind(image=DEBIAN, permissions=INGEST))
STACK = template.build(
    replace(GIVEN, project=PROJECT, bucket=BUCKET, permissions_boundary=None, kinds=KINDS, results=("project",))
)
RENDERED = render(STACK)
BUCKET_POLICY = resource_policies.bucket_policy(BUCKET)


@dataclass(frozen=True)
class Role:
    """One role: its ARN, the policies that it has, and the ARN of a session of it."""

    name: str
    arn: str
    policies: tuple[Mapping[str, Any], ...]
    session: str


def _of_stack(name: str, logical: str, session: str) -> Role:
    own = [each["PolicyDocument"] for each in RENDERED[logical]["Policies"]]
    attached = [
        each["PolicyDocument"]
        for each in RENDERED.values()
        if each.get("Roles") == [logical] and "PolicyDocument" in each
    ]
    role = arn(logical, STACK)
    return Role(
        name,
        role,
        (*own, *attached),
        role.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/") + f"/{session}",
    )


ROLES = {
    role.name: role
    for role in (
        _of_stack("launcher", "LauncherRole", "launcher"),
        _of_stack("sweeper", "SweeperRole", "sweeper"),
        _of_stack("schedules", "ScheduleRole", "scheduler"),
        _of_stack("kill", "KillRole", "scheduler"),
        _of_stack("server", server_role(PLAIN), "i-0123456789abcdef0"),
        _of_stack("server of ingest", server_role(INGEST), "i-0123456789abcdef0"),
        _of_stack("job ingest", job_role(INGEST), "job"),
        Role(
            "deployer",
            f"arn:aws:iam::{ACCOUNT}:user/dora",
            (deployer.deployer(PROJECT, ACCOUNT, REGION),),
            f"arn:aws:iam::{ACCOUNT}:user/dora",
        ),
    )
}
