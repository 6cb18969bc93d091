"""What a server is launched from: launch templates, and the security group that servers use if the file names none."""

from __future__ import annotations

from typing import Any

from dayfly.project.stack.given import ServerKind, StackInput, attribute, server_profile, tag_list

USER_DATA = ("Servers", "All", "UserData")
"""Where the template's mappings hold the user data. It is the same for all servers and by far the longest value."""


def security_group(given: StackInput) -> dict[str, Any]:
    return {
        "Type": "AWS::EC2::SecurityGroup",
        "Properties": {
            "GroupDescription": f"dayfly {given.project}: no inbound traffic",
            "VpcId": given.vpc,
            "SecurityGroupEgress": [{"IpProtocol": "-1", "CidrIp": "0.0.0.0/0", "Description": "all outbound traffic"}],
            "Tags": tag_list(given),
        },
    }


def mappings(given: StackInput) -> dict[str, Any]:
    """Return the template's mappings: the user data, once, however many launch templates use it."""
    table, row, name = USER_DATA
    return {table: {row: {name: given.user_data}}}


def launch_template(given: StackInput, kind: ServerKind) -> dict[str, Any]:
    groups: list[Any] = list(given.security_groups) or [attribute("SecurityGroup", "GroupId")]
    interface = {
        "DeviceIndex": 0,
        "AssociatePublicIpAddress": given.public_ip,
        "DeleteOnTermination": True,
        "Groups": groups,
    }
    data = {
        "ImageId": kind.image.image_id,
        "IamInstanceProfile": {"Arn": attribute(server_profile(kind.permissions), "Arn")},
        # Power-off terminates the server: the guarantee depends on it.
        "InstanceInitiatedShutdownBehavior": "terminate",
        # A recovered server would boot again without its user data.
        "MaintenanceOptions": {"AutoRecovery": "disabled"},
        "MetadataOptions": {
            "HttpEndpoint": "enabled",
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
            "InstanceMetadataTags": "enabled",
        },
        "NetworkInterfaces": [interface],
        "UserData": {"Fn::FindInMap": list(USER_DATA)},
    }
    tags = {"ResourceType": "launch-template", "Tags": tag_list(given)}
    return {
        "Type": "AWS::EC2::LaunchTemplate",
        "Properties": {"LaunchTemplateData": data, "TagSpecifications": [tags]},
    }
