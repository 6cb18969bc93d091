"""Renders a template as CloudFormation would: references become the names and ARNs that AWS gives. No AWS is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

ACCOUNT = "123456789012"
REGION = "eu-west-1"
PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "dayfly-lake",
}
_VARIABLE = re.compile(r"\$\{([^}]+)\}")


def render(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties of every resource, by logical id, with each reference replaced."""
    resources = template["Resources"]
    return {name: _value(each.get("Properties", {}), template) for name, each in resources.items()}


def arn(logical: str, template: Mapping[str, Any]) -> str:
    """Return the ARN of a resource. A name that CloudFormation makes has 64 characters at most."""
    resource = template["Resources"][logical]
    properties = resource.get("Properties", {})
    made = f"dayfly-{_project(template)}-{logical}-A1B2C3D4E5F6"[:64]
    match resource["Type"]:
        case "AWS::IAM::Role":
            return f"arn:aws:iam::{ACCOUNT}:role/{made}"
        case "AWS::IAM::InstanceProfile":
            return f"arn:aws:iam::{ACCOUNT}:instance-profile/{made}"
        case "AWS::Lambda::Function":
            return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{properties['FunctionName']}"
        case "AWS::SQS::Queue":
            return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{properties.get('QueueName', made)}"
        case "AWS::SNS::Topic":
            return f"arn:aws:sns:{REGION}:{ACCOUNT}:{properties.get('TopicName', made)}"
    raise ValueError(f"no ARN of a {resource['Type']} is known")


def _project(template: Mapping[str, Any]) -> str:
    return str(template["Resources"]["Group"]["Properties"]["Name"]).removeprefix("dayfly-")


def _value(value: Any, template: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_value(each, template) for each in value]
    if not isinstance(value, Mapping):
        return value
    match value:
        case {"Fn::Sub": text}:
            return _VARIABLE.sub(lambda found: _substitute(found[1], template), text)
        case {"Fn::GetAtt": [logical, "Arn"]}:
            return arn(logical, template)
        case {"Fn::GetAtt": [logical, attribute]}:
            return f"{attribute} of {logical}"
        case {"Fn::FindInMap": [table, row, name]}:
            return template["Mappings"][table][row][name]
        case {"Ref": name} if template["Resources"].get(name, {}).get("Type") == "AWS::SNS::Topic":
            return arn(name, template)
        case {"Ref": name}:
            return PSEUDO.get(name, name)
    return {key: _value(each, template) for key, each in value.items()}


def _substitute(name: str, template: Mapping[str, Any]) -> str:
    if name.startswith("!"):
        return f"${{{name[1:]}}}"
    if name in PSEUDO:
        return PSEUDO[name]
    return arn(name.removesuffix(".Arn"), template)
