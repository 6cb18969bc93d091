"""Routes of subnets, and endpoints of VPCs."""

from rows import row
from targets import REGION, Target

ROUTES = "Amazon VPC User Guide, Route table concepts"
DEFAULT_VPC = "Amazon VPC User Guide, Default VPC components"
ENDPOINTS = "AWS PrivateLink, Gateway endpoints for Amazon S3"


def default_vpc(target: Target) -> str:
    """Return the id of the default VPC."""
    found = target.client("ec2").describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    return str(found[0]["VpcId"])


def main_table(target: Target, vpc: str) -> dict:
    """Return the main route table of a VPC."""
    filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "association.main", "Values": ["true"]}]
    (found,) = target.client("ec2").describe_route_tables(Filters=filters)["RouteTables"]
    return found


@row("ec2", "The main route table of the default VPC has a route to an internet gateway", DEFAULT_VPC)
def the_default_vpc_has_a_way_out(target: Target) -> None:
    routes = main_table(target, default_vpc(target))["Routes"]
    (out,) = [route for route in routes if route.get("DestinationCidrBlock") == "0.0.0.0/0"]
    assert out["GatewayId"].startswith("igw-")
    assert out["State"] == "active"


@row("ec2", "A subnet without an association of its own is in no route table's list: it uses the main one", ROUTES)
def a_default_subnet_uses_the_main_table(target: Target) -> None:
    ec2 = target.client("ec2")
    (subnet, *_) = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
    filters = [{"Name": "association.subnet-id", "Values": [subnet["SubnetId"]]}]
    assert ec2.describe_route_tables(Filters=filters)["RouteTables"] == []


@row("ec2", "A new gateway endpoint for S3 is listed with its VPC, service and route tables", ENDPOINTS)
def a_gateway_endpoint_is_listed(target: Target) -> None:
    ec2, vpc = target.client("ec2"), default_vpc(target)
    table, service = main_table(target, vpc)["RouteTableId"], f"com.amazonaws.{REGION}.s3"
    made = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=service, RouteTableIds=[table])["VpcEndpoint"]
    target.undo_after_row(ec2.delete_vpc_endpoints, VpcEndpointIds=[made["VpcEndpointId"]])
    filters = [{"Name": "service-name", "Values": [service]}, {"Name": "vpc-id", "Values": [vpc]}]
    (found,) = ec2.describe_vpc_endpoints(Filters=filters)["VpcEndpoints"]
    assert (found["VpcEndpointType"], found["RouteTableIds"]) == ("Gateway", [table])


@row(
    "ec2", "After DeleteRoute the route stays away", "EC2 API Reference, DeleteRoute", not_on_aws="it cuts off the VPC"
)
def a_deleted_route_stays_away(target: Target) -> None:
    ec2, vpc = target.client("ec2"), default_vpc(target)
    table, way_out = main_table(target, vpc)["RouteTableId"], {"DestinationCidrBlock": "0.0.0.0/0"}
    gateway = next(one["GatewayId"] for one in main_table(target, vpc)["Routes"] if one["GatewayId"] != "local")
    target.undo_after_row(ec2.create_route, RouteTableId=table, GatewayId=gateway, **way_out)
    ec2.delete_route(RouteTableId=table, **way_out)
    left = [route["DestinationCidrBlock"] for route in main_table(target, vpc)["Routes"]]
    assert "0.0.0.0/0" not in left
