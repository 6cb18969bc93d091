"""What the person who deploys and uses a project needs to be allowed: the policy that an administrator gives to her.

CloudFormation works with her permissions, so they cover what it does with the stack's resources. What the project's own roles may do is
in permissions.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dayfly.core import names
from dayfly.core.permissions import Document, Statement, document

_ROLES = (
    "CreateRole DeleteRole DeleteRolePermissionsBoundary DeleteRolePolicy GetRole GetRolePolicy ListAttachedRolePolicies "
    "ListInstanceProfilesForRole ListRolePolicies ListRoleTags PutRolePermissionsBoundary PutRolePolicy TagRole UntagRole "
    "UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription"
)
_BOUNDED = ("CreateRole", "PutRolePermissionsBoundary", "PutRolePolicy")
_PROFILES = (
    "AddRoleToInstanceProfile CreateInstanceProfile DeleteInstanceProfile GetInstanceProfile RemoveRoleFromInstanceProfile "
    "TagInstanceProfile UntagInstanceProfile"
)
_STACK = (
    "ContinueUpdateRollback CreateStack DeleteStack DescribeStackEvents DescribeStackResources DescribeStacks GetTemplate "
    "TagResource UntagResource UpdateStack"
)
_BUCKET = (
    "CreateBucket DeleteBucket DeleteBucketPolicy GetBucketLocation GetBucketPolicy GetBucketTagging GetEncryptionConfiguration "
    "GetLifecycleConfiguration ListBucket ListBucketMultipartUploads PutBucketPolicy PutBucketPublicAccessBlock PutBucketTagging "
    "PutLifecycleConfiguration"
)
_TEMPLATES = "CreateLaunchTemplate CreateLaunchTemplateVersion DeleteLaunchTemplate DeleteLaunchTemplateVersions ModifyLaunchTemplate"
_GROUPS = (
    "AuthorizeSecurityGroupEgress AuthorizeSecurityGroupIngress CreateSecurityGroup DeleteSecurityGroup RevokeSecurityGroupEgress "
    "RevokeSecurityGroupIngress"
)


@dataclass(frozen=True)
class _Place:
    """Where a project is. `account` is `*` if the file does not say."""

    project: str
    account: str
    region: str

    @property
    def stack(self) -> str:
        return names.stack(self.project)

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"


def deployer(project: str, account: str, region: str, boundary: str | None = None) -> Document:
    """Return the policy. `account` may be `*`. Given `boundary`, she can make roles only with this permissions boundary."""
    place = _Place(project, account, region)
    return document(
        *_of_stack(place), *_of_bucket(place), *_of_roles(place, boundary), *_of_ec2(place), *_of_others(place)
    )


def _of_stack(place: _Place) -> list[Statement]:
    return [
        _allow(
            "make, change and delete the stack",
            "cloudformation",
            _STACK,
            place.arn("cloudformation", f"stack/{place.stack}/*"),
        )
    ]


def _of_bucket(place: _Place) -> list[Statement]:
    arn = f"arn:aws:s3:::{names.bucket(place.project, place.account, place.region)}"
    objects = "AbortMultipartUpload DeleteObject GetObject ListMultipartUploadParts PutObject"
    return [
        _allow("make the project's bucket, and delete it when it is empty", "s3", _BUCKET, arn),
        _allow("store code, read results, and delete them with the project", "s3", objects, f"{arn}/*"),
    ]


def _of_roles(place: _Place, boundary: str | None) -> list[Statement]:
    iam = f"arn:aws:iam::{place.account}"
    roles, spot = f"{iam}:role/{place.stack}-*", f"{iam}:role/aws-service-role/spot.amazonaws.com/*"
    bounded = " ".join(_BOUNDED)
    others = " ".join(each for each in _ROLES.split() if each not in _BOUNDED)
    condition = None
    if boundary is not None:
        condition = {"StringEquals": {"iam:PermissionsBoundary": boundary}}
    services = ["ec2.amazonaws.com", "lambda.amazonaws.com", "scheduler.amazonaws.com"]
    return [
        _allow("make the project's roles, and say what they may do", "iam", bounded, roles, condition=condition),
        _allow("look at the project's roles, and delete them", "iam", others, roles),
        _allow(
            "give the functions, servers and schedules their roles",
            "iam",
            "PassRole",
            roles,
            condition={"StringEquals": {"iam:PassedToService": services}},
        ),
        _allow("make the profiles of servers", "iam", _PROFILES, f"{iam}:instance-profile/{place.stack}-*"),
        _allow(
            "see whether a permissions boundary exists",
            "iam",
            "GetPolicy",
            f"{iam}:policy/*",
            "arn:aws:iam::aws:policy/*",
        ),
        _allow(
            "make AWS's role for spot, once in an account",
            "iam",
            "CreateServiceLinkedRole",
            spot,
            condition={"StringEquals": {"iam:AWSServiceName": "spot.amazonaws.com"}},
        ),
    ]


def _of_ec2(place: _Place) -> list[Statement]:
    tagged = {"StringEquals": {f"aws:ResourceTag/{names.TAG_PROJECT}": place.project}}
    servers = place.arn("ec2", "instance/*")
    made = [place.arn("ec2", f"{kind}/*") for kind in ("launch-template", "security-group")]
    changed = [place.arn("ec2", f"{kind}/*") for kind in ("security-group-rule", "vpc")]
    public = f"arn:aws:ssm:{place.region}::parameter/aws/service/*"
    return [
        _allow("see servers, images, types and the network", "ec2", "Describe*", "*"),
        _allow("find the newest image in AWS's public parameters", "ssm", "GetParameter GetParameters", public),
        _allow("end servers with the project's tag", "ec2", "TerminateInstances", servers, condition=tagged),
        _allow("read the console of the project's servers", "ec2", "GetConsoleOutput", servers, condition=tagged),
        _allow("make launch templates", "ec2", _TEMPLATES, made[0]),
        _allow("make the servers' security group", "ec2", _GROUPS, made[1], *changed),
        _allow("tag them", "ec2", "CreateTags DeleteTags", *made),
    ]


def _of_others(place: _Place) -> list[Statement]:
    stack = place.stack
    own = (
        ("make the two functions, stop and start them, and call the launcher", "lambda", f"function:{stack}-*"),
        ("make the project's group of schedules", "scheduler", f"schedule-group/{stack}"),
        ("make the schedules in it", "scheduler", f"schedule/{stack}/*"),
        ("make the rule for the ends of servers", "events", f"rule/{stack}-*"),
        ("make the queue of dead letters", "sqs", f"{stack}-*"),
        ("make the topic", "sns", stack),
        ("make the key that signs webhooks", "ssm", f"parameter{names.notify_key(place.project)}"),
        ("make the functions' logs", "logs", f"log-group:/dayfly/{place.project}/*"),
    )
    alarms = "DeleteAlarms ListTagsForResource PutMetricAlarm TagResource UntagResource"
    return [
        *(_allow(why, service, "*", place.arn(service, resource)) for why, service, resource in own),
        _allow("make the alarms", "cloudwatch", alarms, place.arn("cloudwatch", f"alarm:{stack}-*")),
        _look(),
    ]


def _look() -> Statement:
    """Return what `doctor` and the other commands look at, which AWS cannot limit to a project."""
    found = _allow("see alarms, schedules, subscriptions, quotas and AWS's roles", "cloudwatch", "DescribeAlarms", "*")
    found["Action"] += [
        *("freetier:GetAccountPlanState", "iam:GetRole", "iam:ListRoles", "iam:SimulatePrincipalPolicy"),
        *("logs:DescribeLogGroups", "scheduler:ListSchedules"),
        *("servicequotas:GetAWSDefaultServiceQuota", "servicequotas:GetServiceQuota", "sns:ListSubscriptions"),
    ]
    return found


def _allow(
    why: str, service: str, actions: str, *resources: str, condition: Mapping[str, Any] | None = None
) -> Statement:
    """Return a statement about these actions, which blanks separate, of a service."""
    statement = Statement(
        {"Effect": "Allow", "Action": [f"{service}:{each}" for each in actions.split()], "Resource": list(resources)}
    )
    statement.why = why
    if condition is not None:
        statement["Condition"] = dict(condition)
    return statement
