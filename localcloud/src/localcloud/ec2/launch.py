"""Launches: makes pending instances from an authorized launch request, for RunInstances and CreateFleet alike.

The actions live in run_instances.py and fleets.py, the checks of a request's values in launch_requests.py.
"""

import secrets
from collections.abc import Callable

from localcloud.ec2 import disk_keys
from localcloud.ec2.context import Request, iso, new_id
from localcloud.ec2.errors import Ec2Error
from localcloud.ec2.launch_requests import LaunchRequest
from localcloud.ec2.network import free_address
from localcloud.ec2.records import PENDING, SPOT, Instance, Volume

MAX_INSTANCES = 256
"""How many instances a region may have, not counting terminated ones."""


def start_instances(
    request: Request,
    launch: LaunchRequest,
    count: tuple[int, int],
    record: Callable[[list[Instance]], None],
    fleet: str = "",
) -> list[Instance]:
    """Make pending instances, at least and at most `count`, and start their guests.

    Raises Ec2Error if the region (InstanceLimitExceeded) or the subnet has no room for the smallest number.

    `record(made)` puts into the records whatever must be known together with the instances, such as the answer to a client
    token. All of it is one write to disk, so repeating a call that was cut off launches nothing a second time.
    """
    made = _make(request, launch, count, fleet)
    _save(request, made, record)
    failures: list[Exception] = []
    problem = disk_keys.problem(request, launch.volume.key)
    for instance in made:
        if problem is not None:
            request.context.supervisor.refuse(instance, *problem)
            continue
        try:
            request.context.supervisor.launch(request.region, instance)
        except (OSError, Ec2Error) as failure:
            # This instance is terminated; the others must still start.
            failures.append(failure)
    if failures:
        raise failures[0]
    return made


def _make(request: Request, launch: LaunchRequest, count: tuple[int, int], fleet: str) -> list[Instance]:
    """Return new pending instances, which are not in the records yet. Raises Ec2Error."""
    least, most = count
    room = MAX_INSTANCES - len(request.records.not_terminated())
    if room < least:
        text = (
            f"You have requested more instances ({least}) than your current instance limit of {MAX_INSTANCES} allows."
        )
        raise Ec2Error("InstanceLimitExceeded", text)
    reservation = new_id("r")
    made = []
    for index, address in enumerate(_addresses(request, launch, least, min(most, room))):
        instance = _instance(request, launch, reservation, address, fleet)
        # "Instance metadata categories", ami-launch-index: always 0 in a fleet.
        if not fleet:
            instance.index = index
        made.append(instance)
    return made


def _save(request: Request, made: list[Instance], record: Callable[[list[Instance]], None]) -> None:
    """Write the instances and what belongs to them; on a failure the records are as before."""
    records = request.records
    before = dict(records.tokens), dict(records.fleets)
    for instance in made:
        records.instances[instance.id] = instance
    record(made)
    try:
        request.save()
    except OSError:
        for instance in made:
            del records.instances[instance.id]
        records.tokens, records.fleets = before
        raise


def _addresses(request: Request, launch: LaunchRequest, least: int, most: int) -> list[str]:
    """Return addresses for at least `least` and at most `most` instances. Raises Ec2Error."""
    subnet = launch.subnet
    taken = {instance.address for instance in request.records.not_terminated() if instance.subnet == subnet.id}
    if launch.private_address:
        if launch.private_address in taken:
            raise Ec2Error("InvalidIPAddress.InUse", f"Address {launch.private_address} is in use.")
        return [launch.private_address]
    found: list[str] = []
    while len(found) < most:
        try:
            found.append(free_address(subnet, taken))
        except Ec2Error:
            if len(found) < least:
                raise
            break
        taken.add(found[-1])
    return found


def _instance(request: Request, launch: LaunchRequest, reservation: str, address: str, fleet: str) -> Instance:
    now = iso(request.context.clock.now())
    data = launch.data
    return Instance(
        id=new_id("i"),
        reservation=reservation,
        image=launch.image.id,
        instance_type=launch.instance_type.name,
        architecture=launch.image.architecture,
        state=PENDING,
        launched=now,
        zone=launch.subnet.zone,
        zone_id=launch.subnet.zone_id,
        subnet=launch.subnet.id,
        vpc=launch.subnet.vpc,
        address=address,
        mac="0a:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(5)),
        groups=list(launch.groups),
        market=launch.market,
        shutdown=launch.shutdown,
        volume=_volume(launch, now),
        user_data=data.get("UserData") or "",
        tags=_tags(launch, fleet),
        metadata=launch.metadata,
        profile=_profile(launch),
        token=request.params.get("ClientToken") or "",
        fleet=fleet,
        template=launch.template,
        template_version=launch.template_version,
        key=data.get("KeyName") or "",
        spot_request=_spot_request(launch),
        auto_recovery=(data.get("MaintenanceOptions") or {}).get("AutoRecovery", "default"),
        api_termination_disabled=bool(data.get("DisableApiTermination")),
        ebs_optimized=bool(data.get("EbsOptimized")),
        monitoring=bool((data.get("Monitoring") or {}).get("Enabled")),
    )


def _volume(launch: LaunchRequest, now: str) -> Volume:
    return Volume(
        id=new_id("vol"),
        device=launch.image.root_device,
        size=launch.volume.size,
        volume_type=launch.volume.volume_type,
        encrypted=launch.volume.encrypted,
        delete_on_termination=True,
        created=now,
        iops=launch.volume.iops,
        throughput=launch.volume.throughput,
        tags=dict(launch.tags.get("volume", {})),
        key=launch.volume.key,
    )


def _tags(launch: LaunchRequest, fleet: str) -> dict[str, str]:
    tags = dict(launch.tags.get("instance", {}))
    if fleet:
        tags["aws:ec2:fleet-id"] = fleet
    if launch.template:
        tags["aws:ec2launchtemplate:id"] = launch.template
        tags["aws:ec2launchtemplate:version"] = launch.template_version
    return tags


def _profile(launch: LaunchRequest) -> dict[str, str]:
    profile = launch.profile
    if profile is None:
        return {}
    return {
        "name": profile.name,
        "arn": profile.arn,
        "id": profile.id,
        "role": profile.role,
        "role_arn": profile.role_arn,
    }


def _spot_request(launch: LaunchRequest) -> str:
    if launch.market != SPOT:
        return ""
    return f"sir-{secrets.token_hex(4)}"
