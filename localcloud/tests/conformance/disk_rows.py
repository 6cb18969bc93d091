"""Root volumes: their limits, and the KMS keys that encrypt them."""

from typing import Any

from botocore.exceptions import ClientError

from rows import row
from targets import Keys, Target, allow, error_code

EBS = "EC2 API Reference, EbsBlockDevice"
GP3 = "EBS User Guide, General Purpose SSD volumes"
LAUNCH = "EC2 User Guide, Troubleshoot Amazon EC2 instance launch issues"


def disk(target: Target, **ebs: Any) -> dict[str, Any]:
    """Return launch parameters with these options of the root volume."""
    (image,) = target.client("ec2").describe_images(ImageIds=[target.image()])["Images"]
    return {"BlockDeviceMappings": [{"DeviceName": image["RootDeviceName"], "Ebs": ebs}]}


def key(target: Target) -> str:
    """Create a KMS key and return its ARN; it is deleted later."""
    kms = target.client("kms")
    made = kms.create_key(Description=target.name_for("key"))["KeyMetadata"]
    target.undo_after_row(kms.schedule_key_deletion, KeyId=made["KeyId"], PendingWindowInDays=7)
    return str(made["Arn"])


def ended(target: Target, **launch: Any) -> tuple[str, str]:
    """Launch an instance that ends by itself; return the code and the message of its state's reason."""
    (server,) = target.launch(**launch)
    reason = target.wait_for_state(server, "terminated")["StateReason"]
    return reason["Code"], reason["Message"]


def refusals(target: Target, *disks: dict[str, Any]) -> list[str]:
    """Return the answers to dry runs with these root volumes."""
    ec2, fixed = target.client("ec2"), {"ImageId": target.image(), "InstanceType": "t3.nano", "DryRun": True}
    return [error_code(ec2.run_instances, MinCount=1, MaxCount=1, **fixed, **disk(target, **one)) for one in disks]


@row("ec2", "gp3 has 3,000 to 80,000 IOPS, at most 500 for each GiB", GP3)
def gp3_iops(target: Target) -> None:
    wrong = ({"Iops": 2999}, {"Iops": 80001, "VolumeSize": 1000}, {"Iops": 10001, "VolumeSize": 20})
    right = ({"Iops": 10000, "VolumeSize": 20}, {"Iops": 80000, "VolumeSize": 160})
    assert refusals(target, *({"VolumeType": "gp3"} | one for one in wrong)) == ["InvalidParameterValue"] * 3
    assert refusals(target, *({"VolumeType": "gp3"} | one for one in right)) == ["DryRunOperation"] * 2


@row("ec2", "gp3 has 125 to 2,000 MiB/s, at most a quarter of its IOPS", GP3)
def gp3_throughput(target: Target) -> None:
    wrong = (
        {"Throughput": 124},
        {"Throughput": 2001, "Iops": 16000},
        {"Throughput": 751},
        {"Throughput": 1001, "Iops": 4000},
    )
    right = ({"Throughput": 750}, {"Throughput": 2000, "Iops": 8000})
    volume = {"VolumeType": "gp3", "VolumeSize": 100}
    assert refusals(target, *(volume | one for one in wrong)) == ["InvalidParameterValue"] * 4
    assert refusals(target, *(volume | one for one in right)) == ["DryRunOperation"] * 2
    assert refusals(target, {"VolumeType": "gp2", "Throughput": 125}) == ["InvalidParameterCombination"]


@row("ec2", "A customer managed key of a volume needs `Encrypted`, and is shown with the volume", EBS)
def volume_key_is_shown(target: Target) -> None:
    arn = key(target)
    alone = disk(target, KmsKeyId=arn)
    assert error_code(lambda: target.launch(**alone)) == "InvalidParameterDependency"
    (server,) = target.launch(**disk(target, Encrypted=True, KmsKeyId=arn.rpartition("/")[2]))
    target.wait_for_state(server, "running")
    attached = [{"Name": "attachment.instance-id", "Values": [server]}]
    (volume,) = target.client("ec2").describe_volumes(Filters=attached)["Volumes"]
    assert (volume["Encrypted"], volume["KmsKeyId"]) == (True, arn)


@row(
    "ec2", "A key that does not exist is found out after the answer: the instance ends as Client.InternalError", LAUNCH
)
def unknown_volume_key(target: Target) -> None:
    arn = key(target)
    unknown = arn.rpartition("/")[0] + "/00000000-0000-0000-0000-000000000000"
    code, message = ended(target, **disk(target, Encrypted=True, KmsKeyId=unknown))
    assert (code, message) == ("Client.InternalError", "Client.InternalError: Client error on launch")


@row(
    "ec2",
    "A disabled key ends the instance after its launch: Client.InvalidKMSKey.InvalidState",
    LAUNCH,
    unverified="The code and the message; they were seen in practice.",
)
def disabled_volume_key(target: Target) -> None:
    arn, kms = key(target), target.client("kms")
    kms.disable_key(KeyId=arn)
    code, message = ended(target, **disk(target, Encrypted=True, KmsKeyId=arn))
    assert code == "Client.InvalidKMSKey.InvalidState"
    assert message == "Client.InvalidKMSKey.InvalidState: The KMS key provided is in an incorrect state"


@row(
    "ec2",
    "A launch by who may not use the volume's key succeeds, and the instance ends as Client.InternalError",
    "EBS User Guide, Required IAM permissions for Amazon EBS encryption",
)
def volume_key_needs_rights(target: Target) -> None:
    arn = key(target)
    uses = [
        "kms:CreateGrant",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:ReEncrypt*",
    ]
    via = {"StringEquals": {"kms:ViaService": "ec2.us-east-1.amazonaws.com"}}
    launches = allow("ec2:*")
    without, having = target.session(launches), target.session(launches, allow(uses, arn, Condition=via))
    server = launched(target, without, arn)
    assert target.wait_for_state(server, "terminated")["StateReason"]["Code"] == "Client.InternalError"
    target.wait_for_state(launched(target, having, arn), "running")


def launched(target: Target, keys: Keys, arn: str) -> str:
    """Launch with other keys and an encrypted root volume; return the instance, which is terminated after the row."""
    ec2 = target.client("ec2", keys=keys)
    mapping = disk(target, Encrypted=True, KmsKeyId=arn)
    parameters = {"ImageId": target.image(), "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1, **mapping}
    try:
        server = str(ec2.run_instances(**parameters)["Instances"][0]["InstanceId"])
    except ClientError as error:
        raise AssertionError(f"the launch was refused: {error}") from error
    target.undo_after_row(target.client("ec2").terminate_instances, InstanceIds=[server])
    return server
