"""The roles of the stack. core/permissions.py says what each may do."""

from __future__ import annotations

from typing import Any

from dayfly.core import names, permissions, resource_policies
from dayfly.core.permission_sets import PermissionSet
from dayfly.project.stack.given import StackInput, attribute, job_role, server_profile, server_role, tag_list


def roles(given: StackInput) -> dict[str, Any]:
    project, group = given.project, names.stack(given.project)
    refs = {
        "servers": [attribute(server_role(each), "Arn") for each in given.sets],
        "kill": attribute("KillRole", "Arn"),
        "dead_letters": attribute("DeadLetters", "Arn"),
        "topic": {"Ref": "Topic"},
    }
    owners = sorted({kind.image.owner for kind in given.kinds})
    documents = {
        "LauncherRole": (resource_policies.trust("lambda"), permissions.launcher(project, given.bucket, refs, owners)),
        "SweeperRole": (
            resource_policies.trust("lambda"),
            permissions.sweeper(project, given.bucket, refs, owners, given.results),
        ),
        "ScheduleRole": (resource_policies.trust("scheduler", group), permissions.schedules(project, refs)),
        "KillRole": (resource_policies.trust("scheduler", group), permissions.kill(project, refs)),
    }
    found = {name: _role(given, trusted, dayfly=may) for name, (trusted, may) in documents.items()}
    for granted in given.sets:
        found |= _of_set(given, granted)
    return found


def _of_set(given: StackInput, granted: PermissionSet) -> dict[str, Any]:
    """Return the roles of one permission set: the servers' with its profile, and the jobs' if they have rights of their own."""
    server = server_role(granted)
    found = {
        server: _role(given, resource_policies.trust("ec2"), dayfly=permissions.server(given.bucket, granted)),
        server_profile(granted): {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [{"Ref": server}]}},
    }
    if granted.has_job_role:
        found |= _of_jobs(given, granted)
    return found


def _of_jobs(given: StackInput, granted: PermissionSet) -> dict[str, Any]:
    """Return the role of the jobs, and the policy by which their servers assume it.

    That policy is a resource of its own, because the jobs' role names the servers' role, so it has to be made after it.
    """
    server = server_role(granted)
    policies = {"dayfly": permissions.job(granted), "own": granted.policy}
    may = {name: document for name, document in policies.items() if document and document["Statement"]}
    assuming = {
        "PolicyName": "job",
        "PolicyDocument": permissions.assume(attribute(job_role(granted), "Arn")),
        "Roles": [{"Ref": server}],
    }
    return {
        job_role(granted): _role(given, resource_policies.trust_role(attribute(server, "Arn")), **may),
        f"Assume{granted.id}": {"Type": "AWS::IAM::Policy", "Properties": assuming},
    }


def _role(given: StackInput, trusted: Any, **may: Any) -> dict[str, Any]:
    """Return a role. `may`: its policies by name."""
    properties: dict[str, Any] = {
        "AssumeRolePolicyDocument": trusted,
        "Policies": [{"PolicyName": name, "PolicyDocument": each} for name, each in may.items()],
        "Tags": tag_list(given),
    }
    if given.permissions_boundary is not None:
        properties["PermissionsBoundary"] = given.permissions_boundary
    return {"Type": "AWS::IAM::Role", "Properties": properties}
