"""DescribeInstances, DescribeInstanceStatus and DescribeVolumes. Nothing here changes a record."""

from collections.abc import Callable
from typing import Any

from localcloud.ec2 import rendering
from localcloud.ec2.context import Handler, Request
from localcloud.ec2.errors import Ec2Error
from localcloud.ec2.filters import Getters, Values, page, reject_ids_with_max_results, select
from localcloud.ec2.instances import by_ids
from localcloud.ec2.records import CODES, RUNNING, SPOT, Instance

_STATUS_FILTERS = ("instance-state-name", "instance-state-code", "availability-zone", "availability-zone-id")


def describe(request: Request) -> dict[str, Any]:
    """DescribeInstances."""
    params = request.params
    request.caller.require("ec2:DescribeInstances")
    found = select(_chosen(request), params.get("Filters"), _getters(request), tags=_tags)
    shown_page, next_token = page(found, params)
    reservations: dict[str, list[Instance]] = {}
    for instance in shown_page:
        reservations.setdefault(instance.reservation, []).append(instance)
    return {
        "Reservations": [rendering.reservation(request, group) for group in reservations.values()],
        "NextToken": next_token,
    }


def describe_status(request: Request) -> dict[str, Any]:
    """DescribeInstanceStatus: running instances, or all with IncludeAllInstances."""
    params = request.params
    request.caller.require("ec2:DescribeInstanceStatus")
    chosen = _chosen(request)
    if not params.get("IncludeAllInstances"):
        chosen = [instance for instance in chosen if instance.state == RUNNING]
    getters = {name: get for name, get in _getters(request).items() if name in _STATUS_FILTERS}
    shown_page, next_token = page(select(chosen, params.get("Filters"), getters, tags=_tags), params)
    return {"InstanceStatuses": [_status(instance) for instance in shown_page], "NextToken": next_token}


def describe_volumes(request: Request) -> dict[str, Any]:
    """DescribeVolumes: the root volumes."""
    params = request.params
    request.caller.require("ec2:DescribeVolumes")
    reject_ids_with_max_results(params, "VolumeIds")
    found = request.records.not_terminated()
    identifiers = params.get("VolumeIds") or ()
    for identifier in identifiers:
        if identifier not in {instance.volume.id for instance in found}:
            raise Ec2Error("InvalidVolume.NotFound", f"The volume '{identifier}' does not exist.")
    if identifiers:
        found = [instance for instance in found if instance.volume.id in identifiers]
    getters: Getters[Instance] = {
        "volume-id": lambda instance: instance.volume.id,
        "attachment.instance-id": lambda instance: instance.id,
        "attachment.device": lambda instance: instance.volume.device,
        "attachment.delete-on-termination": lambda instance: instance.volume.delete_on_termination,
        "attachment.status": lambda _: "attached",
        "availability-zone": lambda instance: instance.zone,
        "encrypted": lambda instance: instance.volume.encrypted,
        "size": lambda instance: instance.volume.size,
        "status": lambda _: "in-use",
        "volume-type": lambda instance: instance.volume.volume_type,
    }
    chosen = select(found, params.get("Filters"), getters, tags=lambda instance: instance.volume.tags)
    shown_page, next_token = page(chosen, params)
    return {"Volumes": [rendering.render_volume(request, instance) for instance in shown_page], "NextToken": next_token}


def _chosen(request: Request) -> list[Instance]:
    """Return the instances of the request's ids, or all."""
    reject_ids_with_max_results(request.params, "InstanceIds")
    identifiers = request.params.get("InstanceIds")
    if identifiers:
        return by_ids(request, identifiers)
    return list(request.records.instances.values())


def _status(instance: Instance) -> dict[str, Any]:
    check: dict[str, Any] = {"Status": "not-applicable", "Details": []}
    if instance.state == RUNNING:
        check = {"Status": "ok", "Details": [{"Name": "reachability", "Status": "passed"}]}
    return {
        "AvailabilityZone": instance.zone,
        "AvailabilityZoneId": instance.zone_id,
        "InstanceId": instance.id,
        "InstanceState": rendering.state(instance.state),
        "InstanceStatus": check,
        "SystemStatus": check,
    }


def _tags(instance: Instance) -> dict[str, str]:
    return instance.tags


def _lifecycle(instance: Instance) -> str | None:
    if instance.market == SPOT:
        return "spot"
    return None


def _getters(request: Request) -> Getters[Instance]:
    getters: Getters[Instance] = {
        "instance-id": lambda instance: instance.id,
        "instance-type": lambda instance: instance.instance_type,
        "instance-state-name": lambda instance: instance.state,
        "instance-state-code": lambda instance: CODES[instance.state],
        "instance-lifecycle": _lifecycle,
        "image-id": lambda instance: instance.image,
        "availability-zone": lambda instance: instance.zone,
        "availability-zone-id": lambda instance: instance.zone_id,
        "client-token": lambda instance: instance.token,
        "reservation-id": lambda instance: instance.reservation,
        "architecture": lambda instance: instance.architecture,
        "key-name": lambda instance: instance.key or None,
        "launch-time": lambda instance: instance.launched,
        "owner-id": lambda _: request.caller.account,
        "root-device-name": lambda instance: instance.volume.device,
        "root-device-type": lambda _: "ebs",
        "spot-instance-request-id": lambda instance: instance.spot_request or None,
        "state-reason-code": lambda instance: instance.reason_code,
        "reason": lambda instance: instance.transition,
        "instance.group-id": lambda instance: instance.groups,
        "iam-instance-profile.arn": lambda instance: instance.profile.get("arn"),
        "iam-instance-profile.id": lambda instance: instance.profile.get("id"),
        "launch-index": lambda instance: instance.index,
        "metadata-options.http-tokens": lambda instance: instance.metadata.get("HttpTokens"),
        "metadata-options.http-endpoint": lambda instance: instance.metadata.get("HttpEndpoint"),
        "tenancy": lambda _: "default",
    }
    return getters | {name: _until_terminated(get) for name, get in _attached_getters(request.region).items()}


def _attached_getters(region: str) -> Getters[Instance]:
    """Return the filters on the network and the volume, which a terminated instance no longer has."""
    return {
        "subnet-id": lambda instance: instance.subnet,
        "vpc-id": lambda instance: instance.vpc,
        "private-ip-address": lambda instance: instance.address,
        "private-dns-name": lambda instance: rendering.private_name(region, instance),
        "block-device-mapping.volume-id": lambda instance: instance.volume.id,
        "block-device-mapping.device-name": lambda instance: instance.volume.device,
    }


def _until_terminated(get: Callable[[Instance], Values]) -> Callable[[Instance], Values]:
    def get_or_none(instance: Instance) -> Values:
        if instance.ended:
            return None
        return get(instance)

    return get_or_none


HANDLERS: dict[str, Handler] = {
    "DescribeInstances": describe,
    "DescribeInstanceStatus": describe_status,
    "DescribeVolumes": describe_volumes,
}
