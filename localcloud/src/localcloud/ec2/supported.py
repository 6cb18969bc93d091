"""Which parameters of a launch this cloud plays, and the refusal of every other one: what is not played is never ignored.

Looking up what the played ones name is in launch_requests.py, disks in volumes.py.
"""

import math
from collections.abc import Collection
from typing import Any

from localcloud.ec2 import types
from localcloud.ec2.errors import Ec2Error, invalid, missing, not_supported
from localcloud.ec2.records import SPOT

_LAUNCH = frozenset(
    (
        "BlockDeviceMappings",
        # Taken, because a guest of any type is played by this machine: nothing of it would be seen.
        "CreditSpecification",
        "DisableApiTermination",
        "EbsOptimized",
        "IamInstanceProfile",
        "ImageId",
        "InstanceInitiatedShutdownBehavior",
        "InstanceMarketOptions",
        "InstanceType",
        "KeyName",
        "MaintenanceOptions",
        "MetadataOptions",
        "Monitoring",
        "NetworkInterfaces",
        "Placement",
        "PrivateIpAddress",
        "SecurityGroupIds",
        "SecurityGroups",
        "SubnetId",
        "TagSpecifications",
        "UserData",
    )
)
_NOTHING_ASKED: dict[str, tuple[Any, ...]] = {
    "CapacityReservationSpecification": (
        {"CapacityReservationPreference": "open"},
        {"CapacityReservationPreference": "none"},
    ),
    "EnclaveOptions": ({"Enabled": False},),
    "HibernationOptions": ({"Configured": False},),
    "PrivateDnsNameOptions": ({"HostnameType": "ip-name"},),
}
_PLACEMENT = frozenset(("AvailabilityZone", "AvailabilityZoneId", "Tenancy"))
# A public address is documented as never given, whatever is asked.
_CARD = frozenset(
    ("AssociatePublicIpAddress", "DeleteOnTermination", "DeviceIndex", "Groups", "PrivateIpAddress", "SubnetId")
)
_OF_SPOT = frozenset(("InstanceInterruptionBehavior", "MaxPrice", "SpotInstanceType"))


def only(said: dict[str, Any], played: Collection[str], what: str) -> None:
    """Raise Ec2Error (UnsupportedOperation) for a key that is not played; one whose value asks for nothing is let pass."""
    for name, value in said.items():
        if name not in played and value and value not in _NOTHING_ASKED.get(name, ()):
            raise not_supported(f"{what} {name}")


def check_launch(data: dict[str, Any]) -> None:
    """Raise Ec2Error for launch data that names what is not played, or combines what AWS does not let be combined."""
    only(data, _LAUNCH, "The launch parameter")
    _check_placement(data.get("Placement") or {})
    only(data.get("MaintenanceOptions") or {}, ("AutoRecovery",), "The maintenance option")
    said = data.get("IamInstanceProfile") or {}
    if said.get("Name") and said.get("Arn"):
        raise Ec2Error(
            "InvalidParameterCombination", "An instance profile is given by its name or by its ARN, not by both."
        )


def card(data: dict[str, Any]) -> dict[str, Any]:
    """The one network interface that launch data describes, or {}. Raises Ec2Error."""
    cards = data.get("NetworkInterfaces") or []
    if not cards:
        return {}
    if len(cards) > 1:
        raise not_supported("A second network interface")
    if any(data.get(name) for name in ("SecurityGroupIds", "SecurityGroups", "SubnetId", "PrivateIpAddress")):
        text = "Network interfaces and an instance-level subnet ID or security groups may not be specified on the same request"
        raise Ec2Error("InvalidParameterCombination", text)
    one = dict(cards[0])
    if one.get("NetworkInterfaceId"):
        text = f"The networkInterface ID '{one['NetworkInterfaceId']}' does not exist"
        raise Ec2Error("InvalidNetworkInterfaceID.NotFound", text)
    if one.get("InterfaceType") == "interface":
        del one["InterfaceType"]
    only(one, _CARD, "The network interface's")
    if "DeviceIndex" not in one:
        raise missing("NetworkInterface.1.DeviceIndex")
    if one["DeviceIndex"] != 0:
        raise invalid(one["DeviceIndex"], "DeviceIndex", "The primary network interface has device index 0.")
    if one.get("DeleteOnTermination", True) is not True:
        raise not_supported("A network interface that is kept after its instance")
    return one


def check_spot(data: dict[str, Any], market: str) -> None:
    """Raise Ec2Error for spot options that a one-time request does not have.

    Source: "EC2 API Reference", SpotMarketOptions: other behaviours need a persistent request, ValidUntil too.
    """
    options = data.get("InstanceMarketOptions") or {}
    spot = options.get("SpotOptions") or {}
    if spot.get("SpotInstanceType", "one-time") != "one-time":
        raise not_supported("A persistent spot request")
    if spot and market != SPOT:
        raise Ec2Error("InvalidParameterCombination", "SpotOptions need the MarketType `spot`.")
    behaviour = spot.get("InstanceInterruptionBehavior", "terminate")
    if behaviour != "terminate":
        text = f"The interruption behavior {behaviour} is not supported for a one-time Spot Instance request."
        raise Ec2Error("InvalidParameterCombination", text)
    if spot.get("ValidUntil"):
        raise Ec2Error(
            "InvalidParameterCombination", "ValidUntil is not supported for a one-time Spot Instance request."
        )
    only(spot, _OF_SPOT, "The spot option")


def check_ceiling(said: str | None, name: str, kind: types.InstanceType, zone: str) -> None:
    """Raise Ec2Error when a spot price per hour that may not be exceeded is none, or below the price of the zone."""
    if said is not None and dollars(said, name) < types.spot_dollars(kind, zone):
        text = f"Your Spot request price of {said} is lower than the minimum required."
        raise Ec2Error("SpotMaxPriceTooLow", text)


def dollars(said: str, name: str) -> float:
    """A price in words as a number above 0. Raises Ec2Error."""
    try:
        found = float(said)
    except ValueError:
        found = 0.0
    if not math.isfinite(found) or found <= 0:
        raise invalid(said, name, "It is a price in dollars.")
    return found


def _check_placement(said: dict[str, Any]) -> None:
    for name in ("GroupName", "GroupId"):
        if said.get(name):
            raise Ec2Error("InvalidPlacementGroup.Unknown", f"The Placement Group '{said[name]}' is unknown.")
    if said.get("HostId"):
        raise Ec2Error("InvalidHostID.NotFound", f"The host ID '{said['HostId']}' does not exist")
    if said.get("Tenancy", "default") != "default":
        raise not_supported("Dedicated tenancy")
    only(said, _PLACEMENT, "The placement's")
