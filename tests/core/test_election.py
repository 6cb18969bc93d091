"""Why a launch was refused, from EC2's error codes."""

from __future__ import annotations

import pytest

from dayfly.core import election
from dayfly.core.records import FleetError


@pytest.mark.parametrize(
    "code", ["InvalidLaunchTemplateId.NotFound", "InvalidBlockDeviceMapping", "InvalidSubnetID.NotFound"]
)
def test_request_that_ec2_calls_wrong_is_not_a_lack_of_capacity(code):
    assert election.refused_because((FleetError(code=code, message=""),)) == "unknown"
