"""Whether EC2 can use the KMS key of a root volume. It finds out after it has answered, so the instance ends at once.

Source: "EC2 API Reference", EbsBlockDevice, KmsKeyId (the key is authenticated asynchronously); "EBS User Guide", Required IAM
permissions for Amazon EBS encryption; "EC2 User Guide", Troubleshoot instance launch issues. Disks are not encrypted here.
"""

from localcloud.ec2.authorize import Resource
from localcloud.ec2.context import Request
from localcloud.ec2.errors import Ec2Error
from localcloud.ministack import requests, secrets

_USES = ("kms:CreateGrant", "kms:GenerateDataKeyWithoutPlaintext")
_CLIENT_ERROR = "Client.InternalError", "Client error on launch"
_BAD_STATE = "Client.InvalidKMSKey.InvalidState", "The KMS key provided is in an incorrect state"


def arn(request: Request, key: str) -> str:
    """Return the ARN that DescribeVolumes shows for the key of an encrypted volume; "" is the account's default key."""
    if _is_default(key):
        return f"arn:aws:kms:{request.region}:{request.caller.account}:alias/aws/ebs"
    with requests.scope(request.caller.account, request.region):
        return secrets.key_arn(key) or key


def problem(request: Request, key: str) -> tuple[str, str] | None:
    """Return why an instance whose root volume has this key ends after its launch, as (code, text); None if it does not."""
    if _is_default(key):
        return None
    with requests.scope(request.caller.account, request.region):
        found, state = secrets.key_arn(key), secrets.key_state(key)
    if found is None:
        return _CLIENT_ERROR
    if state != "Enabled":
        return _BAD_STATE
    keys = {"kms:ViaService": f"ec2.{request.region}.amazonaws.com", "kms:GrantIsForAWSResource": "true"}
    try:
        for action in _USES:
            request.caller.require(action, [Resource(found, keys)])
    except Ec2Error:
        return _CLIENT_ERROR
    return None


def _is_default(key: str) -> bool:
    return not key or f":{key}".endswith((":alias/aws/ebs", "/alias/aws/ebs"))
