"""What AWS refuses to create from a template: names that are taken, policies that do not exist, runtimes that have ended.

How a resource is created is in resource_types.py.
"""

import re
import uuid
from typing import Any

from localcloud.ministack import identities, taken, topics
from localcloud.services.functions import runtimes
from localcloud.services.iam.principals import unknown_principal
from localcloud.services.s3.names import BucketNames

Props = dict[str, Any]


def failure(message: str, service: str, status: int, code: str = "InvalidRequest") -> ValueError:
    """Return the error that fails a resource, worded as CloudFormation does."""
    token = uuid.uuid4()
    return ValueError(
        f'Resource handler returned message: "{message} (Service: {service}, Status Code: {status}, Request ID: '
        f'{uuid.uuid4()})" (RequestToken: {token}, HandlerErrorCode: {code})'
    )


def check_new(kind: str, props: Props, buckets: BucketNames) -> None:
    """Raise ValueError for a resource that AWS would not create."""
    named = taken.named(kind, props)
    if named is not None and taken.is_taken(kind, named, props):
        raise _taken(kind, named)
    if kind == "AWS::S3::Bucket" and named is not None and (wrong := buckets.refusal(named)):
        raise failure(wrong, "S3", 409, "ResourceConflict")
    check(kind, props)


def check(kind: str, props: Props) -> None:
    """Raise ValueError for properties that AWS takes neither for a new resource nor for a change."""
    if kind == "AWS::IAM::Role":
        _check_role(props)
    if kind == "AWS::SNS::Subscription" and topics.topic(str(props.get("TopicArn"))) is None:
        raise failure("Topic does not exist", "Sns", 404, "NotFound")
    if kind == "AWS::Lambda::Function" and (wrong := runtimes.refusal(str(props.get("Runtime", "")))):
        raise failure(wrong, "Lambda", 400)


def _taken(kind: str, name: str) -> ValueError:
    if kind == "AWS::IAM::Role":
        return failure(f"Role with name {name} already exists.", "Iam", 409, "AlreadyExists")
    return ValueError(
        f"Resource handler returned message: \"Resource of type '{kind}' with identifier '{name}' already exists.\" "
        f"(RequestToken: {uuid.uuid4()}, HandlerErrorCode: AlreadyExists)"
    )


def _check_role(props: Props) -> None:
    wrong = unknown_principal(props.get("AssumeRolePolicyDocument"))
    if wrong:
        raise failure(wrong, "Iam", 400)
    boundary = props.get("PermissionsBoundary")
    if boundary and not identities.policy_exists(boundary):
        raise failure(f"Scope ARN: {boundary} does not exist or is not attachable.", "Iam", 404, "NotFound")
    for policy in props.get("ManagedPolicyArns") or ():
        if not identities.policy_exists(policy):
            raise failure(f"Policy {policy} does not exist or is not attachable.", "Iam", 404, "NotFound")


def reason_of(answer: bytes) -> str:
    """Return the message of an error in XML; "" when there is none."""
    found = re.search(rb"<Message>(.*?)</Message>", answer)
    return found[1].decode() if found else ""
