"""The policies that stand at a resource and not at a role: who may take each role, and what the bucket and the queue accept.

What each role may do is in permissions.py.
"""

from __future__ import annotations

from typing import Any

from dayfly.core.permissions import Document, document, substituted


def trust(service: str, group: str | None = None) -> Document:
    """Return the trust policy that lets one AWS service assume a role; with `group` only for that schedule group's schedules."""
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": f"{service}.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    if group is not None:
        source = substituted(
            f"arn:${{AWS::Partition}}:scheduler:${{AWS::Region}}:${{AWS::AccountId}}:schedule-group/{group}"
        )
        account = {"Ref": "AWS::AccountId"}
        statement["Condition"] = {"StringEquals": {"aws:SourceAccount": account, "aws:SourceArn": source}}
    return document(statement)


def trust_role(arn: Any) -> Document:
    """Return the trust policy that lets the role with this ARN assume a role."""
    return document({"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "sts:AssumeRole"})


def bucket_policy(bucket: str, partition: str = "aws") -> Document:
    """Return the bucket's own policy: it refuses plain HTTP, and the overwriting of what a server wrote."""
    arn = f"arn:{partition}:s3:::{bucket}"
    return document(
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
        {
            "Sid": "OutputIsWrittenOnce",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": f"{arn}/out/*",
            "Condition": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}},
        },
    )


def leave_dead_letters(rule: Any, queue: Any) -> Document:
    """Return the policy of the queue `queue`: the rule `rule` may put events there that it could not deliver. Both are ARNs."""
    return document(
        {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue,
            "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
        }
    )
