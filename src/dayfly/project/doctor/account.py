"""Look at an account before anything is deployed: whose it is, its plan, quotas, roles, network, images, names and clock.

Each flow returns its findings and changes nothing. What they mean is decided in findings.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dayfly.core import names
from dayfly.core.deployer import deployer
from dayfly.core.model import Project
from dayfly.errors import DayflyError
from dayfly.flows.calls import (
    FindBucket,
    FindClock,
    FindDenied,
    FindPlan,
    FindQuota,
    FindRoutes,
    FindStack,
    FindVcpus,
    Flow,
    ListSchedules,
    NoStack,
    Now,
    Wanted,
    ask,
)
from dayfly.project.deploy.discovery import SPOT, find_image, find_network, find_pools, lacks_spot_role
from dayfly.project.deploy.scope import Scope
from dayfly.project.doctor import findings
from dayfly.project.doctor.findings import Finding, Quota, fail, ok, warn

Found = tuple[Finding, ...]
_SHOWN = 4


def credentials(scope: Scope, project: Project, *, is_local: bool) -> Finding:
    """Return whether the credentials are those of the account in the file."""
    if is_local:
        return ok("credentials", f"{scope.who}, the administrator of the local cloud")
    if project.account is None:
        text = f"{scope.who}; dayfly.toml names no account, so nothing stops a deploy to a wrong one"
        return warn("credentials", text, f'account = "{scope.account}"')
    if project.account != scope.account:
        text = f"{scope.who} is of account {scope.account}; dayfly.toml names {project.account}"
        return fail("credentials", text, f"AWS_PROFILE=<a profile of {project.account}> dayfly doctor")
    return ok("credentials", f"{scope.who}; the account is the one in dayfly.toml")


_INSTEAD = {
    "ec2:Describe*": ("ec2:DescribeInstances", "ec2:DescribeSubnets"),
    "lambda:*": ("lambda:CreateFunction", "lambda:InvokeFunction", "lambda:PutFunctionConcurrency"),
    "scheduler:*": ("scheduler:CreateSchedule", "scheduler:CreateScheduleGroup"),
    "events:*": ("events:PutRule", "events:PutTargets"),
    "sqs:*": ("sqs:CreateQueue", "sqs:SetQueueAttributes"),
    "ssm:*": ("ssm:PutParameter", "ssm:DeleteParameter"),
    "sns:*": ("sns:CreateTopic", "sns:Subscribe"),
    "logs:*": ("logs:CreateLogGroup", "logs:PutRetentionPolicy"),
}
"""IAM simulates actions, not patterns: those that a deploy does first stand for a pattern."""


def rights(scope: Scope, project: Project) -> Flow[Found]:
    """Look up whether the caller may do what a deploy does (core/deployer.py), by IAM's simulation."""
    needed = deployer(project.name, scope.account, scope.region, project.permissions_boundary)["Statement"]
    wanted = tuple(each for statement in needed for each in _wanted(statement))
    found = yield from ask(FindDenied(wanted))
    count = len({action for each in wanted for action in each.actions})
    if found:
        text = f"may not {', '.join(found[:_SHOWN])}"
        if len(found) > _SHOWN:
            text += f" and {len(found) - _SHOWN} more"
        return (fail("rights", text, "dayfly permissions --deployer   (prints the policy to ask for)"),)
    return (ok("rights", f"may deploy ({count} actions looked up)"),)


def _wanted(statement: Mapping[str, Any]) -> Iterator[Wanted]:
    """Yield what a statement allows, one resource at a time; nothing if it has a condition, whose keys a simulation does not know."""
    if "Condition" in statement:
        return
    actions = tuple(real for action in statement["Action"] for real in _INSTEAD.get(action, (action,)))
    for resource in statement["Resource"]:
        yield Wanted(actions=actions, resource=resource)


def plan(_scope: Scope, project: Project) -> Flow[Found]:
    """Look up the account's plan."""
    match (yield from ask(FindPlan())):
        case "free":
            return (findings.free_plan(project.jobs.values()),)
    return (ok("plan", "a paid one: it may start every type of server"),)


def limits(_scope: Scope, project: Project) -> Flow[Found]:
    """Compare the jobs' vCPUs with the account's quotas."""
    types = tuple(sorted({kind for job in project.jobs.values() for kind in job.servers}))
    vcpus = yield from ask(FindVcpus(types))
    needed = findings.needs(project.jobs.values(), vcpus)
    allowed: dict[Quota, float | None] = {}
    for quota in dict.fromkeys(need.quota for need in needed):
        allowed[quota] = yield from ask(FindQuota(quota.code))
    return findings.limits(needed, allowed)


def types(scope: Scope, project: Project) -> Flow[Found]:
    """Look whether the subnets' zones offer every type that a job names. find_pools raises what is wrong."""
    found = yield from find_network(scope.region, project.networks.get(scope.region))
    pools = yield from find_pools(scope.region, project, found)
    few = [f"{name} has one pool, {only[0].type} in {only[0].subnet}" for name, only in pools.items() if len(only) == 1]
    if few:
        return (warn("types", f"{'; '.join(few)}: it does not start while that pool is empty", "name more types"),)
    return (ok("types", f"{sum(map(len, pools.values()))} pools: every type is offered in a zone of the subnets"),)


def spot_role(_scope: Scope, project: Project) -> Flow[Found]:
    """Look for the role that EC2 needs before an account's first spot server."""
    if all(job.market == "on-demand" for job in project.jobs.values()):
        return ()
    if (yield from lacks_spot_role(project)):
        text = "AWSServiceRoleForEC2Spot does not exist: the first spot launch of an account fails without it"
        make = f"aws iam create-service-linked-role --aws-service-name {SPOT}"
        return (fail("spot role", text, "dayfly deploy   (it makes the role)", make),)
    return (ok("spot role", "AWSServiceRoleForEC2Spot exists"),)


def network(scope: Scope, project: Project) -> Flow[Found]:
    """Look for a way to S3 from each subnet."""
    found = yield from find_network(scope.region, project.networks.get(scope.region))
    routes = yield from ask(FindRoutes(found.subnets))
    return findings.network(scope.region, routes, public_ip=found.public_ip)


def images(scope: Scope, project: Project) -> Flow[Found]:
    """Look for each image that a job names."""
    found: list[Finding] = []
    jobs = project.jobs.values()
    wanted = sorted({(job.image, job.architecture) for job in jobs})
    for name, architecture in wanted:
        try:
            yield from find_image(scope.region, name, architecture)
        except DayflyError as error:
            hints = [error.hint] if error.hint else []
            found.append(fail("images", error.message, *hints))
    if found:
        return tuple(found)
    return (ok("images", f"{', '.join(' for '.join(each) for each in wanted)}"),)


def reserved_names(scope: Scope, _project: Project) -> Flow[Found]:
    """Look whether something that is not this project's stack has the names that a deploy will take."""
    stack = yield from ask(FindStack(scope.stack))
    taken: list[Finding] = []
    if (yield from ask(FindBucket(scope.account))) == "denied":
        text = f"bucket {scope.bucket} belongs to another account, or these credentials may not read it"
        taken.append(fail("names", text, "rename the project"))
    if isinstance(stack, NoStack) and (yield from ask(ListSchedules())):
        text = f"schedule group {scope.stack} exists, and no stack of this project"
        remedy = f"aws scheduler delete-schedule-group --name {scope.stack}   (it deletes the schedules in it)"
        taken.append(fail("names", text, remedy, "or rename the project"))
    if taken:
        return tuple(taken)
    return (ok("names", f"bucket, stack and schedule group {names.stack(scope.project)} are this project's, or free"),)


def clock(_scope: Scope, _project: Project) -> Flow[Found]:
    """Compare this machine's clock with AWS's."""
    there = yield from ask(FindClock())
    return (findings.clock((yield from ask(Now())), there),)
