"""Makes a cloud match a dayfly.toml: what is found, what would change, and the doing of it. The same for AWS and the local cloud.

The decisions are core/plan.py's and core/template.py's. Order of the acts: bucket, code, stack, versions, schedules; a job's new
version is there before anything can ask for it. Never in a function's zip.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from botocore.exceptions import ClientError

import dayfly
from dayfly.cloud import discovery, objects, schedules, stack
from dayfly.cloud.clients import Aws, code_of
from dayfly.core import names, versions
from dayfly.core.model import Code, Deployed, Job, Launch, Project, Version
from dayfly.core.ticks import Zones
from dayfly.errors import FileError, Unclear
from dayfly.project.bundle import build, wheels
from dayfly.project.deploy import plan
from dayfly.project.stack import permissions, template, user_data

PACKAGE = Path(dayfly.__file__).parent
_DEPENDENCIES = ("uv.lock", "pylock.toml", "requirements.txt", "pyproject.toml")
_UNKNOWN = Launch(template="", template_version="", role_id="", image="", root_device="", subnets=())

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Folder:
    """The user's folder, and one of ours in it for what is built and kept."""

    path: Path
    cache: Path


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A deploy, looked at and not done: the plan, and all that doing it needs."""

    plan: plan.Plan
    there: Mapping[str, Version]
    wanted: Mapping[str, Deployed]
    built: Mapping[str, build.Built]
    functions: Mapping[str, build.Built]
    images: Mapping[str, discovery.FoundImage]
    network: discovery.Found
    text: str
    digest: str
    bucket: str
    account: str
    found: stack.Stack | None
    spot_role_missing: bool


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a deploy did."""

    uploaded: int
    stack: str
    schedules: int
    scheduled: int
    effective_from: datetime


def prepare(
    aws: Aws, project: Project, account: str, folder: Folder, by: str, zones: Zones, now: datetime, say: Say
) -> Prepared:
    """Finds what is there, builds what would travel, and plans. Changes nothing in the cloud. Raises FileError, SupplyError."""
    bucket = names.bucket(project.name, account, aws.region)
    images = {job.name: discovery.image(aws, job.image, job.architecture) for job in project.jobs.values()}
    network = discovery.network(aws, project.networks.get(aws.region))
    built = {name: made for name, job in project.jobs.items() if (made := _bundle(folder, job, images[name], say))}
    functions = {
        "launcher": build.build_function_zip("launcher", PACKAGE, folder.cache / "functions"),
        "sweeper": build.build_function_zip("sweeper", PACKAGE, folder.cache / "functions"),
    }
    given = _stack_input(project, bucket, images, network, functions)
    wanted_stack = template.build(given)
    digest = template.digest(wanted_stack)
    found = stack.find(aws, project.name)
    there = deployed(aws, bucket)
    since = plan.effective(now, there)
    wanted = {
        name: Deployed(
            name=name,
            effective_from=since,
            job=job,
            code=_code(built.get(name)),
            launch=_launch(found, images[name], network) if found else _UNKNOWN,
            tags=project.tags,
            deployed_by=by,
        )
        for name, job in project.jobs.items()
    }
    zone = {job.timezone: zones(job.timezone) for job in project.jobs.values()}
    return Prepared(
        plan=plan.Plan(
            changes=plan.jobs(there, wanted),
            schedules=plan.schedules(project.jobs, zone),
            stack="" if found and found.digest == digest else "changes" if found else "new",
        ),
        there=there,
        wanted=wanted,
        built=built,
        functions=functions,
        images=images,
        network=network,
        text=template.text(wanted_stack),
        digest=digest,
        bucket=bucket,
        account=account,
        found=found,
        spot_role_missing=discovery.spot_role_missing(aws, project),
    )


def apply(aws: Aws, project: Project, prepared: Prepared, by: str, say: Say) -> Done:
    """Does what was planned; versions hold from the second after they are written.

    Each part is safe to do twice: a deploy that broke off is simply done again.
    """
    say("bucket")
    policy = permissions.bucket_policy(prepared.bucket)
    stack.ensure_bucket(aws, prepared.bucket, prepared.account, project.tags, project.name, policy)
    if prepared.spot_role_missing:
        discovery.make_spot_role(aws)
    say("code")
    uploads = {f"{names.FUNCTIONS}{made.sha256}.zip": made.path for made in prepared.functions.values()}
    uploads |= {f"{names.BUNDLES}{made.sha256}.zip": made.path for made in prepared.built.values()}
    uploaded = sum(stack.upload(aws, prepared.bucket, key, path) for key, path in uploads.items())
    stands = prepared.found
    if prepared.plan.stack or stands is None:
        say("stack")
        stands = stack.apply(aws, project.name, prepared.bucket, prepared.text, prepared.digest, project.tags)
    say("jobs")
    changes = plan.jobs(prepared.there, _with_launch(prepared, stands))
    since = plan.effective(datetime.now(UTC), prepared.there)
    _write_versions(aws, prepared, changes, since, by)
    say("schedules")
    touched = schedules.sync(
        aws,
        project.name,
        prepared.plan.schedules,
        launcher=stands.outputs["Launcher"],
        role=stands.outputs["ScheduleRole"],
        dead_letters=stands.outputs["DeadLetters"],
    )
    # "Deployed" is said when it holds: versions begin with a whole second.
    time.sleep(max(0.0, (since - datetime.now(UTC)).total_seconds()))
    return Done(
        uploaded=uploaded,
        stack=prepared.plan.stack,
        schedules=touched,
        scheduled=len(prepared.plan.schedules),
        effective_from=since,
    )


def deployed(aws: Aws, bucket: str) -> dict[str, Version]:
    """The newest version of every job in the bucket; empty when there is no bucket yet."""
    s3 = aws.client("s3")
    try:
        folders = objects.list_keys(s3, bucket, "jobs/", folders=True)
    except ClientError as error:
        if code_of(error) == "NoSuchBucket":
            return {}
        raise
    found: dict[str, Version] = {}
    for prefix in folders:
        keys = objects.list_keys(s3, bucket, prefix)
        stored = objects.read(s3, bucket, max(keys, key=names.version_since))
        if stored is not None:
            version = versions.read_version(stored.body)
            found[version.name] = version
    return found


def retire(aws: Aws, bucket: str, by: str) -> None:
    """Says in the bucket that no job is deployed any more, so that no later tick counts as expected."""
    there = deployed(aws, bucket)
    since = plan.effective(datetime.now(UTC), there)
    for version in there.values():
        if isinstance(version, Deployed):
            gone = plan.removed(version.name, since, by)
            objects.write_new(aws.client("s3"), bucket, gone.key, versions.write_version(gone))


def target_of(job: Job, found: discovery.FoundImage | None) -> wheels.Target | None:
    """For what the job's wheels are built: what really runs, where the image says so; else the stock image's Python."""
    if found is not None and found.runs_machine and found.runs_python:
        return wheels.local_target(found.runs_machine, found.runs_python)
    return wheels.image_target(job.image, job.architecture)


def _bundle(folder: Folder, job: Job, found: discovery.FoundImage, say: Say) -> build.Built | None:
    target, python = target_of(job, found), job.python
    if target is None:
        if python != "none" and any((folder.path / name).is_file() for name in _DEPENDENCIES):
            raise FileError(
                f"jobs.{job.name}.image: which Python {job.image} has is not known here, so no wheels can be chosen",
                hint='python = "none", with the dependencies in the image; or image = "debian-13"',
            )
        target, python = wheels.Target(machine="x86_64", python="3.13"), "none"
    return build.build_job_bundle(
        folder.path, job.bundle, python, target, folder.cache / "bundles", job=job.name, cache=folder.cache, say=say
    )


def _code(made: build.Built | None) -> Code | None:
    return made.code(f"{names.BUNDLES}{made.sha256}.zip") if made else None


def _stack_input(
    project: Project,
    bucket: str,
    images: Mapping[str, discovery.FoundImage],
    network: discovery.Found,
    functions: Mapping[str, build.Built],
) -> template.StackInput:
    boothook = (PACKAGE / "remote" / "agent" / "boothook.sh").read_text(encoding="utf-8")
    sent = user_data.build(boothook, build.read_agent_sources(PACKAGE))
    return template.StackInput(
        project=project.name,
        bucket=bucket,
        tags=project.tags,
        permissions_boundary=project.permissions_boundary,
        keep_s=project.keep_s,
        images=tuple({found.image.logical: found.image for found in images.values()}.values()),
        user_data=base64.b64encode(sent).decode(),
        launcher_zip=f"{names.FUNCTIONS}{functions['launcher'].sha256}.zip",
        sweeper_zip=f"{names.FUNCTIONS}{functions['sweeper'].sha256}.zip",
        vpc=network.vpc,
        security_groups=network.security_groups,
        public_ip=network.public_ip,
    )


def _launch(found: stack.Stack, image: discovery.FoundImage, network: discovery.Found) -> Launch:
    logical = image.image.logical
    return Launch(
        template=found.outputs.get(f"{logical}Id", ""),
        template_version=found.outputs.get(f"{logical}Version", ""),
        role_id=found.outputs.get("ServerRoleId", ""),
        image=image.image.name,
        root_device=image.image.root_device,
        subnets=network.subnets,
    )


def _with_launch(prepared: Prepared, stands: stack.Stack) -> dict[str, Deployed]:
    """The wanted versions with what the stack, as it stands now, holds for them."""
    return {
        name: replace(version, launch=_launch(stands, prepared.images[name], prepared.network))
        for name, version in prepared.wanted.items()
    }


def _write_versions(
    aws: Aws, prepared: Prepared, changes: tuple[plan.JobChange, ...], since: datetime, by: str
) -> None:
    for change in changes:
        if change.kind == "same":
            continue
        if change.kind == "gone":
            version: Version = plan.removed(change.name, since, by)
        else:
            assert change.version is not None
            version = replace(change.version, effective_from=since)
        body = versions.write_version(version)
        if not objects.write_new(aws.client("s3"), prepared.bucket, version.key, body):
            raise Unclear(f"someone else deployed {change.name} at the same moment", hint="dayfly deploy, again")
