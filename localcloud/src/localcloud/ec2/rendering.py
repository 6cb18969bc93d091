"""The shape of records in answers: reservations, instances, volumes. No rule lives here."""

from typing import Any

from localcloud.ec2 import disk_keys, types
from localcloud.ec2.context import Request, tag_list
from localcloud.ec2.records import CODES, SPOT, TERMINATED, Instance


def reservation(request: Request, instances: list[Instance]) -> dict[str, Any]:
    """Return the reservation of instances that were launched together."""
    return {
        "ReservationId": instances[0].reservation,
        "OwnerId": request.caller.account,
        "Groups": [],
        "Instances": [render_instance(request, instance) for instance in instances],
    }


def state(name: str) -> dict[str, Any]:
    """Return a state with its code."""
    return {"Code": CODES[name], "Name": name}


def render_instance(request: Request, instance: Instance) -> dict[str, Any]:
    """Return an instance as in DescribeInstances. A terminated one no longer has a network, a volume or a profile."""
    shown = _always_shown(instance) | _optional(instance)
    if instance.state == TERMINATED:
        return shown
    shown["PrivateDnsName"] = private_name(request.region, instance)
    if instance.profile:
        shown["IamInstanceProfile"] = {"Arn": instance.profile["arn"], "Id": instance.profile["id"]}
    return shown | _network_and_volume(request, instance)


def private_name(region: str, instance: Instance) -> str:
    """Return the instance's name in the DNS of its VPC."""
    if region == "us-east-1":
        return f"{instance.hostname}.ec2.internal"
    return f"{instance.hostname}.{region}.compute.internal"


def render_volume(request: Request, instance: Instance) -> dict[str, Any]:
    """Return the root volume of an instance that is not terminated."""
    volume = instance.volume
    shown = {
        "VolumeId": volume.id,
        "Size": volume.size,
        "VolumeType": volume.volume_type,
        "Iops": volume.iops,
        "Throughput": volume.throughput,
        "Encrypted": volume.encrypted,
        "AvailabilityZone": instance.zone,
        "AvailabilityZoneId": instance.zone_id,
        "CreateTime": volume.created,
        "State": "in-use",
        "SnapshotId": "",
        "MultiAttachEnabled": False,
        "Tags": tag_list(volume.tags),
        "Attachments": [
            {
                "AttachTime": volume.created,
                "DeleteOnTermination": volume.delete_on_termination,
                "Device": volume.device,
                "InstanceId": instance.id,
                "State": "attached",
                "VolumeId": volume.id,
            }
        ],
    }
    if volume.encrypted:
        shown["KmsKeyId"] = disk_keys.arn(request, volume.key)
    return shown


def _always_shown(instance: Instance) -> dict[str, Any]:
    instance_type = types.named(instance.instance_type)
    return {
        "InstanceId": instance.id,
        "ImageId": instance.image,
        "State": state(instance.state),
        "PrivateDnsName": "",
        "PublicDnsName": "",
        "StateTransitionReason": instance.transition,
        "AmiLaunchIndex": instance.index,
        "ProductCodes": [],
        "InstanceType": instance.instance_type,
        "LaunchTime": instance.launched,
        "Placement": {
            "AvailabilityZone": instance.zone,
            "AvailabilityZoneId": instance.zone_id,
            "GroupName": "",
            "Tenancy": "default",
        },
        "Monitoring": {"State": "enabled" if instance.monitoring else "disabled"},
        "Architecture": instance.architecture,
        "ClientToken": instance.token,
        "EbsOptimized": instance.ebs_optimized,
        "EnaSupport": True,
        "Hypervisor": "xen",
        "RootDeviceName": instance.volume.device,
        "RootDeviceType": "ebs",
        "SourceDestCheck": True,
        "VirtualizationType": "hvm",
        "CpuOptions": {"CoreCount": instance_type.cores, "ThreadsPerCore": instance_type.threads_per_core},
        "MetadataOptions": {"State": "applied", **instance.metadata},
        "MaintenanceOptions": {"AutoRecovery": instance.auto_recovery},
        "PlatformDetails": "Linux/UNIX",
        "UsageOperation": "RunInstances",
        "Tags": tag_list(instance.tags),
        "BlockDeviceMappings": [],
        "NetworkInterfaces": [],
        "SecurityGroups": [],
    }


def _optional(instance: Instance) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if instance.reason_code:
        shown["StateReason"] = {"Code": instance.reason_code, "Message": instance.reason}
    if instance.key:
        shown["KeyName"] = instance.key
    if instance.market == SPOT:
        shown |= {"InstanceLifecycle": "spot", "SpotInstanceRequestId": instance.spot_request}
    return shown


def _network_and_volume(request: Request, instance: Instance) -> dict[str, Any]:
    names = request.context.network.group_names(request.region, instance.groups)
    groups = [{"GroupId": identifier, "GroupName": name} for identifier, name in names.items()]
    volume = {
        "AttachTime": instance.volume.created,
        "DeleteOnTermination": instance.volume.delete_on_termination,
        "Status": "attached",
        "VolumeId": instance.volume.id,
    }
    interface = {
        "NetworkInterfaceId": "eni-" + instance.id.removeprefix("i-"),
        "Description": "",
        "Groups": groups,
        "InterfaceType": "interface",
        "MacAddress": instance.mac,
        "OwnerId": request.caller.account,
        "PrivateIpAddress": instance.address,
        "PrivateIpAddresses": [{"Primary": True, "PrivateIpAddress": instance.address}],
        "SourceDestCheck": True,
        "Status": "in-use",
        "SubnetId": instance.subnet,
        "VpcId": instance.vpc,
    }
    return {
        "SubnetId": instance.subnet,
        "VpcId": instance.vpc,
        "PrivateIpAddress": instance.address,
        "SecurityGroups": groups,
        "NetworkInterfaces": [interface],
        "BlockDeviceMappings": [{"DeviceName": instance.volume.device, "Ebs": volume}],
    }
