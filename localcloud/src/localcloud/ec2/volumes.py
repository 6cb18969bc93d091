"""The root volume that a launch asks for, checked as AWS checks it. What a guest's disk is made of is not here.

Source of all ranges: "EC2 API Reference", EbsBlockDevice, and "EBS User Guide", EBS volume types.
"""

from dataclasses import dataclass
from typing import Any

from localcloud.ec2.errors import Ec2Error, invalid, missing, not_supported
from localcloud.ec2.supported import only
from localcloud.services import images


@dataclass(frozen=True)
class _Kind:
    """A volume type: sizes in GiB, provisioned IOPS (none: it has no such parameter) and how many of them a GiB allows."""

    sizes: tuple[int, int]
    iops: tuple[int, int] | None = None
    iops_per_gib: int = 0


_KINDS = {
    "gp2": _Kind((1, 16384)),
    "gp3": _Kind((1, 65536), (3000, 80000), 500),
    "io1": _Kind((4, 16384), (100, 64000), 50),
    "io2": _Kind((4, 65536), (100, 256000), 1000),
    "standard": _Kind((1, 1024)),
}
_THROUGHPUTS = (125, 2000)
_PLAYED = (
    "DeleteOnTermination",
    "Encrypted",
    "Iops",
    "KmsKeyId",
    "SnapshotId",
    "Throughput",
    "VolumeSize",
    "VolumeType",
)


def root_volume(image: images.Image, data: dict[str, Any]) -> dict[str, Any]:
    """{size (GiB), kind, encrypted, delete, iops, throughput (MiB/s)} of the root volume of a launch. Raises Ec2Error."""
    mappings = data.get("BlockDeviceMappings") or ()
    names = [mapping.get("DeviceName") for mapping in mappings]
    for name in names:
        if names.count(name) > 1:
            raise Ec2Error(
                "InvalidBlockDeviceMapping", f"The device '{name}' is used in more than one block-device mapping"
            )
    found: dict[str, Any] = {"size": image.size, "kind": "gp3", "encrypted": False, "delete": True}
    for mapping in mappings:
        if mapping.get("DeviceName") != image.root_device:
            raise not_supported(f"A volume at {mapping.get('DeviceName')} (the root device is {image.root_device})")
        only(mapping, ("DeviceName", "Ebs"), "The block-device mapping's")
        found = _checked(image, mapping.get("Ebs") or {})
    if found["kind"] == "gp3":
        found["iops"] = found.get("iops") or 3000
        found["throughput"] = found.get("throughput") or 125
    return found


def _checked(image: images.Image, disk: dict[str, Any]) -> dict[str, Any]:
    only(disk, _PLAYED, "The volume's")
    if disk.get("SnapshotId"):
        raise Ec2Error("InvalidSnapshot.NotFound", f"The snapshot '{disk['SnapshotId']}' does not exist.")
    if disk.get("KmsKeyId"):
        if not disk.get("Encrypted"):
            text = "The parameter KmsKeyId requires the parameter Encrypted to be set."
            raise Ec2Error("InvalidParameterDependency", text)
        raise not_supported("A volume encrypted with a key of one's own")
    if disk.get("DeleteOnTermination", True) is not True:
        raise not_supported("A volume that is kept after its instance")
    name = disk.get("VolumeType", "gp3")
    if name not in _KINDS:
        raise Ec2Error("InvalidBlockDeviceMapping", f"A root volume cannot be of the type {name}.")
    kind, size = _KINDS[name], disk.get("VolumeSize", image.size)
    if size < image.size:
        text = f"Volume of size {size}GB is smaller than snapshot, expect size>= {image.size}GB"
        raise Ec2Error("InvalidBlockDeviceMapping", text)
    if not kind.sizes[0] <= size <= kind.sizes[1]:
        raise invalid(size, "VolumeSize", f"A volume of type {name} has {kind.sizes[0]} to {kind.sizes[1]} GiB.")
    return {
        "size": size,
        "kind": name,
        "encrypted": bool(disk.get("Encrypted", False)),
        "delete": True,
        "iops": _iops(kind, name, size, disk.get("Iops")),
        "throughput": _throughput(name, disk.get("Throughput"), disk.get("Iops") or 3000),
    }


def _iops(kind: _Kind, name: str, size: int, said: int | None) -> int | None:
    if kind.iops is None:
        if said is not None:
            raise Ec2Error("InvalidParameterCombination", f"The parameter iops is not supported for {name} volumes.")
        return None
    if said is None:
        if name != "gp3":
            raise missing("Iops")
        return None
    if not kind.iops[0] <= said <= kind.iops[1]:
        raise invalid(said, "Iops", f"A volume of type {name} has {kind.iops[0]} to {kind.iops[1]} IOPS.")
    if said > max(kind.iops_per_gib * size, kind.iops[0]):
        raise invalid(said, "Iops", f"A volume of type {name} has at most {kind.iops_per_gib} IOPS per GiB.")
    return said


def _throughput(name: str, said: int | None, iops: int) -> int | None:
    if said is None:
        return None
    if name != "gp3":
        raise Ec2Error("InvalidParameterCombination", f"The parameter throughput is not supported for {name} volumes.")
    if not _THROUGHPUTS[0] <= said <= _THROUGHPUTS[1]:
        raise invalid(said, "Throughput", f"It is {_THROUGHPUTS[0]} to {_THROUGHPUTS[1]} MiB/s.")
    # A quarter of a MiB/s per IOPS.
    if said * 4 > iops:
        raise invalid(said, "Throughput", f"{iops} IOPS allow at most {iops // 4} MiB/s.")
    return said
