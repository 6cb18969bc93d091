"""Build the CloudFormation template of a project's stack in one region. No I/O.

It holds roles, one launch template per image, two functions, a queue, a topic, two alarms, log groups, a schedule group and a rule. It
holds no jobs, so a deploy of code, or of one more job with a known image, does not change the stack.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from dayfly.project.stack.alarms import alarms, queue_and_topic
from dayfly.project.stack.functions import functions, schedules, state_changes
from dayfly.project.stack.given import StackInput, attribute
from dayfly.project.stack.roles import roles
from dayfly.project.stack.servers import launch_template, mappings, security_group


def build(given: StackInput) -> dict[str, Any]:
    """Return the template. Equal input gives an equal template, so a stack with the same digest needs no update."""
    images = sorted(given.images, key=lambda image: image.logical_id)
    resources: dict[str, Any] = {
        **roles(given),
        **queue_and_topic(given),
        **alarms(given),
        **functions(given),
        **schedules(given),
        **state_changes(given),
        **{image.logical_id: launch_template(given, image) for image in images},
    }
    if given.vpc is not None:
        resources["SecurityGroup"] = security_group(given)
    outputs: dict[str, Any] = {
        "ServerRoleId": {"Value": attribute("ServerRole", "RoleId")},
        "ScheduleRole": {"Value": attribute("ScheduleRole", "Arn")},
        "DeadLetters": {"Value": attribute("DeadLetters", "Arn")},
        "Launcher": {"Value": attribute("Launcher", "Arn")},
    }
    for image in images:
        outputs[f"{image.logical_id}Id"] = {"Value": {"Ref": image.logical_id}}
        outputs[f"{image.logical_id}Version"] = {"Value": attribute(image.logical_id, "LatestVersionNumber")}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"dayfly project {given.project}: periodic jobs on servers that live for one run",
        "Mappings": mappings(given),
        "Resources": resources,
        "Outputs": outputs,
    }


def text(template: Mapping[str, Any]) -> str:
    """Return the template as JSON with sorted keys: equal templates give equal texts.

    It is compact, because CloudFormation takes at most 51,200 bytes in the request itself.
    """
    return json.dumps(template, separators=(",", ":"), sort_keys=True)


def digest(template: Mapping[str, Any]) -> str:
    """Return the hex SHA-256 of the template's text."""
    return hashlib.sha256(text(template).encode()).hexdigest()
