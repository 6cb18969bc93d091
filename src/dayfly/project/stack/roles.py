"""The roles of the stack. core/permissions.py says what each may do."""

from __future__ import annotations

from typing import Any

from dayfly.core import names, permissions
from dayfly.project.stack.given import StackInput, attribute, tag_list


def roles(given: StackInput) -> dict[str, Any]:
    project, group = given.project, names.stack(given.project)
    refs = {
        "server": attribute("ServerRole", "Arn"),
        "kill": attribute("KillRole", "Arn"),
        "dead_letters": attribute("DeadLetters", "Arn"),
    }
    owners = sorted({image.owner for image in given.images})
    documents = {
        "LauncherRole": (permissions.trust("lambda"), permissions.launcher(project, given.bucket, refs, owners)),
        "SweeperRole": (permissions.trust("lambda"), permissions.sweeper(project, given.bucket, refs, owners)),
        "ServerRole": (permissions.trust("ec2"), permissions.server(given.bucket)),
        "ScheduleRole": (permissions.trust("scheduler", group), permissions.schedules(project, refs)),
        "KillRole": (permissions.trust("scheduler", group), permissions.kill(project, refs)),
    }
    roles = {name: _role(given, trusted, may) for name, (trusted, may) in documents.items()}
    profile = {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [{"Ref": "ServerRole"}]}}
    return {**roles, "ServerProfile": profile}


def _role(given: StackInput, trusted: Any, may: Any) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "AssumeRolePolicyDocument": trusted,
        "Policies": [{"PolicyName": "dayfly", "PolicyDocument": may}],
        "Tags": tag_list(given),
    }
    if given.permissions_boundary is not None:
        properties["PermissionsBoundary"] = given.permissions_boundary
    return {"Type": "AWS::IAM::Role", "Properties": properties}
