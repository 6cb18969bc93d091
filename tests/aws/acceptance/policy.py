"""The policy that lets a volunteer run the trial and its clean-up: what dayfly's own deploy needs, and the trial's own calls.

Statements name what a trial makes, by the beginning of its names. Printed by `scripts/acceptance --policy`.
"""

from __future__ import annotations

from typing import Any

from acceptance.target import IAM_PATH
from dayfly.core.deployer import deployer

_PROJECT = "accept-*"


def policy(account: str, region: str) -> dict[str, Any]:
    """Return the document for one account and region."""
    own = f"arn:aws:iam::{account}:{{}}{IAM_PATH}dayfly-accept-*"
    buckets = f"arn:aws:s3:::dayfly-accept-*-{account}-{region}"
    ec2 = f"arn:aws:ec2:{region}:{account}:"
    made = [f"{ec2}{kind}/*" for kind in ("instance", "volume", "network-interface", "fleet", "spot-instances-request")]
    used = [f"{ec2}{kind}/*" for kind in ("subnet", "security-group", "launch-template")]
    public = f"arn:aws:ssm:{region}::parameter/aws/service/*"
    roles = (
        "CreateRole DeleteRole DeleteRolePolicy GetRole GetRolePolicy ListInstanceProfilesForRole ListRolePolicies "
        "PutRolePolicy TagRole PassRole"
    )
    profiles = "AddRoleToInstanceProfile CreateInstanceProfile DeleteInstanceProfile GetInstanceProfile RemoveRoleFromInstanceProfile"
    objects = "AbortMultipartUpload DeleteObject GetObject PutObject"
    whole = "CreateBucket DeleteBucket ListBucket ListBucketMultipartUploads"
    return {
        "Version": "2012-10-17",
        "Statement": [
            *(dict(statement) for statement in deployer(_PROJECT, account, region)["Statement"]),
            _allow("iam", roles, own.format("role")),
            _allow("iam", profiles, own.format("instance-profile")),
            _allow("iam", "ListInstanceProfiles ListRoles", "*"),
            _allow("s3", objects, f"{buckets}/*"),
            _allow("s3", whole, buckets),
            _allow("s3", "ListAllMyBuckets", "*"),
            _allow("ec2", "CreateFleet RunInstances", *made, *used, f"arn:aws:ec2:{region}::image/*"),
            _allow("ec2", "RunInstances", f"arn:aws:ec2:{region}::snapshot/*"),
            _allow("ec2", "CreateTags", *made, f"{ec2}launch-template/*"),
            _allow("ec2", "DeleteVolume TerminateInstances", f"{ec2}volume/*", f"{ec2}instance/*"),
            _allow("ssm", "GetParameter GetParameters", public),
            _allow("cloudformation", "DescribeStacks", "*"),
        ],
    }


def _allow(service: str, actions: str, *resources: str) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Action": [f"{service}:{each}" for each in actions.split()],
        "Resource": list(resources),
    }
