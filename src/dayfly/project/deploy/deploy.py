"""Make the cloud match a dayfly.toml: look at the account, build and plan, then apply. The same for AWS and the local cloud.

`look` and `apply` are flows; `prepare` runs on the laptop between them. The order of `apply`: bucket, code, stack, versions,
schedules. So a job's new version exists before a schedule can start a run of it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from dayfly.core import permission_sets
from dayfly.core.model import Deployed, Job, LaunchSettings, Pool, Project, Version, results_of
from dayfly.core.notification import NOBODY, Receivers, written_key
from dayfly.core.stored_files import STORED_AGAIN_AFTER
from dayfly.core.ticks import Zones
from dayfly.flows.calls import CreateLinkedRole, FindStack, Flow, Log, NoStack, Now, Sleep, Stack, Upload, ask
from dayfly.project.deploy import plan
from dayfly.project.deploy.bucket import make_bucket
from dayfly.project.deploy.discovery import (
    SPOT,
    FoundImage,
    FoundNetwork,
    find_image,
    find_network,
    find_pools,
    lacks_spot_role,
    require_boundary,
)
from dayfly.project.deploy.functions import functions_stopped, start_functions
from dayfly.project.deploy.notification import prepare_notification
from dayfly.project.deploy.packages import Folder, Packages, Say, build_packages, function_key
from dayfly.project.deploy.schedules import sync_schedules
from dayfly.project.deploy.scope import Scope
from dayfly.project.deploy.versions import deployed, paused, write_changes
from dayfly.project.stack import given, template
from dayfly.project.stack.change import StackWanted, apply_stack, is_current, must_be_made_again

_UNKNOWN = LaunchSettings(template="", template_version="", role_id="", image="", root_device="", subnets=())


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a deploy finds in the account: images, pools and versions by job, network, stack; whether the functions are stopped.

    `paused`: the jobs that are paused. A deploy keeps that.
    """

    images: Mapping[str, FoundImage]
    network: FoundNetwork
    pools: Mapping[str, tuple[Pool, ...]]
    stack: Stack | NoStack
    versions: Mapping[str, Version]
    lacks_spot_role: bool
    stopped: bool
    paused: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A planned deploy: the plan, and everything that `apply` needs. `fresh_key`: what signs webhooks if no key exists yet."""

    plan: plan.Plan
    found: Found
    wanted: Mapping[str, Deployed]
    packages: Packages
    stack: StackWanted
    tags: Mapping[str, str]
    notify: Receivers = NOBODY
    fresh_key: str = ""


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a deploy did. `schedules`: how many it changed; `uploaded`: how many files it stored.

    `unconfirmed`: e-mail addresses whose owners did not follow the link that SNS mailed them.
    """

    uploaded: int
    schedules: int
    effective_from: datetime
    unconfirmed: tuple[str, ...] = ()


def look(scope: Scope, project: Project) -> Flow[Found]:
    """Return what the account has. Raises FileError or SupplyError if it lacks what the file asks for."""
    images = {}
    for job in project.jobs.values():
        images[job.name] = yield from find_image(scope.region, job.image, job.architecture)
    yield from require_boundary(scope.account, project.permissions_boundary)
    network = yield from find_network(scope.region, project.networks.get(scope.region))
    return Found(
        images=images,
        network=network,
        pools=(yield from find_pools(scope.region, project, network)),
        stack=(yield from ask(FindStack(scope.stack))),
        versions=(yield from deployed(scope)),
        lacks_spot_role=(yield from lacks_spot_role(project)),
        stopped=(yield from functions_stopped(scope.project)),
        paused=(yield from paused(scope)),
    )


def prepare(
    scope: Scope, project: Project, found: Found, folder: Folder, zones: Zones, now: datetime, say: Say
) -> Prepared:
    """Build what has to be uploaded, and plan the deploy. Changes nothing in the cloud. Raises FileError."""
    planned = make_plan(scope, project, found, build_packages(project, found.images, folder, say), zones, now)
    return replace(planned, fresh_key=written_key(secrets.token_bytes(32)))


def make_plan(
    scope: Scope, project: Project, found: Found, packages: Packages, zones: Zones, now: datetime
) -> Prepared:
    """Compare the file with the account, and return the planned deploy."""
    kinds = _kinds(project.jobs.values(), found)
    # The stack keeps what versions in force use until the new ones are. Its digest leaves that out: it is no change of the file.
    kept = _kinds((each.job for each in found.versions.values() if isinstance(each, Deployed)), found)
    digest = template.digest(template.build(_stack_input(scope, project, found, packages, kinds)))
    resources = template.build(_stack_input(scope, project, found, packages, {**kept, **kinds}))
    since = plan.effective_from(now, found.versions)
    wanted = {
        name: Deployed(
            name=name,
            effective_from=since,
            job=job,
            code=packages.code(name),
            agent=packages.agent,
            launch=_launch(found, found.stack, job),
            tags=project.tags,
            deployed_by=scope.who,
        )
        for name, job in project.jobs.items()
    }
    zone = {job.timezone: zones(job.timezone) for job in project.jobs.values()}
    tags = given.all_tags(project.name, project.tags)
    return Prepared(
        plan=plan.Plan(
            changes=plan.job_changes(found.versions, wanted),
            schedules=plan.schedules(project.jobs, zone),
            stack=_stack_change(found.stack, digest),
            starts=found.stopped,
        ),
        found=found,
        wanted=wanted,
        packages=packages,
        stack=StackWanted(name=scope.stack, text=template.text(resources), digest=digest, tags=tags),
        tags=project.tags,
        notify=Receivers(addresses=project.notify),
    )


def apply(scope: Scope, prepared: Prepared) -> Flow[Done]:
    """Do what was planned. The new versions take effect in the second after they are written.

    Each part may be done twice, so an interrupted deploy can simply be repeated.
    """
    found = prepared.found
    yield from ask(Log("bucket", {}))
    yield from make_bucket(scope, prepared.tags)
    if found.lacks_spot_role:
        yield from ask(CreateLinkedRole(SPOT))
    yield from ask(Log("code", {}))
    uploaded = yield from _upload(prepared.packages)
    stack = found.stack
    if isinstance(stack, NoStack) or prepared.plan.stack:
        yield from ask(Log("stack", {}))
        stack = yield from apply_stack(prepared.stack, scope.poll_s)
    unconfirmed = yield from prepare_notification(scope, prepared.notify, prepared.fresh_key, prepared.tags)
    # A destroy that was cut off left them stopped.
    yield from start_functions(scope)
    yield from ask(Log("jobs", {}))
    changes = plan.job_changes(found.versions, _with_launch(prepared, stack))
    since = plan.effective_from((yield from ask(Now())), found.versions)
    yield from write_changes(changes, since, scope.who)
    # A sweep that began before the versions named them may just have removed files that were old.
    uploaded += yield from _upload(prepared.packages)
    yield from ask(Log("schedules", {}))
    changed = yield from sync_schedules(scope, prepared.plan.schedules, stack.outputs)
    yield from _sleep_until(since)
    return Done(uploaded=uploaded, schedules=changed, effective_from=since, unconfirmed=unconfirmed)


def _upload(packages: Packages) -> Flow[int]:
    """Store the files that the bucket lacks, and make the others young. Returns how many it lacked."""
    stored, fresh = 0, (yield from ask(Now())) - STORED_AGAIN_AFTER
    for key, path in packages.uploads().items():
        stored += yield from ask(Upload(key, str(path), fresh))
    return stored


def _sleep_until(since: datetime) -> Flow[None]:
    """Wait until the new versions take effect, so that the message "deployed" is true when it is printed."""
    left = (since - (yield from ask(Now()))).total_seconds()
    if left > 0:
        yield from ask(Sleep(left))


def _stack_change(stack: Stack | NoStack, digest: str) -> plan.StackChange:
    if isinstance(stack, NoStack):
        return "new"
    if must_be_made_again(stack):
        return "again"
    return "" if is_current(stack, digest) else "changes"


def _kinds(jobs: Iterable[Job], found: Found) -> dict[str, given.ServerKind]:
    """Return the kinds of servers of these jobs, as far as a job of the file uses the image too."""
    images = {(each.image.name, each.image.architecture): each for each in found.images.values()}
    used = [(job, images.get((job.image, job.architecture))) for job in jobs]
    kinds = [_kind(job, image) for job, image in used if image is not None]
    return {kind.logical_id: kind for kind in kinds}


def _stack_input(
    scope: Scope, project: Project, found: Found, packages: Packages, kinds: Mapping[str, given.ServerKind]
) -> given.StackInput:
    return given.StackInput(
        project=project.name,
        bucket=scope.bucket,
        tags=project.tags,
        permissions_boundary=project.permissions_boundary,
        keep_s=project.keep_s,
        kinds=tuple(kinds.values()),
        user_data=packages.user_data,
        launcher_zip=function_key(packages.functions["launcher"]),
        sweeper_zip=function_key(packages.functions["sweeper"]),
        vpc=found.network.vpc,
        security_groups=found.network.security_groups,
        public_ip=found.network.public_ip,
        notify=Receivers(addresses=project.notify),
        results=results_of(project),
    )


def _kind(job: Job, found: FoundImage) -> given.ServerKind:
    return given.ServerKind(image=found.image, permissions=permission_sets.set_of(job))


def _launch(found: Found, stack: Stack | NoStack, job: Job) -> LaunchSettings:
    """Return the stack's current values that launch a server with the image and the permissions of this job, and its pools."""
    if isinstance(stack, NoStack):
        return _UNKNOWN
    image = found.images[job.name].image
    kind = _kind(job, found.images[job.name])
    logical = kind.logical_id
    return LaunchSettings(
        template=stack.outputs.get(f"{logical}Id", ""),
        template_version=stack.outputs.get(f"{logical}Version", ""),
        role_id=stack.outputs.get(f"{given.server_role(kind.permissions)}Id", ""),
        job_role=stack.outputs.get(f"{given.job_role(kind.permissions)}Arn", ""),
        image=image.name,
        root_device=image.root_device,
        subnets=found.network.subnets,
        pools=found.pools[job.name],
    )


def _with_launch(prepared: Prepared, stack: Stack) -> dict[str, Deployed]:
    """Return the wanted versions with the launch values of the changed stack."""
    found = prepared.found
    return {
        name: replace(version, launch=_launch(found, stack, version.job)) for name, version in prepared.wanted.items()
    }
