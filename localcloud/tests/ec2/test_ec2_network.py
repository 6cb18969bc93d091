"""Subnets and VPCs that instances use."""

from collections.abc import Callable

import pytest

import instances
from running_cloud import Running

pytestmark = pytest.mark.cloud


def test_subnet_and_vpc_in_use_cannot_be_deleted(start: Callable[..., Running]) -> None:
    ec2 = start().client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    server = instances.run(ec2, "#!/bin/sh\necho up\n", SubnetId=subnet)
    instances.wait_for_state(ec2, server, "running")
    assert instances.refusal(ec2.delete_subnet, SubnetId=subnet) == "DependencyViolation"
    ec2.stop_instances(InstanceIds=[server])
    instances.wait_for_state(ec2, server, "stopped")
    assert instances.refusal(ec2.delete_subnet, SubnetId=subnet) == "DependencyViolation"
    assert instances.refusal(ec2.delete_vpc, VpcId=vpc) == "DependencyViolation"
    ec2.start_instances(InstanceIds=[server])
    instances.wait_for_state(ec2, server, "running")
    ec2.terminate_instances(InstanceIds=[server])
    instances.wait_for_state(ec2, server, "terminated")
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)
