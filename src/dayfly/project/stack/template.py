"""Build the CloudFormation template of a project's stack in one region. No I/O.

It holds roles, two functions, a queue, a topic, two alarms, log groups, a schedule group and a rule; for each set of permissions that
jobs have a role of their servers and one of their commands, and for each image with such a set a launch template. It holds no jobs, so
a deploy of code, or of one more job with a known image and known permissions, does not change the stack.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from dayfly.project.stack.alarms import alarms, queue_and_topic
from dayfly.project.stack.functions import functions, schedules, state_changes
from dayfly.project.stack.given import StackInput, attribute, job_role, server_role
from dayfly.project.stack.roles import roles
from dayfly.project.stack.servers import launch_template, mappings, security_group


def build(given: StackInput) -> dict[str, Any]:
    """Return the template. Equal input gives an equal template, so a stack with the same digest needs no update."""
    kinds = sorted(given.kinds, key=lambda kind: kind.logical_id)
    resources: dict[str, Any] = {
        **roles(given),
        **queue_and_topic(given),
        **alarms(given),
        **functions(given),
        **schedules(given),
        **state_changes(given),
        **{kind.logical_id: launch_template(given, kind) for kind in kinds},
    }
    if given.vpc is not None:
        resources["SecurityGroup"] = security_group(given)
    outputs: dict[str, Any] = {
        "ScheduleRole": {"Value": attribute("ScheduleRole", "Arn")},
        "DeadLetters": {"Value": attribute("DeadLetters", "Arn")},
        "Launcher": {"Value": attribute("Launcher", "Arn")},
    }
    for granted in given.sets:
        outputs[f"{server_role(granted)}Id"] = {"Value": attribute(server_role(granted), "RoleId")}
        if granted.has_job_role:
            outputs[f"{job_role(granted)}Arn"] = {"Value": attribute(job_role(granted), "Arn")}
    for kind in kinds:
        outputs[f"{kind.logical_id}Id"] = {"Value": {"Ref": kind.logical_id}}
        outputs[f"{kind.logical_id}Version"] = {"Value": attribute(kind.logical_id, "LatestVersionNumber")}
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
