"""Launching: what RunInstances and CreateFleet share, from a judged draft to a pending instance, and the tokens of both.

The actions themselves are in run_instances.py and fleets.py; checking a request's values is in launch_requests.py.
"""

import hashlib
import json
import secrets
from collections.abc import Callable
from typing import Any

from localcloud.ec2.authorize import Keys, Resource, request_tags
from localcloud.ec2.context import Request, iso, new_id
from localcloud.ec2.errors import Ec2Error
from localcloud.ec2.launch_requests import Draft
from localcloud.ec2.network import free_address
from localcloud.ec2.records import PENDING, SPOT, Instance, Volume

_TOKEN_LENGTH = 64
MOST_INSTANCES = 256
"""How many instances, the terminated ones aside, a region holds: each is a record that is written, and a guest that waits."""


def authorize(request: Request, draft: Draft, create_action: str) -> None:
    """Raise Ec2Error unless the caller may launch this draft: ec2:RunInstances on every resource it needs, the tags, the role."""
    request.caller.require("ec2:RunInstances", _resources(request, draft))
    for kind, tags in draft.tags.items():
        if tags and kind in ("instance", "volume", "network-interface", "spot-instances-request"):
            keys = request_tags(tags) | {"ec2:CreateAction": create_action}
            request.caller.require("ec2:CreateTags", [Resource(request.caller.arn(kind, "*"), keys)])
    if draft.profile is not None and draft.profile.role_arn:
        request.caller.pass_role(draft.profile.role_arn)


def start(
    request: Request,
    draft: Draft,
    count: tuple[int, int],
    note: Callable[[list[Instance]], None],
    fleet: str = "",
) -> list[Instance]:
    """Make at least and at most so many pending instances of a draft and give them to the supervisor.

    Raises Ec2Error when there is no room for the fewest: in the region (InstanceLimitExceeded), in the subnet.

    `note(made)` puts into the records whatever must be known as soon as the instances are, such as the answer to a token: all
    of it is one write to disk, so that whoever repeats a call that was cut off launches nothing a second time.
    """
    records, context, token = request.records, request.context, request.params.get("ClientToken") or ""
    least, most = count
    room = MOST_INSTANCES - sum(one.ended is None for one in records.instances.values())
    if room < least:
        text = (
            f"You have requested more instances ({least}) than your current instance limit of {MOST_INSTANCES} allows."
        )
        raise Ec2Error("InstanceLimitExceeded", text)
    reservation = new_id("r")
    made = []
    for index, address in enumerate(_addresses(request, draft, least, min(most, room))):
        made.append(_instance(request, draft, reservation, address, fleet, token))
        # "Instance metadata categories", ami-launch-index: always 0 in a fleet.
        made[-1].index = 0 if fleet else index
    before = dict(records.tokens), dict(records.fleets)
    for one in made:
        records.instances[one.id] = one
    note(made)
    try:
        request.save()
    except OSError:
        # What the disk does not know is not launched.
        for one in made:
            del records.instances[one.id]
        records.tokens, records.fleets = before
        raise
    troubles: list[Exception] = []
    for one in made:
        try:
            context.supervisor.launch(request.region, one)
        except (OSError, Ec2Error) as trouble:
            # This one is terminated by it; the others have a right to their own start.
            troubles.append(trouble)
    if troubles:
        raise troubles[0]
    return made


def _addresses(request: Request, draft: Draft, least: int, most: int) -> list[str]:
    """Addresses for at least and at most so many instances. Raises Ec2Error."""
    alive = [one for one in request.records.instances.values() if one.ended is None]
    taken = {one.address for one in alive if one.subnet == draft.subnet.id}
    if draft.private_address:
        if draft.private_address in taken:
            raise Ec2Error("InvalidIPAddress.InUse", f"Address {draft.private_address} is in use.")
        return [draft.private_address]
    found: list[str] = []
    while len(found) < most:
        try:
            found.append(free_address(draft.subnet, taken))
        except Ec2Error:
            if len(found) < least:
                raise
            break
        taken.add(found[-1])
    return found


def token_key(action: str, params: dict[str, Any], zone: str = "") -> tuple[str, str]:
    """(key, digest) of a request with a ClientToken; ("", "") without. Raises Ec2Error for a token AWS would not take."""
    token = params.get("ClientToken")
    if not token:
        return "", ""
    if len(token) > _TOKEN_LENGTH or not token.isascii():
        raise Ec2Error("InvalidParameterValue", "The client token must be at most 64 ASCII characters.")
    said = {key: value for key, value in params.items() if key not in ("DryRun", "ClientToken")}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True, default=repr).encode()).hexdigest()
    return f"{action} {zone} {token}", digest


def replayed(request: Request, key: str, digest: str) -> dict[str, Any] | None:
    """The answer already given to this token. Raises Ec2Error (IdempotentParameterMismatch) when the parameters differ."""
    known = request.records.tokens.get(key) if key else None
    if known is None:
        return None
    if known["digest"] != digest:
        text = "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)."
        raise Ec2Error("IdempotentParameterMismatch", text)
    answer: dict[str, Any] | None = known["answer"]
    return answer


def bind_token(request: Request, key: str, digest: str, answer: dict[str, Any] | None) -> None:
    """Put the token and what it is answered into the records; None while, or because, nothing was launched.

    The caller saves it, together with what it stands for.
    """
    if key:
        at = request.context.clock.now().timestamp()
        request.records.tokens[key] = {"digest": digest, "answer": answer, "at": at}


def _resources(request: Request, draft: Draft) -> list[Resource]:
    arn = request.caller.arn
    template: Keys = {}
    if draft.template:
        template = {
            "ec2:LaunchTemplate": arn("launch-template", draft.template),
            "ec2:IsLaunchTemplateResource": "true",
        }
    zone: Keys = {"ec2:AvailabilityZone": draft.subnet.zone}
    vpc: Keys = {"ec2:Vpc": arn("vpc", draft.subnet.vpc)}
    network = request.context.network
    found = [
        Resource(
            arn("instance", "*"), _instance_keys(draft) | zone | template | request_tags(draft.tags.get("instance", {}))
        ),
        Resource(arn("image", draft.image.id), _image_keys(draft) | template),
        Resource(
            arn("subnet", draft.subnet.id),
            zone
            | vpc
            | template
            | {"ec2:SubnetID": draft.subnet.id}
            | _tags(network.tags(request.region, draft.subnet.id)),
        ),
        Resource(
            arn("network-interface", "*"),
            zone
            | vpc
            | template
            | {"ec2:Subnet": arn("subnet", draft.subnet.id)}
            | request_tags(draft.tags.get("network-interface", {})),
        ),
        Resource(
            arn("volume", "*"),
            zone
            | template
            | {
                "ec2:VolumeSize": str(draft.volume["size"]),
                "ec2:VolumeType": draft.volume["kind"],
                "ec2:Encrypted": str(draft.volume["encrypted"]).lower(),
            }
            | request_tags(draft.tags.get("volume", {})),
        ),
    ]
    for group in draft.groups:
        keys = vpc | template | {"ec2:SecurityGroupID": group} | _tags(network.tags(request.region, group))
        found.append(Resource(arn("security-group", group), keys))
    if draft.template:
        own = request.records.templates[draft.template].tags
        found.append(Resource(arn("launch-template", draft.template), template | _tags(own)))
    if draft.data.get("KeyName"):
        found.append(
            Resource(arn("key-pair", draft.data["KeyName"]), template | {"ec2:KeyPairName": draft.data["KeyName"]})
        )
    if draft.market == SPOT and draft.tags.get("spot-instances-request"):
        found.append(Resource(arn("spot-instances-request", "*"), request_tags(draft.tags["spot-instances-request"])))
    return found


def _tags(tags: dict[str, str]) -> Keys:
    return {f"{prefix}:ResourceTag/{key}": value for key, value in tags.items() for prefix in ("aws", "ec2")}


def _instance_keys(draft: Draft) -> Keys:
    return {
        "ec2:InstanceType": draft.kind.name,
        "ec2:InstanceMarketType": draft.market,
        "ec2:InstanceProfile": draft.profile.arn if draft.profile else None,
        "ec2:MetadataHttpTokens": draft.metadata["HttpTokens"],
        "ec2:MetadataHttpEndpoint": draft.metadata["HttpEndpoint"],
        "ec2:MetadataHttpPutResponseHopLimit": str(draft.metadata["HttpPutResponseHopLimit"]),
        "ec2:RootDeviceType": "ebs",
        "ec2:Tenancy": "default",
        "ec2:EbsOptimized": str(bool(draft.data.get("EbsOptimized"))).lower(),
    }


def _image_keys(draft: Draft) -> Keys:
    return {
        "ec2:ImageID": draft.image.id,
        "ec2:ImageType": "machine",
        # One value: "amazon" for Amazon's images, else the number of the owner's account ("Service Authorization Reference").
        "ec2:Owner": draft.image.owner_alias or draft.image.owner,
        "ec2:Public": "true",
        "ec2:RootDeviceType": "ebs",
    }


def _instance(request: Request, draft: Draft, reservation: str, address: str, fleet: str, token: str) -> Instance:
    now = iso(request.context.clock.now())
    own = dict(draft.tags.get("instance", {}))
    if fleet:
        own["aws:ec2:fleet-id"] = fleet
    if draft.template:
        own["aws:ec2launchtemplate:id"] = draft.template
        own["aws:ec2launchtemplate:version"] = draft.template_version
    profile = {}
    if draft.profile is not None:
        one = draft.profile
        profile = {"name": one.name, "arn": one.arn, "id": one.id, "role": one.role, "role_arn": one.role_arn}
    volume = Volume(
        id=new_id("vol"),
        device=draft.image.root_device,
        size=draft.volume["size"],
        kind=draft.volume["kind"],
        encrypted=draft.volume["encrypted"],
        delete_on_termination=draft.volume["delete"],
        created=now,
        iops=draft.volume.get("iops"),
        throughput=draft.volume.get("throughput"),
        tags=dict(draft.tags.get("volume", {})),
    )
    return Instance(
        id=new_id("i"),
        reservation=reservation,
        image=draft.image.id,
        kind=draft.kind.name,
        architecture=draft.kind.architecture,
        state=PENDING,
        launched=now,
        zone=draft.subnet.zone,
        zone_id=draft.subnet.zone_id,
        subnet=draft.subnet.id,
        vpc=draft.subnet.vpc,
        address=address,
        mac="0a:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(5)),
        groups=list(draft.groups),
        market=draft.market,
        shutdown=draft.shutdown,
        volume=volume,
        user_data=draft.data.get("UserData") or "",
        tags=own,
        metadata=draft.metadata,
        profile=profile,
        token=token,
        fleet=fleet,
        template=draft.template,
        template_version=draft.template_version,
        key=draft.data.get("KeyName") or "",
        spot_request=f"sir-{secrets.token_hex(4)}" if draft.market == SPOT else "",
        auto_recovery=(draft.data.get("MaintenanceOptions") or {}).get("AutoRecovery", "default"),
        api_termination_disabled=bool(draft.data.get("DisableApiTermination")),
        ebs_optimized=bool(draft.data.get("EbsOptimized")),
        monitoring=bool((draft.data.get("Monitoring") or {}).get("Enabled")),
    )
