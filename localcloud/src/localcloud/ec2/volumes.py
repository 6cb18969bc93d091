"""The root volume that a launch requests, checked as AWS checks it. How a guest's disk is made does not live here.

Source of all ranges: "EC2 API Reference", EbsBlockDevice, and "EBS User Guide", EBS volume types.
"""

from dataclasses import dataclass
from typing import Any

from localcloud.ec2.errors import Ec2Error, invalid, missing, not_supported
from localcloud.ec2.supported import require_supported
from localcloud.services import images


@dataclass(frozen=True)
class RootVolume:
    """A root volume: `size` in GiB, `throughput` in MiB/s, `key` as the launch names it ("": the account's default)."""

    size: int
    volume_type: str = "gp3"
    encrypted: bool = False
    iops: int | None = None
    throughput: int | None = None
    key: str = ""


@dataclass(frozen=True)
class _Limits:
    """The limits of a volume type: sizes in GiB, provisioned IOPS (None: not configurable) and IOPS per GiB."""

    sizes: tuple[int, int]
    iops: tuple[int, int] | None = None
    iops_per_gib: int = 0


_LIMITS = {
    "gp2": _Limits((1, 16384)),
    "gp3": _Limits((1, 65536), (3000, 80000), 500),
    "io1": _Limits((4, 16384), (100, 64000), 50),
    "io2": _Limits((4, 65536), (100, 256000), 1000),
    "standard": _Limits((1, 1024)),
}
_THROUGHPUTS = (125, 2000)
_GP3_IOPS = 3000
_GP3_THROUGHPUT = 125
_SUPPORTED = (
    "DeleteOnTermination",
    "Encrypted",
    "Iops",
    "KmsKeyId",
    "SnapshotId",
    "Throughput",
    "VolumeSize",
    "VolumeType",
)


def root_volume(image: images.Image, data: dict[str, Any]) -> RootVolume:
    """Return the root volume of a launch. Raises Ec2Error."""
    mappings = data.get("BlockDeviceMappings") or ()
    names = [mapping.get("DeviceName") for mapping in mappings]
    for name in names:
        if names.count(name) > 1:
            text = f"The device '{name}' is used in more than one block-device mapping"
            raise Ec2Error("InvalidBlockDeviceMapping", text)
    disk: dict[str, Any] = {}
    for mapping in mappings:
        if mapping.get("DeviceName") != image.root_device:
            raise not_supported(f"A volume at {mapping.get('DeviceName')} (the root device is {image.root_device})")
        require_supported(mapping, ("DeviceName", "Ebs"), "The block-device mapping's")
        disk = mapping.get("Ebs") or {}
    return _checked(image, disk)


def _checked(image: images.Image, disk: dict[str, Any]) -> RootVolume:
    require_supported(disk, _SUPPORTED, "The volume's")
    _check_options(disk)
    name = disk.get("VolumeType", "gp3")
    if name not in _LIMITS:
        raise Ec2Error("InvalidBlockDeviceMapping", f"A root volume cannot be of the type {name}.")
    limits, size = _LIMITS[name], disk.get("VolumeSize", image.size)
    if size < image.size:
        text = f"Volume of size {size}GB is smaller than snapshot, expect size>= {image.size}GB"
        raise Ec2Error("InvalidBlockDeviceMapping", text)
    if not limits.sizes[0] <= size <= limits.sizes[1]:
        raise invalid(size, "VolumeSize", f"A volume of type {name} has {limits.sizes[0]} to {limits.sizes[1]} GiB.")
    iops = _iops(limits, name, size, disk.get("Iops"))
    throughput = _throughput(name, disk.get("Throughput"), disk.get("Iops") or _GP3_IOPS)
    if name == "gp3":
        iops, throughput = iops or _GP3_IOPS, throughput or _GP3_THROUGHPUT
    return RootVolume(size, name, bool(disk.get("Encrypted", False)), iops, throughput, disk.get("KmsKeyId") or "")


def _check_options(disk: dict[str, Any]) -> None:
    if disk.get("SnapshotId"):
        raise Ec2Error("InvalidSnapshot.NotFound", f"The snapshot '{disk['SnapshotId']}' does not exist.")
    if disk.get("KmsKeyId") and not disk.get("Encrypted"):
        text = "The parameter KmsKeyId requires the parameter Encrypted to be set."
        raise Ec2Error("InvalidParameterDependency", text)
    if disk.get("DeleteOnTermination", True) is not True:
        raise not_supported("A volume that is kept after its instance")


def _iops(limits: _Limits, name: str, size: int, iops: int | None) -> int | None:
    if limits.iops is None:
        if iops is not None:
            raise Ec2Error("InvalidParameterCombination", f"The parameter iops is not supported for {name} volumes.")
        return None
    if iops is None:
        if name != "gp3":
            raise missing("Iops")
        return None
    if not limits.iops[0] <= iops <= limits.iops[1]:
        raise invalid(iops, "Iops", f"A volume of type {name} has {limits.iops[0]} to {limits.iops[1]} IOPS.")
    if iops > max(limits.iops_per_gib * size, limits.iops[0]):
        raise invalid(iops, "Iops", f"A volume of type {name} has at most {limits.iops_per_gib} IOPS per GiB.")
    return iops


def _throughput(name: str, throughput: int | None, iops: int) -> int | None:
    if throughput is None:
        return None
    if name != "gp3":
        text = f"The parameter throughput is not supported for {name} volumes."
        raise Ec2Error("InvalidParameterCombination", text)
    if not _THROUGHPUTS[0] <= throughput <= _THROUGHPUTS[1]:
        raise invalid(throughput, "Throughput", f"It must be {_THROUGHPUTS[0]} to {_THROUGHPUTS[1]} MiB/s.")
    # Each IOPS allows a quarter of a MiB/s.
    if throughput * 4 > iops:
        raise invalid(throughput, "Throughput", f"{iops} IOPS allow at most {iops // 4} MiB/s.")
    return throughput
