"""Which parameters of a launch the local cloud supports. It refuses all others, because it must never ignore a parameter.

Looking up what the parameters name lives in launch_requests.py, volumes in volumes.py.
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
        # Accepted without effect: this machine stands in for every type, so credits would change nothing.
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
_WITHOUT_EFFECT: dict[str, tuple[Any, ...]] = {
    "CapacityReservationSpecification": (
        {"CapacityReservationPreference": "open"},
        {"CapacityReservationPreference": "none"},
    ),
    "EnclaveOptions": ({"Enabled": False},),
    "HibernationOptions": ({"Configured": False},),
    "PrivateDnsNameOptions": ({"HostnameType": "ip-name"},),
}
"""Values of unsupported parameters that request nothing."""
_PLACEMENT = frozenset(("AvailabilityZone", "AvailabilityZoneId", "Tenancy"))
# Instances here never have a public address, as the documentation says, so AssociatePublicIpAddress has no effect.
_INTERFACE = frozenset(
    ("AssociatePublicIpAddress", "DeleteOnTermination", "DeviceIndex", "Groups", "PrivateIpAddress", "SubnetId")
)
_INSTANCE_LEVEL = ("SecurityGroupIds", "SecurityGroups", "SubnetId", "PrivateIpAddress")
_SPOT_OPTIONS = frozenset(("InstanceInterruptionBehavior", "MaxPrice", "SpotInstanceType"))


def require_supported(values: dict[str, Any], supported: Collection[str], what: str) -> None:
    """Raise Ec2Error (UnsupportedOperation) for a key that is not supported, unless its value requests nothing.

    The message begins with `what`, such as "The launch parameter", and the key.
    """
    for name, value in values.items():
        if name not in supported and value and value not in _WITHOUT_EFFECT.get(name, ()):
            raise not_supported(f"{what} {name}")


def check_launch(data: dict[str, Any]) -> None:
    """Raise Ec2Error for launch data with unsupported parameters, or with combinations that AWS refuses."""
    require_supported(data, _LAUNCH, "The launch parameter")
    _check_placement(data.get("Placement") or {})
    require_supported(data.get("MaintenanceOptions") or {}, ("AutoRecovery",), "The maintenance option")
    profile = data.get("IamInstanceProfile") or {}
    if profile.get("Name") and profile.get("Arn"):
        text = "An instance profile is given by its name or by its ARN, not by both."
        raise Ec2Error("InvalidParameterCombination", text)


def network_interface(data: dict[str, Any]) -> dict[str, Any]:
    """Return the only network interface in launch data, or {}. Raises Ec2Error."""
    interfaces = data.get("NetworkInterfaces") or []
    if not interfaces:
        return {}
    if len(interfaces) > 1:
        raise not_supported("A second network interface")
    if any(data.get(name) for name in _INSTANCE_LEVEL):
        text = "Network interfaces and an instance-level subnet ID or security groups may not be specified on the same request"
        raise Ec2Error("InvalidParameterCombination", text)
    interface = dict(interfaces[0])
    if interface.get("NetworkInterfaceId"):
        text = f"The networkInterface ID '{interface['NetworkInterfaceId']}' does not exist"
        raise Ec2Error("InvalidNetworkInterfaceID.NotFound", text)
    if interface.get("InterfaceType") == "interface":
        del interface["InterfaceType"]
    require_supported(interface, _INTERFACE, "The network interface's")
    if "DeviceIndex" not in interface:
        raise missing("NetworkInterface.1.DeviceIndex")
    if interface["DeviceIndex"] != 0:
        raise invalid(interface["DeviceIndex"], "DeviceIndex", "The primary network interface has device index 0.")
    if interface.get("DeleteOnTermination", True) is not True:
        raise not_supported("A network interface that is kept after its instance")
    return interface


def check_spot(data: dict[str, Any], market: str) -> None:
    """Raise Ec2Error for spot options that a one-time request does not have.

    Source: "EC2 API Reference", SpotMarketOptions: other behaviors and ValidUntil need a persistent request.
    """
    options = data.get("InstanceMarketOptions") or {}
    spot = options.get("SpotOptions") or {}
    if spot.get("SpotInstanceType", "one-time") != "one-time":
        raise not_supported("A persistent spot request")
    if spot and market != SPOT:
        raise Ec2Error("InvalidParameterCombination", "SpotOptions need the MarketType `spot`.")
    behavior = spot.get("InstanceInterruptionBehavior", "terminate")
    if behavior != "terminate":
        text = f"The interruption behavior {behavior} is not supported for a one-time Spot Instance request."
        raise Ec2Error("InvalidParameterCombination", text)
    if spot.get("ValidUntil"):
        text = "ValidUntil is not supported for a one-time Spot Instance request."
        raise Ec2Error("InvalidParameterCombination", text)
    require_supported(spot, _SPOT_OPTIONS, "The spot option")


def check_max_price(price: str | None, name: str, instance_type: types.InstanceType, zone: str) -> None:
    """Raise Ec2Error if the maximum price per hour is not a price, or is below the spot price of the zone."""
    if price is not None and dollars(price, name) < types.spot_dollars(instance_type, zone):
        text = f"Your Spot request price of {price} is lower than the minimum required."
        raise Ec2Error("SpotMaxPriceTooLow", text)


def dollars(price: str, name: str) -> float:
    """Parse a price above 0; `name` is the parameter. Raises Ec2Error."""
    try:
        found = float(price)
    except ValueError:
        found = 0.0
    if not math.isfinite(found) or found <= 0:
        raise invalid(price, name, "It must be a price in dollars.")
    return found


def _check_placement(placement: dict[str, Any]) -> None:
    for name in ("GroupName", "GroupId"):
        if placement.get(name):
            raise Ec2Error("InvalidPlacementGroup.Unknown", f"The Placement Group '{placement[name]}' is unknown.")
    if placement.get("HostId"):
        raise Ec2Error("InvalidHostID.NotFound", f"The host ID '{placement['HostId']}' does not exist")
    if placement.get("Tenancy", "default") != "default":
        raise not_supported("Dedicated tenancy")
    require_supported(placement, _PLACEMENT, "The placement's")
