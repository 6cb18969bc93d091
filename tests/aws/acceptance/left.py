"""What a trial left, found by tag and by name, and its removal: at the trial's end whatever happened, and by `--clean` later.

It finds by itself; nothing that a killed trial remembered is needed. What is not certainly a trial's own is not touched: a tag's
value must be a trial's name, and whatever has a name must be called after the trial as well.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from acceptance.place import IAM_PATH, NAME, TAG, Place, Refusal, quietly, why


@dataclass(frozen=True)
class Left:
    """One thing: its kind, its id, and the trial that made it."""

    kind: str
    id: str
    name: str


@dataclass(frozen=True)
class Rest:
    """What is there after a clean-up: things seen, and the kinds of things for which nobody could look at the end."""

    things: tuple[Left, ...]
    unseen: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.things or self.unseen)

    def told(self) -> list[str]:
        """For people: each thing, and what is not known."""
        unknown = [f"unknown: run --clean (nobody could look for: {', '.join(self.unseen)})"] if self.unseen else []
        return [f"{one.kind} {one.id}" for one in self.things] + unknown


def found(place: Place, name: str | None = None) -> list[Left]:
    """Everything that trials left in this account and region; of one trial when it is named. Raises what a look raises."""
    return [one for kind in _LOOK for one in _look(place, kind, name)]


def clean(place: Place, say: Callable[[str], None], name: str | None = None) -> Rest:
    """Removes it all and looks again until nothing is found, or nothing changed for the place's `again_s` seconds.

    Never raises: whatever one look or one removal meets (no network, a refusal, a command that does not end) is said, and the
    others go on.
    """
    seen: dict[str, list[Left]] = {}
    told: set[str] = set()
    before: set[Left] = set()
    changed = time.monotonic()

    def tell(line: str) -> None:
        if line not in told:
            told.add(line)
            say(line)

    while True:
        unseen = []
        for kind in _LOOK:
            try:
                seen[kind] = _look(place, kind, name)
            except Exception as error:  # whatever it is, the other kinds are to be looked for
                unseen.append(kind)
                tell(f"  looking for {kind}: {why(error)}")
        rest = Rest(tuple(one for each in seen.values() for one in each), tuple(unseen))
        if set(rest.things) != before:
            before, changed = set(rest.things), time.monotonic()
        if not rest or time.monotonic() > changed + place.again_s:
            return rest
        for one in rest.things:
            # What was not seen just now can not be removed either: calls that wait for no answer would only take time.
            if one.kind in unseen:
                continue
            tell(f"removing {one.kind} {one.id}")
            try:
                _REMOVE[one.kind](place, one)
            except Exception as error:  # as above; it is tried again at the next look
                tell(f"  {one.kind} {one.id}: {why(error)}")
        time.sleep(place.pause_s)


def _look(place: Place, kind: str, name: str | None) -> list[Left]:
    return [one for one in _LOOK[kind](place) if name is None or one.name == name]


def _tagged(each: dict[str, Any]) -> str | None:
    """The trial whose tag a thing carries. The key alone, with another value, is somebody else's."""
    value = {tag["Key"]: tag["Value"] for tag in each.get("Tags", [])}.get(TAG, "")
    return value if NAME.fullmatch(value) else None


def _called(title: str, *rest: str) -> str | None:
    """The trial that a thing is called after: `dayfly-NAME` and one of these rests, word for word."""
    ends = "|".join(re.escape(one) for one in rest or ("",))
    named = re.fullmatch(rf"dayfly-({NAME.pattern})(?:{ends})", title)
    return named[1] if named else None


def _servers(place: Place) -> Iterator[Left]:
    pages = place.client("ec2").get_paginator("describe_instances")
    for page in pages.paginate(Filters=[{"Name": "tag-key", "Values": [TAG]}]):
        for one in (one for group in page["Reservations"] for one in group["Instances"]):
            name = _tagged(one)
            if name and one["State"]["Name"] != "terminated":
                yield Left("server", one["InstanceId"], name)


def _volumes(place: Place) -> Iterator[Left]:
    told = place.client("ec2").describe_volumes(Filters=[{"Name": "tag-key", "Values": [TAG]}])
    for one in told["Volumes"]:
        name = _tagged(one)
        # One that is in use goes with its server, which is found as such.
        if name and one["State"] == "available":
            yield Left("volume", one["VolumeId"], name)


def _stacks(place: Place) -> Iterator[Left]:
    for page in place.client("cloudformation").get_paginator("describe_stacks").paginate():
        for one in page["Stacks"]:
            name = _tagged(one)
            # Its removal is `destroy` of the project of that name, so the tag alone is not enough.
            if name and name == _called(one["StackName"]) and one["StackStatus"] != "DELETE_COMPLETE":
                yield Left("stack", one["StackName"], name)


def _templates(place: Place) -> Iterator[Left]:
    told = place.client("ec2").describe_launch_templates(Filters=[{"Name": "tag-key", "Values": [TAG]}])
    for one in told["LaunchTemplates"]:
        name = _tagged(one)
        # Those of a stack are called otherwise and go with it.
        if name and name == _called(one["LaunchTemplateName"]):
            yield Left("launch template", one["LaunchTemplateId"], name)


# Roles and profiles are of all regions, so their names say of which trial's: another one may be at work elsewhere.
def _profiles(place: Place) -> Iterator[Left]:
    for page in place.client("iam").get_paginator("list_instance_profiles").paginate(PathPrefix=IAM_PATH):
        for one in page["InstanceProfiles"]:
            name = _called(one["InstanceProfileName"], f"-{place.region}")
            if name:
                yield Left("instance profile", one["InstanceProfileName"], name)


def _roles(place: Place) -> Iterator[Left]:
    for page in place.client("iam").get_paginator("list_roles").paginate(PathPrefix=IAM_PATH):
        for one in page["Roles"]:
            name = _called(one["RoleName"], f"-{place.region}")
            if name:
                yield Left("role", one["RoleName"], name)


def _buckets(place: Place) -> Iterator[Left]:
    where = f"-{place.account}-{place.region}"
    for one in place.client("s3").list_buckets()["Buckets"]:
        # The probe's, and that of the trial's project. Another region's are removed from there.
        name = _called(one["Name"], f"-probe{where}", where)
        if name:
            yield Left("bucket", one["Name"], name)


def _remove_server(place: Place, one: Left) -> None:
    place.client("ec2").terminate_instances(InstanceIds=[one.id])


def _remove_volume(place: Place, one: Left) -> None:
    quietly(lambda: place.client("ec2").delete_volume(VolumeId=one.id), "InvalidVolume.NotFound", "VolumeInUse")


def _remove_stack(place: Place, one: Left) -> None:
    """By dayfly's own command, which ends servers and schedules first."""
    place.write(_FILE.format(name=one.name, account=place.account, region=place.region))
    gone = place.dayfly("destroy", "--yes", "--delete-results")
    if "error" in gone:
        raise Refusal(str(gone["error"]))


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


_LOOK: dict[str, Callable[[Place], Iterator[Left]]] = {
    "server": _servers,
    "volume": _volumes,
    "stack": _stacks,
    "launch template": _templates,
    "instance profile": _profiles,
    "role": _roles,
    "bucket": _buckets,
}

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
account = "{account}"
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
