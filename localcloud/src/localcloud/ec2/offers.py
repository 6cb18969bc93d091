"""Whether the type of a launch is offered in its zone and market, and how RunInstances and CreateFleet refuse it if not.

Which zone offers what is data: types.py.
"""

from localcloud.ec2 import types
from localcloud.ec2.context import Request
from localcloud.ec2.errors import Ec2Error
from localcloud.ec2.launch_requests import LaunchRequest

FLEET_CODE = "InvalidFleetConfiguration"
"""The code of a fleet's pool whose type its zone does not offer."""


def check(request: Request, launch: LaunchRequest) -> None:
    """Raise Ec2Error (Unsupported) for a launch by RunInstances whose type its zone does not offer."""
    if is_offered(launch):
        return
    zones = request.context.network.zones(request.region)
    others = [name for name, zone_id in zones if types.sells(zone_id, launch.instance_type, launch.market)]
    if not others:
        text = (
            "The requested configuration is currently not supported. "
            "Please check the documentation for supported configurations."
        )
        raise Ec2Error("Unsupported", text)
    advice = "Please retry your request by not specifying an Availability Zone or choosing"
    raise Ec2Error("Unsupported", f"{_text(launch)} {advice} {', '.join(others)}.")


def fleet_error(launch: LaunchRequest) -> Ec2Error | None:
    """Return the error of a fleet's pool whose type its zone does not offer, or None if it does."""
    if is_offered(launch):
        return None
    return Ec2Error(FLEET_CODE, _text(launch))


def is_offered(launch: LaunchRequest) -> bool:
    """Whether the zone of a launch offers its type in its market."""
    return types.sells(launch.subnet.zone_id, launch.instance_type, launch.market)


def _text(launch: LaunchRequest) -> str:
    name, zone = launch.instance_type.name, launch.subnet.zone
    return f"Your requested instance type ({name}) is not supported in your requested Availability Zone ({zone})."
