"""Find what a trial left, by tag and by name, and delete it: at the end of each trial whatever happened, and by `--clean`.

Finding needs nothing that a killed trial remembered. What is not certainly a trial's own is not touched: the tag's value must be a
trial's name, and a thing that has a name must be named after the trial as well.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from acceptance.target import IAM_PATH, NAME, PROGRAM, TAG, Refusal, Target, error_text, ignoring, may_run


@dataclass(frozen=True)
class Leftover:
    """One thing: its kind, its id, and the trial that created it."""

    kind: str
    id: str
    name: str


@dataclass(frozen=True)
class Remaining:
    """What exists after a clean-up: things found, and the kinds of things that could not be listed at the end."""

    things: tuple[Leftover, ...]
    unknown: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.things or self.unknown)

    def lines(self) -> list[str]:
        """Return one line for each thing, and one for what is unknown."""
        found = [f"{one.kind} {one.id}" for one in self.things]
        if self.unknown:
            found.append(f"unknown: run --clean (could not list: {', '.join(self.unknown)})")
        return found


def found(target: Target, name: str | None = None) -> list[Leftover]:
    """Return everything that trials, or the named trial, left in this account and region. Raises AWS's errors.

    Without a name, a trial that may still be running is a colleague's, and is left out.
    """
    return [one for kind in _LIST for one in _list(target, kind, name)]


def running(target: Target) -> list[str]:
    """Return the names of the trials of which there is something, and that may still be running."""
    return sorted({one.name for list_kind in _LIST.values() for one in list_kind(target) if may_run(one.name)})


def linked_roles(target: Target) -> set[str]:
    """Return the names of the account's service-linked roles. AWS makes them at a first use, and a trial deletes none."""
    pages = target.client("iam").get_paginator("list_roles").paginate(PathPrefix="/aws-service-role/")
    return {one["RoleName"] for page in pages for one in page["Roles"]}


def clean(target: Target, say: Callable[[str], None], name: str | None = None) -> Remaining:
    """Delete everything and list again until nothing is found, or nothing changed for the target's `again_s` seconds.

    What is deleted is what `found` returns. Never raises: an error of one listing or deletion (no network, a refusal, a command that
    does not end) is reported, and the others continue.
    """
    seen: dict[str, list[Leftover]] = {}
    reported: set[str] = set()
    before: set[Leftover] = set()
    changed = time.monotonic()

    def report(line: str) -> None:
        if line not in reported:
            reported.add(line)
            say(line)

    while True:
        unknown = []
        for kind in _LIST:
            try:
                seen[kind] = _list(target, kind, name)
            except Exception as error:  # whatever it is, list the other kinds
                unknown.append(kind)
                report(f"  listing {kind}: {error_text(error)}")
        rest = Remaining(tuple(one for each in seen.values() for one in each), tuple(unknown))
        if set(rest.things) != before:
            before, changed = set(rest.things), time.monotonic()
        if not rest or time.monotonic() > changed + target.again_s:
            return rest
        for one in rest.things:
            # What could not be listed cannot be deleted either; more calls that time out would only take longer.
            if one.kind in unknown:
                continue
            report(f"deleting {one.kind} {one.id}")
            try:
                _DELETE[one.kind](target, one)
            except Exception as error:  # as above; the next round tries again
                report(f"  {one.kind} {one.id}: {error_text(error)}")
        time.sleep(target.pause_s)


def _list(target: Target, kind: str, name: str | None) -> list[Leftover]:
    if name is None:
        return [one for one in _LIST[kind](target) if not may_run(one.name)]
    return [one for one in _LIST[kind](target) if one.name == name]


def _tagged(each: dict[str, Any]) -> str | None:
    """Return the trial whose tag a thing has, or None. A tag with this key and another value does not count."""
    tags = {tag["Key"]: tag["Value"] for tag in each.get("Tags", [])}
    found = NAME.fullmatch(tags.get(TAG, ""))
    return found and found[0]


def _named_after(title: str, *ends: str) -> str | None:
    """Return the trial that a thing is named after, or None: `dayfly-NAME` followed by exactly one of `ends`."""
    endings = "|".join(re.escape(one) for one in ends or ("",))
    found = re.fullmatch(rf"dayfly-(?P<trial>{NAME.pattern})(?:{endings})", title)
    return found and found["trial"]


def _servers(target: Target) -> Iterator[Leftover]:
    pages = target.client("ec2").get_paginator("describe_instances")
    for page in pages.paginate(Filters=[{"Name": "tag-key", "Values": [TAG]}]):
        for one in (one for group in page["Reservations"] for one in group["Instances"]):
            name = _tagged(one)
            if name and one["State"]["Name"] != "terminated":
                yield Leftover("server", one["InstanceId"], name)


def _volumes(target: Target) -> Iterator[Leftover]:
    answer = target.client("ec2").describe_volumes(Filters=[{"Name": "tag-key", "Values": [TAG]}])
    for one in answer["Volumes"]:
        name = _tagged(one)
        # A volume in use is deleted with its server, which is found as such.
        if name and one["State"] == "available":
            yield Leftover("volume", one["VolumeId"], name)


def _stacks(target: Target) -> Iterator[Leftover]:
    for page in target.client("cloudformation").get_paginator("describe_stacks").paginate():
        for one in page["Stacks"]:
            name = _tagged(one)
            # Deleting it is `destroy` of the project of that name, so the tag alone is not enough.
            if name and name == _named_after(one["StackName"]) and one["StackStatus"] != "DELETE_COMPLETE":
                yield Leftover("stack", one["StackName"], name)


def _templates(target: Target) -> Iterator[Leftover]:
    answer = target.client("ec2").describe_launch_templates(Filters=[{"Name": "tag-key", "Values": [TAG]}])
    for one in answer["LaunchTemplates"]:
        name = _tagged(one)
        # A stack's templates have other names and are deleted with it.
        if name and name == _named_after(one["LaunchTemplateName"]):
            yield Leftover("launch template", one["LaunchTemplateId"], name)


# Roles and profiles are global, so their names include the region: another trial may run in another region.
def _profiles(target: Target) -> Iterator[Leftover]:
    for page in target.client("iam").get_paginator("list_instance_profiles").paginate(PathPrefix=IAM_PATH):
        for one in page["InstanceProfiles"]:
            name = _named_after(one["InstanceProfileName"], f"-{target.region}")
            if name:
                yield Leftover("instance profile", one["InstanceProfileName"], name)


def _roles(target: Target) -> Iterator[Leftover]:
    for page in target.client("iam").get_paginator("list_roles").paginate(PathPrefix=IAM_PATH):
        for one in page["Roles"]:
            name = _named_after(one["RoleName"], f"-{target.region}")
            if name:
                yield Leftover("role", one["RoleName"], name)


def _buckets(target: Target) -> Iterator[Leftover]:
    where = f"-{target.account}-{target.region}"
    for one in target.client("s3").list_buckets()["Buckets"]:
        # The probe's bucket, and that of the trial's project. Buckets of other regions are deleted from there.
        name = _named_after(one["Name"], f"-probe{where}", where)
        if name:
            yield Leftover("bucket", one["Name"], name)


def _delete_server(target: Target, one: Leftover) -> None:
    target.client("ec2").terminate_instances(InstanceIds=[one.id])


def _delete_volume(target: Target, one: Leftover) -> None:
    ignoring(lambda: target.client("ec2").delete_volume(VolumeId=one.id), "InvalidVolume.NotFound", "VolumeInUse")


def _delete_stack(target: Target, one: Leftover) -> None:
    """Delete with dayfly's own command, which ends servers and schedules first."""
    target.write(_FILE.format(name=one.name, account=target.account, region=target.region))
    gone = target.dayfly("destroy", "--yes", "--delete-results")
    if "error" in gone:
        raise Refusal(str(gone["error"]))


def _delete_template(target: Target, one: Leftover) -> None:
    ignoring(
        lambda: target.client("ec2").delete_launch_template(LaunchTemplateId=one.id),
        "InvalidLaunchTemplateId.NotFound",
    )


def _delete_profile(target: Target, one: Leftover) -> None:
    iam = target.client("iam")
    answer = ignoring(lambda: iam.get_instance_profile(InstanceProfileName=one.id), "NoSuchEntity")
    if answer is None:
        return
    for role in answer["InstanceProfile"]["Roles"]:
        iam.remove_role_from_instance_profile(InstanceProfileName=one.id, RoleName=role["RoleName"])
    ignoring(lambda: iam.delete_instance_profile(InstanceProfileName=one.id), "NoSuchEntity")


def _delete_role(target: Target, one: Leftover) -> None:
    iam = target.client("iam")
    for policy in iam.list_role_policies(RoleName=one.id)["PolicyNames"]:
        iam.delete_role_policy(RoleName=one.id, PolicyName=policy)
    # Profiles are deleted before roles; a profile that still holds the role is deleted in the next round.
    ignoring(lambda: iam.delete_role(RoleName=one.id), "NoSuchEntity", "DeleteConflict")


def _delete_bucket(target: Target, one: Leftover) -> None:
    s3 = target.client("s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=one.id):
        for each in page.get("Contents", []):
            s3.delete_object(Bucket=one.id, Key=each["Key"])
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=one.id):
        for each in page.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=one.id, Key=each["Key"], UploadId=each["UploadId"])
    ignoring(lambda: s3.delete_bucket(Bucket=one.id), "BucketNotEmpty")


_LIST: dict[str, Callable[[Target], Iterator[Leftover]]] = {
    "server": _servers,
    "volume": _volumes,
    "stack": _stacks,
    "launch template": _templates,
    "instance profile": _profiles,
    "role": _roles,
    "bucket": _buckets,
}

_DELETE: dict[str, Callable[[Target, Leftover], None]] = {
    "server": _delete_server,
    "volume": _delete_volume,
    "stack": _delete_stack,
    "launch template": _delete_template,
    "instance profile": _delete_profile,
    "role": _delete_role,
    "bucket": _delete_bucket,
}

_FILE = """
project = "{name}"
account = "{account}"
regions = ["{region}"]

[jobs.hello]
command = "true"
servers = ["t4g.small"]
"""


def remove_file(target: Target) -> None:
    """Delete the trial's dayfly.toml from the folder."""
    try:
        target.write("")
    except Refusal:
        return
    (target.folder / "dayfly.toml").unlink(missing_ok=True)
    (target.folder / PROGRAM).unlink(missing_ok=True)
