"""How much an account may launch: the types of the free plan, and the quotas of virtual CPUs by bucket and market.

Their values are conditions (conditions.py); the API that shows them is service_quotas.py. Source: "EC2 User Guide", Amazon EC2
service quotas and Spot Instance quotas.
"""

from localcloud.ec2 import types
from localcloud.ec2.conditions import FREE
from localcloud.ec2.context import Request
from localcloud.ec2.errors import Ec2Error
from localcloud.ec2.launch import MAX_INSTANCES
from localcloud.ec2.launch_requests import LaunchRequest
from localcloud.ec2.quotas import quota_of
from localcloud.ec2.records import PENDING, RUNNING, SPOT


def check(request: Request, launch: LaunchRequest, count: int) -> None:
    """Raise Ec2Error if the account's plan does not have the type, or its quota no room for so many instances."""
    is_free = launch.instance_type.document["FreeTierEligible"]
    if request.context.conditions.now.plan == FREE and not is_free:
        text = (
            "The specified instance type is not eligible for Free Tier. For a list of Free Tier instance types, "
            "run 'describe-instance-types' with the filter 'free-tier-eligible=true'."
        )
        raise Ec2Error("InvalidParameterCombination", text)
    if count <= room(request, launch):
        return
    if launch.market == SPOT:
        raise Ec2Error("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
    limit = request.context.conditions.quota(quota_of(launch.instance_type.name, launch.market))
    text = (
        f"You have requested more vCPU capacity than your current vCPU limit of {limit:g} allows for the instance bucket that "
        "the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an "
        "adjustment to this limit."
    )
    raise Ec2Error("VcpuLimitExceeded", text)


def room(request: Request, launch: LaunchRequest) -> int:
    """Return how many more instances of a launch the account's quota allows."""
    code = quota_of(launch.instance_type.name, launch.market)
    if not code:
        return MAX_INSTANCES
    left = request.context.conditions.quota(code) - _used(request, code)
    return int(left // launch.instance_type.cpus)


def _used(request: Request, code: str) -> int:
    """Return how many virtual CPUs of a quota the region's instances use."""
    found = [one for one in request.records.not_terminated() if one.state in (PENDING, RUNNING)]
    return sum(types.named(one.instance_type).cpus for one in found if quota_of(one.instance_type, one.market) == code)
