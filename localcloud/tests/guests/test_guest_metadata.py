"""The metadata service from inside a guest, and the rights of its credentials."""

import json
from typing import Any

import pytest

import instances
from running_cloud import Running

pytestmark = pytest.mark.cloud

ASK = r"""#!/usr/bin/env python3
import json, os, urllib.request, urllib.error
BASE = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
def ask(path, method="GET", **headers):
    request = urllib.request.Request(BASE + path, method=method,
                                     headers={k.replace("_", "-"): v for k, v in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""
TTL = "X_aws_ec2_metadata_token_ttl_seconds"
_, token = ask("/latest/api/token", "PUT", **{TTL: "60"})
def get(path):
    return ask("/latest/" + path, X_aws_ec2_metadata_token=token)
ANSWERS = {}
"""


def answers_of_guest(ec2: Any, body: str, **more: Any) -> tuple[str, dict[str, Any]]:
    """Run a program in a guest; return the instance id and the JSON that it stored."""
    server = instances.run(ec2, ASK + body + "\nprint('ANSWERS', json.dumps(ANSWERS), flush=True)\n", **more)
    instances.wait_for_output(ec2, server, "\nANSWERS ")
    instances.wait_until(lambda: instances.console(ec2, server).split("\nANSWERS ", 1)[1].endswith("\n"))
    output = instances.console(ec2, server).split("\nANSWERS ", 1)[1].splitlines()[0]
    ec2.terminate_instances(InstanceIds=[server])
    return server, json.loads(output)


def test_metadata_needs_a_token(cloud: Running) -> None:
    body = (
        "ANSWERS['none'] = ask('/latest/meta-data/instance-id')[0]\n"
        "ANSWERS['wrong'] = ask('/latest/meta-data/instance-id', X_aws_ec2_metadata_token='nonsense')[0]\n"
        "ANSWERS['right'] = get('meta-data/instance-id')\n"
        "ANSWERS['no ttl'] = ask('/latest/api/token', 'PUT')[0]\n"
        "ANSWERS['long'] = ask('/latest/api/token', 'PUT', **{TTL: '21601'})[0]\n"
        "ANSWERS['forwarded'] = ask('/latest/api/token', 'PUT', X_Forwarded_For='1.2.3.4', **{TTL: '60'})[0]\n"
        "import time\n_, short = ask('/latest/api/token', 'PUT', **{TTL: '1'})\ntime.sleep(1.2)\n"
        "ANSWERS['over'] = ask('/latest/meta-data/instance-id', X_aws_ec2_metadata_token=short)[0]\n"
    )
    server, answers = answers_of_guest(cloud.client("ec2"), body)
    assert answers == {
        "none": 401,
        "wrong": 401,
        "right": [200, server],
        "no ttl": 400,
        "long": 400,
        "forwarded": 403,
        "over": 401,
    }


def test_metadata_agrees_with_describe_instances(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    paths = [
        "instance-type",
        "ami-id",
        "placement/availability-zone",
        "placement/availability-zone-id",
        "placement/region",
        "local-ipv4",
        "instance-life-cycle",
        "tags/instance/job",
        "tags/instance/",
        "mac",
        "spot/instance-action",
    ]
    body = f"for path in {paths!r}:\n    ANSWERS[path] = get('meta-data/' + path)\n" + (
        "ANSWERS['document'] = json.loads(get('dynamic/instance-identity/document')[1])\n"
        "ANSWERS['listing'] = get('meta-data/')[1].split('\\n')\n"
        "ANSWERS['user-data'] = get('user-data')[1][:25]\n"
        "mac = get('meta-data/mac')[1]\n"
        "ANSWERS['subnet'] = get(f'meta-data/network/interfaces/macs/{mac}/subnet-id')[1]\n"
    )
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "job", "Value": "pi"}, {"Key": "a:b", "Value": "c"}]}]
    server, answers = answers_of_guest(
        ec2, body, TagSpecifications=tags, MetadataOptions={"InstanceMetadataTags": "enabled"}, InstanceType="t3.small"
    )
    instances.wait_for_state(ec2, server, "terminated")
    shown = instances.shown(ec2, server)
    assert answers["instance-type"] == [200, "t3.small"]
    assert answers["ami-id"] == [200, shown["ImageId"]]
    assert answers["placement/availability-zone"] == [200, shown["Placement"]["AvailabilityZone"]]
    assert answers["placement/region"] == [200, "us-east-1"]
    assert answers["placement/availability-zone-id"] == [200, "use1-az1"]
    assert answers["instance-life-cycle"] == [200, "on-demand"]
    assert answers["tags/instance/job"] == [200, "pi"]
    assert set(answers["tags/instance/"][1].split("\n")) == {"job", "a:b"}
    assert answers["spot/instance-action"][0] == 404
    assert answers["document"]["instanceId"] == server
    assert answers["document"]["privateIp"] == answers["local-ipv4"][1]
    assert {"placement/", "instance-id", "tags/"} <= set(answers["listing"])
    assert answers["user-data"] == ASK[:25]
    assert answers["subnet"].startswith("subnet-")


def test_tags_and_endpoint_follow_the_metadata_options(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "has space", "Value": "x"}]}]
    _, answers = answers_of_guest(ec2, "ANSWERS['tags'] = get('meta-data/tags/instance/')[0]\n", TagSpecifications=tags)
    assert answers == {"tags": 404}
    body = "ANSWERS['all'] = [ask('/latest/meta-data/')[0], ask('/latest/api/token', 'PUT', **{TTL: '60'})[0]]\n"
    _, answers = answers_of_guest(ec2, body, MetadataOptions={"HttpEndpoint": "disabled"})
    assert answers == {"all": [403, 403]}


def test_optional_tokens_allow_imds_version_1(cloud: Running) -> None:
    body = "ANSWERS['v1'] = ask('/latest/meta-data/instance-life-cycle')\n"
    _, answers = answers_of_guest(cloud.client("ec2"), body, MetadataOptions={"HttpTokens": "optional"})
    assert answers == {"v1": [200, "on-demand"]}


def test_credentials_are_authorized_as_the_instances_role(cloud: Running) -> None:
    ec2, s3 = cloud.client("ec2"), cloud.client("s3")
    s3.create_bucket(Bucket="results")
    own = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::results/out/${aws:userid}/*"}
        ],
    }
    role = instances.profile(cloud.client("iam"), "own-output", own)
    body = (
        "name = get('meta-data/iam/security-credentials/')[1]\n"
        "ANSWERS['role'] = name\n"
        "ANSWERS['keys'] = json.loads(get('meta-data/iam/security-credentials/' + name)[1])\n"
        "ANSWERS['other'] = get('meta-data/iam/security-credentials/other')[0]\n"
        "ANSWERS['info'] = json.loads(get('meta-data/iam/info')[1])\n"
    )
    server, answers = answers_of_guest(ec2, body, IamInstanceProfile={"Name": "own-output"})
    assert answers["role"] == "own-output"
    assert answers["other"] == 404
    assert answers["info"]["InstanceProfileArn"].endswith(":instance-profile/own-output")
    keys = answers["keys"]
    assert keys["Code"] == "Success"
    mine = {
        "aws_access_key_id": keys["AccessKeyId"],
        "aws_secret_access_key": keys["SecretAccessKey"],
        "aws_session_token": keys["Token"],
    }
    assert cloud.client("sts", **mine).get_caller_identity()["UserId"] == f"{role}:{server}"
    store = cloud.client("s3", **mine)
    store.put_object(Bucket="results", Key=f"out/{role}:{server}/a", Body=b"1")
    put = {"Bucket": "results", "Body": b"1"}
    assert instances.refusal(store.put_object, Key=f"out/{role}:i-00000000000000000/a", **put) == "AccessDenied"
    assert instances.refusal(store.get_object, Bucket="results", Key=f"out/{role}:{server}/a") == "AccessDenied"


def test_role_that_does_not_trust_ec2_gives_no_credentials(cloud: Running) -> None:
    iam = cloud.client("iam")
    instances.profile(iam, "untrusting")
    trust = instances.TRUST.replace("ec2.amazonaws.com", "lambda.amazonaws.com")
    iam.update_assume_role_policy(RoleName="untrusting", PolicyDocument=trust)
    body = "ANSWERS['code'] = json.loads(get('meta-data/iam/security-credentials/untrusting')[1])['Code']\n"
    _, answers = answers_of_guest(cloud.client("ec2"), body, IamInstanceProfile={"Name": "untrusting"})
    assert answers == {"code": "AssumeRoleUnauthorizedAccess"}


def test_spot_notice_is_visible_only_to_its_instance(cloud: Running) -> None:
    body = (
        "import time\nprint('up', flush=True)\n"
        "for _ in range(100):\n"
        "    ANSWERS['notice'] = get('meta-data/spot/instance-action')\n"
        "    if ANSWERS['notice'][0] == 200:\n        break\n    time.sleep(0.1)\n"
        "ANSWERS['life'] = get('meta-data/instance-life-cycle')[1]\n"
    )
    ec2 = cloud.client("ec2")
    server = instances.run(
        ec2, ASK + body + "print('ANSWERS', ANSWERS, flush=True)\n", InstanceMarketOptions={"MarketType": "spot"}
    )
    instances.wait_for_output(ec2, server, "\nup")
    instances.control(cloud.facts["endpoint"], "interrupt", {"instance": server})
    instances.wait_for_output(ec2, server, "terminate")
    assert "'life': 'spot'" in instances.console(ec2, server)
    ec2.terminate_instances(InstanceIds=[server])
