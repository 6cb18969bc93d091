"""What a trial left, found by tag and by name, and its removal: at the trial's end whatever happened, and by `--clean` later.

It finds by itself; nothing that a killed trial remembered is needed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from acceptance.place import IAM_PATH, NAME, TAG, Place, Refusal, code_of, quietly

AGAIN_S = 180
"""So long nothing may change before the looking ends: some things are shown for a while after they went."""
_OURS = re.compile(rf"dayfly-({NAME.pattern})(?:-.*)?")


@dataclass(frozen=True)
class Left:
    """One thing: its kind, its id, and the trial that made it."""

    kind: str
    id: str
    name: str


def found(place: Place, name: str | None = None) -> list[Left]:
    """Everything that trials left in this account and region; of one trial when it is named."""
    looks = (_servers, _volumes, _stacks, _templates, _profiles, _roles, _buckets)
    everything = [one for look in looks for one in look(place)]
    return [one for one in everything if name is None or one.name == name]


def clean(place: Place, say: Callable[[str], None], name: str | None = None) -> list[Left]:
    """Removes it all and looks again until nothing is found; what is still there in the end."""
    told: set[Left] = set()
    before: set[Left] = set()
    changed = time.monotonic()
    while True:
        rest = found(place, name)
        if set(rest) != before:
            before, changed = set(rest), time.monotonic()
        if not rest or time.monotonic() > changed + AGAIN_S:
            return rest
        for one in rest:
            if one not in told:
                say(f"removing {one.kind} {one.id}")
                told.add(one)
            try:
                _REMOVE[one.kind](place, one)
            except ClientError as error:
                say(f"  {one.kind} {one.id}: {code_of(error)}")
        time.sleep(place.pause_s)


def _tags(each: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in each.get("Tags", [])}


def _of(each: dict[str, Any], title: str) -> str | None:
    """The trial that a thing is of: by its tag, else by its name."""
    tagged = _tags(each).get(TAG)
    named = _OURS.fullmatch(title)
    return tagged or (named[1] if named else None)


def _servers(place: Place) -> Iterator[Left]:
    pages = place.client("ec2").get_paginator("describe_instances")
    for page in pages.paginate(Filters=[{"Name": "tag-key", "Values": [TAG]}]):
        for one in (one for group in page["Reservations"] for one in group["Instances"]):
            if one["State"]["Name"] != "terminated":
                yield Left("server", one["InstanceId"], _tags(one)[TAG])


def _volumes(place: Place) -> Iterator[Left]:
    told = place.client("ec2").describe_volumes(Filters=[{"Name": "tag-key", "Values": [TAG]}])
    for one in told["Volumes"]:
        # One that is in use goes with its server, which is found as such.
        if one["State"] == "available":
            yield Left("volume", one["VolumeId"], _tags(one)[TAG])


def _stacks(place: Place) -> Iterator[Left]:
    for page in place.client("cloudformation").get_paginator("describe_stacks").paginate():
        for one in page["Stacks"]:
            name = _of(one, one["StackName"])
            if name and one["StackStatus"] != "DELETE_COMPLETE":
                yield Left("stack", one["StackName"], name)


def _templates(place: Place) -> Iterator[Left]:
    told = place.client("ec2").describe_launch_templates(Filters=[{"Name": "tag-key", "Values": [TAG]}])
    for one in told["LaunchTemplates"]:
        # Those of a stack go with it.
        if _OURS.fullmatch(one["LaunchTemplateName"]):
            yield Left("launch template", one["LaunchTemplateId"], _tags(one)[TAG])


def _profiles(place: Place) -> Iterator[Left]:
    for page in place.client("iam").get_paginator("list_instance_profiles").paginate(PathPrefix=IAM_PATH):
        for one in page["InstanceProfiles"]:
            named = _OURS.fullmatch(one["InstanceProfileName"])
            if named:
                yield Left("instance profile", one["InstanceProfileName"], named[1])


def _roles(place: Place) -> Iterator[Left]:
    for page in place.client("iam").get_paginator("list_roles").paginate(PathPrefix=IAM_PATH):
        for one in page["Roles"]:
            named = _OURS.fullmatch(one["RoleName"])
            if named:
                yield Left("role", one["RoleName"], named[1])


def _buckets(place: Place) -> Iterator[Left]:
    for one in place.client("s3").list_buckets()["Buckets"]:
        named = _OURS.fullmatch(one["Name"])
        # Names end in account and region: another region's are removed from there.
        if named and one["Name"].endswith(f"-{place.account}-{place.region}"):
            yield Left("bucket", one["Name"], named[1])


def _remove_server(place: Place, one: Left) -> None:
    place.client("ec2").terminate_instances(InstanceIds=[one.id])


def _remove_volume(place: Place, one: Left) -> None:
    quietly(lambda: place.client("ec2").delete_volume(VolumeId=one.id), "InvalidVolume.NotFound", "VolumeInUse")


def _remove_stack(place: Place, one: Left) -> None:
    """By dayfly's own command, which ends servers and schedules first."""
    place.write(_FILE.format(name=one.name, region=place.region))
    place.dayfly("destroy", "--yes", "--delete-results")


def _remove_template(place: Place, one: Left) -> None:
    quietly(
        lambda: place.client("ec2").delete_launch_template(LaunchTemplateId=one.id),
        "InvalidLaunchTemplateId.NotFound",
    )


def _remove_profile(place: Place, one: Left) -> None:
    iam = place.client("iam")
    told = quietly(lambda: iam.get_instance_profile(InstanceProfileName=one.id), "NoSuchEntity")
    for role in told["InstanceProfile"]["Roles"] if told else []:
        iam.remove_role_from_instance_profile(InstanceProfileName=one.id, RoleName=role["RoleName"])
    quietly(lambda: iam.delete_instance_profile(InstanceProfileName=one.id), "NoSuchEntity")


def _remove_role(place: Place, one: Left) -> None:
    iam = place.client("iam")
    for policy in iam.list_role_policies(RoleName=one.id)["PolicyNames"]:
        iam.delete_role_policy(RoleName=one.id, PolicyName=policy)
    # Profiles are looked for before roles; one that still holds it is met at the next look.
    quietly(lambda: iam.delete_role(RoleName=one.id), "NoSuchEntity", "DeleteConflict")


def _remove_bucket(place: Place, one: Left) -> None:
    s3 = place.client("s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=one.id):
        for each in page.get("Contents", []):
            s3.delete_object(Bucket=one.id, Key=each["Key"])
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=one.id):
        for each in page.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=one.id, Key=each["Key"], UploadId=each["UploadId"])
    quietly(lambda: s3.delete_bucket(Bucket=one.id), "BucketNotEmpty")


_REMOVE: dict[str, Callable[[Place, Left], None]] = {
    "server": _remove_server,
    "volume": _remove_volume,
    "stack": _remove_stack,
    "launch template": _remove_template,
    "instance profile": _remove_profile,
    "role": _remove_role,
    "bucket": _remove_bucket,
}

_FILE = """
project = "{name}"
regions = ["{region}"]

[jobs.hello]
command = "true"
servers = ["c7g.medium"]
"""


def put_away(place: Place) -> None:
    """Takes the trial's dayfly.toml out of the folder."""
    try:
        place.write("")
    except Refusal:
        return
    (place.folder / "dayfly.toml").unlink(missing_ok=True)
