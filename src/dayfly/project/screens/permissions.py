"""Screen of `permissions`: what each role of the project may do, and why. The words are those of core/permissions.py."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dayfly.core import deployer, names, permissions
from dayfly.core.model import Job, Project, results_of
from dayfly.core.permission_sets import PermissionSet, set_of
from dayfly.core.permissions import Document, Statement
from dayfly.project import formatting

_PSEUDO = re.compile(r"\$\{(!?)([A-Za-z:]+)\}")


@dataclass(frozen=True, kw_only=True)
class Role:
    """One role: who has it, and its policies. `note`: what it is for, or that there is none."""

    who: str
    note: str
    policies: tuple[Document, ...] = ()


def roles_of(project: Project, job: Job | None = None) -> tuple[Role, ...]:
    """Return the roles of the project, with those of one job's command and server or of all jobs."""
    jobs = [job] if job is not None else list(project.jobs.values())
    sets: dict[str, tuple[PermissionSet, list[str]]] = {}
    for each in jobs:
        sets.setdefault(set_of(each).id, (set_of(each), []))[1].append(each.name)
    found = [role for granted, of in sets.values() for role in _of_set(project, granted, of)]
    return (*found, *_of_project(project))


def _of_set(project: Project, granted: PermissionSet, jobs: Sequence[str]) -> Iterator[Role]:
    named = ", ".join(jobs)
    own: list[Any] = [permissions.job(granted)]
    server: list[Any] = [permissions.server(_bucket(project), granted)]
    if granted.policy is not None:
        own.append(granted.policy)
    if granted.has_job_role:
        server.append(permissions.assume(_role(project, "JobRole")))
        yield Role(who=f"command of {named}", note="its own role", policies=_filled(project, own))
    else:
        yield Role(
            who=f"command of {named}", note="no role and no credentials: it has no reads from S3, writes or policy"
        )
    yield Role(who=f"server of {named}", note="for the agent, not for the command", policies=_filled(project, server))


def _of_project(project: Project) -> Iterator[Role]:
    name, bucket = project.name, _bucket(project)
    references = {
        "servers": [_role(project, "ServerRole")],
        "kill": _role(project, "KillRole"),
        "dead_letters": f"arn:aws:sqs:{_region(project)}:{_account(project)}:dayfly-{name}-dead-letters",
        "topic": f"arn:aws:sns:{_region(project)}:{_account(project)}:dayfly-{name}",
    }
    owners = ["OWNER-OF-THE-IMAGE"]
    documents = (
        ("launcher", "starts servers; it can end none", permissions.launcher(name, bucket, references, owners)),
        (
            "sweeper",
            "ends servers, and goes on where the launcher stopped",
            permissions.sweeper(name, bucket, references, owners, results_of(project)),
        ),
        ("schedules", "of jobs and of the sweeper", permissions.schedules(name, references)),
        ("kill schedules", "one for each server", permissions.kill(name, references)),
    )
    for who, note, document in documents:
        yield Role(who=who, note=note, policies=_filled(project, [document]))


def role_lines(project: Project, roles: Sequence[Role]) -> tuple[str, ...]:
    """Return what each role may do, one line for each statement."""
    lines = [f"{project.name}  what each role may do; what is not here is refused", ""]
    for role in roles:
        lines.append(f"{role.who}: {role.note}")
        rows = [(_words(each), _actions(each)) for policy in role.policies for each in _statements(policy)]
        lines += [f"  {line}" for line in formatting.table(rows)]
        lines.append("")
    return tuple(lines)


def role_documents(roles: Sequence[Role]) -> list[dict[str, Any]]:
    return [{"role": role.who, "note": role.note, "policies": list(role.policies)} for role in roles]


def deployer_document(project: Project) -> Document:
    """Return the policy that the person who deploys needs."""
    return deployer.deployer(project.name, _account(project), _region(project), project.permissions_boundary)


def _words(statement: Mapping[str, Any]) -> str:
    """Return what a statement allows. One of the user's own policy has no words but its own."""
    if isinstance(statement, Statement):
        return statement.why
    resources = statement.get("Resource", statement.get("NotResource", "*"))
    return f"policy: {str(statement['Effect']).lower()} on {', '.join(_list(resources))}"


def _actions(statement: Mapping[str, Any]) -> str:
    if "NotAction" in statement:
        return f"all but {', '.join(_list(statement['NotAction']))}"
    return ", ".join(_list(statement["Action"]))


def _statements(policy: Mapping[str, Any]) -> list[Any]:
    found = policy["Statement"]
    return found if isinstance(found, list) else [found]


def _list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _filled(project: Project, documents: Sequence[Any]) -> tuple[Document, ...]:
    """Return the documents with the names that CloudFormation would put in; those without a statement are left out."""
    return tuple(_fill(project, each) for each in documents if each["Statement"])


def _fill(project: Project, value: Any) -> Any:
    match value:
        case {"Fn::Sub": str() as text}:
            return _PSEUDO.sub(lambda found: _substitute(project, found), text)
        case {"Ref": "AWS::AccountId"}:
            return _account(project)
        case Statement():
            filled = Statement({key: _fill(project, each) for key, each in value.items()})
            filled.why = value.why
            return filled
        case Mapping():
            return {key: _fill(project, each) for key, each in value.items()}
        case list():
            return [_fill(project, each) for each in value]
    return value


def _substitute(project: Project, found: re.Match[str]) -> str:
    if found[1]:
        return f"${{{found[2]}}}"
    values = {
        "AWS::Partition": "aws",
        "AWS::Region": _region(project),
        "AWS::AccountId": _account(project),
        "AWS::URLSuffix": "amazonaws.com",
    }
    return values[found[2]]


def _bucket(project: Project) -> str:
    return names.bucket(project.name, _account(project), _region(project))


def _role(project: Project, logical: str) -> str:
    """Return the ARN of a role of the stack; CloudFormation makes the end of its name."""
    return f"arn:aws:iam::{_account(project)}:role/{names.stack(project.name)}-{logical}*"


def _account(project: Project) -> str:
    return project.account or "*"


def _region(project: Project) -> str:
    return project.regions[0]
