"""How records look in answers: reservations, instances, volumes. No rule lives here."""

from typing import Any

from localcloud.ec2 import types
from localcloud.ec2.context import Request, tag_list
from localcloud.ec2.records import CODES, SPOT, TERMINATED, Instance


def reservation(request: Request, instances: list[Instance]) -> dict[str, Any]:
    """Instances launched together."""
    return {
        "ReservationId": instances[0].reservation,
        "OwnerId": request.caller.account,
        "Groups": [],
        "Instances": [instance(request, one) for one in instances],
    }


def state(name: str) -> dict[str, Any]:
    """A state with its code."""
    return {"Code": CODES[name], "Name": name}


def instance(request: Request, one: Instance) -> dict[str, Any]:
    """One instance as DescribeInstances shows it; a terminated one has no network and no volume any more."""
    gone = one.state == TERMINATED
    kind = types.named(one.kind)
    shown: dict[str, Any] = {
        "InstanceId": one.id,
        "ImageId": one.image,
        "State": state(one.state),
        "PrivateDnsName": "" if gone else private_name(request.region, one),
        "PublicDnsName": "",
        "StateTransitionReason": one.transition,
        "AmiLaunchIndex": one.index,
        "ProductCodes": [],
        "InstanceType": one.kind,
        "LaunchTime": one.launched,
        "Placement": {
            "AvailabilityZone": one.zone,
            "AvailabilityZoneId": one.zone_id,
            "GroupName": "",
            "Tenancy": "default",
        },
        "Monitoring": {"State": "enabled" if one.monitoring else "disabled"},
        "Architecture": one.architecture,
        "ClientToken": one.token,
        "EbsOptimized": one.ebs_optimized,
        "EnaSupport": True,
        "Hypervisor": "xen",
        "RootDeviceName": one.volume.device,
        "RootDeviceType": "ebs",
        "SourceDestCheck": True,
        "VirtualizationType": "hvm",
        "CpuOptions": {"CoreCount": kind.cores, "ThreadsPerCore": max(1, kind.cpus // kind.cores)},
        "MetadataOptions": {"State": "applied", **one.metadata},
        "MaintenanceOptions": {"AutoRecovery": one.auto_recovery},
        "PlatformDetails": "Linux/UNIX",
        "UsageOperation": "RunInstances",
        "Tags": tag_list(one.tags),
        "BlockDeviceMappings": [],
        "NetworkInterfaces": [],
        "SecurityGroups": [],
    }
    if one.reason_code:
        shown["StateReason"] = {"Code": one.reason_code, "Message": one.reason}
    if one.key:
        shown["KeyName"] = one.key
    if one.market == SPOT:
        shown |= {"InstanceLifecycle": "spot", "SpotInstanceRequestId": one.spot_request}
    if one.profile and not gone:
        shown["IamInstanceProfile"] = {"Arn": one.profile["arn"], "Id": one.profile["id"]}
    return shown if gone else shown | _attached(request, one)


def private_name(region: str, one: Instance) -> str:
    """The name in the VPC's DNS."""
    return f"{one.hostname}.ec2.internal" if region == "us-east-1" else f"{one.hostname}.{region}.compute.internal"


def _attached(request: Request, one: Instance) -> dict[str, Any]:
    names = request.context.network.group_names(request.region, one.groups)
    groups = [{"GroupId": identifier, "GroupName": name} for identifier, name in names.items()]
    disk = {
        "AttachTime": one.volume.created,
        "DeleteOnTermination": one.volume.delete_on_termination,
        "Status": "attached",
        "VolumeId": one.volume.id,
    }
    card = {
        "NetworkInterfaceId": "eni-" + one.id.removeprefix("i-"),
        "Description": "",
        "Groups": groups,
        "InterfaceType": "interface",
        "MacAddress": one.mac,
        "OwnerId": request.caller.account,
        "PrivateIpAddress": one.address,
        "PrivateIpAddresses": [{"Primary": True, "PrivateIpAddress": one.address}],
        "SourceDestCheck": True,
        "Status": "in-use",
        "SubnetId": one.subnet,
        "VpcId": one.vpc,
    }
    return {
        "SubnetId": one.subnet,
        "VpcId": one.vpc,
        "PrivateIpAddress": one.address,
        "SecurityGroups": groups,
        "NetworkInterfaces": [card],
        "BlockDeviceMappings": [{"DeviceName": one.volume.device, "Ebs": disk}],
    }


def volume(request: Request, one: Instance) -> dict[str, Any]:
    """The root volume of an instance that is not terminated."""
    disk = one.volume
    return {
        "VolumeId": disk.id,
        "Size": disk.size,
        "VolumeType": disk.kind,
        "Iops": disk.iops,
        "Throughput": disk.throughput,
        "Encrypted": disk.encrypted,
        "KmsKeyId": f"arn:aws:kms:{request.region}:{request.caller.account}:alias/aws/ebs" if disk.encrypted else None,
        "AvailabilityZone": one.zone,
        "AvailabilityZoneId": one.zone_id,
        "CreateTime": disk.created,
        "State": "in-use",
        "SnapshotId": "",
        "MultiAttachEnabled": False,
        "Tags": tag_list(disk.tags),
        "Attachments": [
            {
                "AttachTime": disk.created,
                "DeleteOnTermination": disk.delete_on_termination,
                "Device": disk.device,
                "InstanceId": one.id,
                "State": "attached",
                "VolumeId": disk.id,
            }
        ],
    }
