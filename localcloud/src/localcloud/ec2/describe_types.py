"""Describes the instance types, where they are offered, and their spot prices. The catalogue itself is in types.py."""

import datetime
from collections.abc import Callable, Iterator
from typing import Any

from localcloud.ec2 import codec, types
from localcloud.ec2.context import Handler, Request, iso
from localcloud.ec2.errors import Ec2Error
from localcloud.ec2.filters import Getters, page, select

Record = dict[str, Any]
_MOST_TYPES = 100
"""How many types DescribeInstanceTypes may be asked for, and shows in one page ("EC2 API Reference")."""
# Filters whose name is the path of a field, in words with hyphens.
_BY_PATH = (
    "auto-recovery-supported",
    "bare-metal",
    "burstable-performance-supported",
    "current-generation",
    "dedicated-hosts-supported",
    "ebs-info.attachment-limit-type",
    "ebs-info.ebs-optimized-info.baseline-bandwidth-in-mbps",
    "ebs-info.ebs-optimized-info.baseline-iops",
    "ebs-info.ebs-optimized-info.baseline-throughput-in-mbps",
    "ebs-info.ebs-optimized-info.maximum-bandwidth-in-mbps",
    "ebs-info.ebs-optimized-info.maximum-iops",
    "ebs-info.ebs-optimized-info.maximum-throughput-in-mbps",
    "ebs-info.ebs-optimized-support",
    "ebs-info.encryption-support",
    "ebs-info.maximum-ebs-attachments",
    "ebs-info.nvme-support",
    "free-tier-eligible",
    "hibernation-supported",
    "hypervisor",
    "instance-storage-info.encryption-support",
    "instance-storage-info.nvme-support",
    "instance-storage-info.total-size-in-gb",
    "instance-storage-supported",
    "instance-type",
    "memory-info.size-in-mib",
    "network-info.bandwidth-weightings",
    "network-info.efa-info.maximum-efa-interfaces",
    "network-info.efa-supported",
    "network-info.ena-support",
    "network-info.encryption-in-transit-supported",
    "network-info.flexible-ena-queues-support",
    "network-info.ipv4-addresses-per-interface",
    "network-info.ipv6-addresses-per-interface",
    "network-info.ipv6-supported",
    "network-info.maximum-network-cards",
    "network-info.maximum-network-interfaces",
    "network-info.network-performance",
    "nitro-enclaves-support",
    "nitro-tpm-info.supported-versions",
    "nitro-tpm-support",
    "processor-info.supported-features",
    "processor-info.sustained-clock-speed-in-ghz",
    "reboot-migration-support",
    "vcpu-info.default-cores",
    "vcpu-info.default-threads-per-core",
    "vcpu-info.default-vcpus",
    "vcpu-info.valid-cores",
    "vcpu-info.valid-threads-per-core",
)
# Filters that name one of the values of a list.
_BY_ONE_VALUE = {
    "instance-storage-info.disk.count": "instance-storage-info.disks.count",
    "instance-storage-info.disk.size-in-gb": "instance-storage-info.disks.size-in-gb",
    "instance-storage-info.disk.type": "instance-storage-info.disks.type",
    "processor-info.supported-architecture": "processor-info.supported-architectures",
    "supported-boot-mode": "supported-boot-modes",
    "supported-root-device-type": "supported-root-device-types",
    "supported-usage-class": "supported-usage-classes",
    "supported-virtualization-type": "supported-virtualization-types",
}


def describe_types(request: Request) -> Record:
    """DescribeInstanceTypes: AWS's catalogue, and only the types that some zone of the region offers, unless all are asked for."""
    params = request.params
    request.caller.require("ec2:DescribeInstanceTypes")
    here = _offered_in_region(request)
    known = here
    if params.get("IncludeUnsupportedInRegion"):
        known = list(types.table())
    names = params.get("InstanceTypes") or known
    if len(names) > _MOST_TYPES and params.get("InstanceTypes"):
        raise Ec2Error("InvalidParameterValue", f"At most {_MOST_TYPES} instance types can be named in one request.")
    unknown = sorted(set(names) - set(known))
    if unknown:
        text = f"The following supplied instance types do not exist: [{', '.join(unknown)}]"
        raise Ec2Error("InvalidInstanceType", text)
    chosen = [types.named(name) for name in names]
    paths = {name: name for name in _BY_PATH} | _BY_ONE_VALUE
    getters: Getters[types.InstanceType] = {name: _field(path) for name, path in paths.items()}
    limits = {"max_results": _MOST_TYPES, "default": _MOST_TYPES}
    shown, next_token = page(select(chosen, params.get("Filters"), getters), params, **limits)
    return {"InstanceTypes": [_type(one, one.name in here) for one in shown], "NextToken": next_token}


def describe_offerings(request: Request) -> Record:
    """DescribeInstanceTypeOfferings: unevenly, as in AWS's zones of the same id."""
    params = request.params
    request.caller.require("ec2:DescribeInstanceTypeOfferings")
    location_type = params.get("LocationType") or "region"
    zones = request.context.network.zones(request.region)
    places: dict[str, Callable[[], dict[str, list[str]]]] = {
        "region": lambda: {request.region: _offered_in_region(request)},
        "availability-zone": lambda: {name: sorted(types.offered(zone_id)) for name, zone_id in zones},
        "availability-zone-id": lambda: {zone_id: sorted(types.offered(zone_id)) for _, zone_id in zones},
        "outpost": dict,
    }
    if location_type not in places:
        raise Ec2Error("InvalidParameterValue", f"The location type {location_type} is not valid")
    lines: list[Record] = []
    for place, names in places[location_type]().items():
        lines += [{"InstanceType": name, "LocationType": location_type, "Location": place} for name in names]
    getters: Getters[Record] = {
        "instance-type": lambda line: line["InstanceType"],
        "location": lambda line: line["Location"],
    }
    shown, next_token = page(select(lines, params.get("Filters"), getters), params, default=1000)
    return {"InstanceTypeOfferings": shown, "NextToken": next_token}


def describe_spot_prices(request: Request) -> Record:
    """DescribeSpotPriceHistory: one illustrative price per type and zone that offers it, which never changes."""
    params = request.params
    request.caller.require("ec2:DescribeSpotPriceHistory")
    chosen = [types.named(name) for name in params.get("InstanceTypes") or types.table()]
    products = params.get("ProductDescriptions") or ["Linux/UNIX"]
    since = str(params.get("StartTime") or iso(request.context.clock.now() - datetime.timedelta(hours=1)))
    zones = request.context.network.zones(request.region)
    if params.get("AvailabilityZone"):
        zones = [zone for zone in zones if zone[0] == params["AvailabilityZone"]]
    lines = []
    if any(product.startswith("Linux/UNIX") for product in products):
        for one in chosen:
            lines += [_spot_price(one, *zone, since) for zone in zones if types.sells(zone[1], one, "spot")]
    getters: Getters[Record] = {
        "availability-zone": lambda line: line["AvailabilityZone"],
        "instance-type": lambda line: line["InstanceType"],
        "product-description": lambda line: line["ProductDescription"],
        "spot-price": lambda line: line["SpotPrice"],
    }
    shown, next_token = page(select(lines, params.get("Filters"), getters), params, min_results=1, default=1000)
    return {"SpotPriceHistory": shown, "NextToken": next_token or ""}


def _offered_in_region(request: Request) -> list[str]:
    """Return the names of the types that at least one zone of the region offers."""
    found: set[str] = set()
    for _, zone_id in request.context.network.zones(request.region):
        found |= types.offered(zone_id)
    return sorted(found)


def _field(path: str) -> Callable[[types.InstanceType], list[str]]:
    """Return a function that returns the values of a type's field, as texts."""
    words = [word.replace("-", "") for word in path.split(".")]
    return lambda one: list(_texts(one.document, words))


def _texts(value: Any, words: list[str]) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from _texts(one, words)
    elif isinstance(value, bool):
        yield str(value).lower()
    elif not isinstance(value, dict):
        yield str(value)
    else:
        for name, below in value.items():
            if name.lower() == words[0]:
                yield from _texts(below, words[1:])


def _type(one: types.InstanceType, is_here: bool) -> Record:
    # An older SDK's model does not have every field.
    shown: Record = codec.project("InstanceTypeInfo", one.document | {"SupportedInRegion": is_here})
    return shown


def _spot_price(instance_type: types.InstanceType, zone: str, zone_id: str, since: str) -> Record:
    return {
        "AvailabilityZone": zone,
        "AvailabilityZoneId": zone_id,
        "InstanceType": instance_type.name,
        "ProductDescription": "Linux/UNIX",
        "SpotPrice": f"{types.spot_dollars(instance_type, zone):.6f}",
        "Timestamp": since,
    }


HANDLERS: dict[str, Handler] = {
    "DescribeInstanceTypes": describe_types,
    "DescribeInstanceTypeOfferings": describe_offerings,
    "DescribeSpotPriceHistory": describe_spot_prices,
}
