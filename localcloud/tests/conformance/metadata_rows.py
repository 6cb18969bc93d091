"""The instance metadata service, asked from inside an instance."""

import json
from datetime import UTC, datetime
from functools import partial
from typing import Any

import rows
from probe import TOKEN, TTL, Probe
from targets import Target, allow, error_code, keys_of

USE = "EC2 User Guide, Use the Instance Metadata Service to access instance metadata"
ACCESS = "EC2 User Guide, Access instance metadata for an EC2 instance"
CATEGORIES = "EC2 User Guide, Instance metadata categories"
NOTICES = "EC2 User Guide, Spot Instance interruption notices"
CREDENTIALS = "EC2 User Guide, Retrieve security credentials from instance metadata"
TAGS = "EC2 User Guide, View tags for your EC2 instances using instance metadata"
NO_NOTICE = "only AWS can send the notice"

row = partial(rows.row, "metadata")


def probe(target: Target) -> Probe:
    """Return a probe on a spot instance with a role and tags. The rows share it."""
    return target.shared("probe", lambda: _probe(target))


def _probe(target: Target) -> Probe:
    name, _ = target.profile([allow("s3:PutObject", f"arn:aws:s3:::{target.bucket()}/own/${{aws:userid}}/*")])
    # All rows use this role, so it is deleted at the end, not after the first row.
    for undo in target._undo:
        target.undo_at_end(undo)
    target._undo.clear()
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "job", "Value": "pi"}, {"Key": "a:b", "Value": "c"}]}]
    return Probe(
        target,
        IamInstanceProfile={"Name": name},
        InstanceMarketOptions={"MarketType": "spot"},
        MetadataOptions={"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
        TagSpecifications=tags,
    )


def open_probe(target: Target) -> Probe:
    """Return a probe on an on-demand instance without a role, with optional tokens and without tags in the metadata."""
    return target.shared("open probe", lambda: Probe(target, MetadataOptions={"HttpTokens": "optional"}))


@row("PUT with a TTL of 1 to 21600 seconds returns a token; any other TTL, or none, is 400", USE)
def token_has_a_ttl(target: Target) -> None:
    one = probe(target)
    values = [("PUT", "/latest/api/token", {} if said is None else {TTL: said}) for said in (None, "0", "21601", "x")]
    assert {answer.status for answer in one.ask_all(values)} == {400}
    answers = one.ask_all([("PUT", "/latest/api/token", {TTL: said}) for said in ("1", "21600")])
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[1].headers[TTL.lower()] == "21600"


@row("PUT with X-Forwarded-For is refused", USE, unverified="That the status is 403.")
def token_is_not_forwarded(target: Target) -> None:
    parameters = {TTL: "60", "X-Forwarded-For": "192.0.2.1"}
    assert probe(target).ask("PUT", "/latest/api/token", **parameters).status == 403


@row("PUT to a versioned path, such as /2021-03-23/api/token, is 403", ACCESS)
def token_of_a_version(target: Target) -> None:
    assert probe(target).ask("PUT", "/2021-03-23/api/token", **{TTL: "60"}).status == 403


@row("Where tokens are required, a request with no token, a wrong token or an expired token is 401", USE)
def tokens_required(target: Target) -> None:
    one, path = probe(target), "/latest/meta-data/instance-id"
    short = one.ask("PUT", "/latest/api/token", **{TTL: "1"}).text
    one.wait(1.5)
    values = [("GET", path, said) for said in ({}, {TOKEN: "nonsense"}, {TOKEN: short}, {TOKEN: one.token})]
    assert [answer.status for answer in one.ask_all(values)] == [401, 401, 401, 200]


@row("Where tokens are optional, a request without a token is answered; one with a wrong token is 401", USE)
def tokens_optional(target: Target) -> None:
    one, path = open_probe(target), "/latest/meta-data/instance-id"
    plain, wrong = one.ask_all([("GET", path, {}), ("GET", path, {TOKEN: "nonsense"})])
    assert (plain.status, plain.text, wrong.status) == (200, one.instance, 401)


@row("A token is valid only on the instance that requested it", USE)
def token_belongs_to_one_instance(target: Target) -> None:
    path, foreign = "/latest/meta-data/instance-id", open_probe(target).token
    assert open_probe(target).ask("GET", path, **{TOKEN: foreign}).status == 200
    assert probe(target).ask("GET", path, **{TOKEN: foreign}).status == 401


@row("Tokens can be made required while the instance runs", "EC2 API Reference, ModifyInstanceMetadataOptions")
def tokens_can_become_required(target: Target) -> None:
    one, ec2 = open_probe(target), target.client("ec2")
    ec2.modify_instance_metadata_options(InstanceId=one.instance, HttpTokens="required")
    target.wait_for(lambda: one.ask("GET", "/latest/meta-data/").status == 401)
    ec2.modify_instance_metadata_options(InstanceId=one.instance, HttpTokens="optional")
    target.wait_for(lambda: one.ask("GET", "/latest/meta-data/").status == 200)


@row("GET and HEAD are allowed, POST and DELETE are not", USE, unverified="That another method is 405.")
def head_is_allowed(target: Target) -> None:
    one, path = probe(target), "/latest/meta-data/instance-id"
    answers = one.ask_all([(method, path, {TOKEN: one.token}) for method in ("GET", "HEAD", "POST", "DELETE")])
    assert [answer.status for answer in answers] == [200, 200, 405, 405]
    assert [answer.text for answer in answers[:2]] == [one.instance, ""]


@row("Metadata is text/plain, with one name per line in listings; user data is application/octet-stream", ACCESS)
def content_types(target: Target) -> None:
    one = probe(target)
    listing, data = one.get("meta-data/"), one.get("user-data")
    assert listing.headers["content-type"] == "text/plain"
    assert data.headers["content-type"] == "application/octet-stream"
    assert not listing.text.endswith("\n")


@row("A path that does not exist is 404", ACCESS)
def absent_paths(target: Target) -> None:
    values = [
        ("GET", path, {TOKEN: probe(target).token}) for path in ("/latest/nothing", "/nowhere/", "/latest/meta-data/x/")
    ]
    assert {answer.status for answer in probe(target).ask_all(values)} == {404}


@row("`/` lists the versions, including `latest`", USE + ", Get the available versions")
def versions(target: Target) -> None:
    one = probe(target)
    names = one.ask("GET", "/", **{TOKEN: one.token}).names
    assert {"1.0", "2009-04-04", "2021-03-23", "latest"} <= names
    assert one.ask("GET", "/2021-03-23/meta-data/instance-id", **{TOKEN: one.token}).text == one.instance


@row(
    "A listing marks categories with a trailing slash; its own path works with and without one",
    USE + ", Get the top-level metadata items",
)
def listings(target: Target) -> None:
    one = probe(target)
    names = one.get("meta-data/").names
    wanted = "ami-id ami-launch-index ami-manifest-path block-device-mapping/ events/ hostname iam/ instance-action instance-id"
    wanted += " instance-life-cycle instance-type local-hostname local-ipv4 mac metrics/ network/ placement/ profile"
    wanted += " reservation-id security-groups services/ tags/"
    assert set(wanted.split()) <= names
    assert one.get("meta-data").names == names
    assert one.get("meta-data/placement").names == one.get("meta-data/placement/").names
    assert one.get("").names == {"dynamic", "meta-data", "user-data"}


@row("The categories of an instance agree with DescribeInstances", CATEGORIES)
def categories(target: Target) -> None:
    one = probe(target)
    shown = target.describe(one.instance)
    parameters = {
        "instance-id": one.instance,
        "instance-type": shown["InstanceType"],
        "ami-id": shown["ImageId"],
        "ami-launch-index": "0",
        "ami-manifest-path": "(unknown)",
        "instance-life-cycle": "spot",
        "instance-action": "none",
        "local-ipv4": shown["PrivateIpAddress"],
        "hostname": shown["PrivateDnsName"],
        "local-hostname": shown["PrivateDnsName"],
        "mac": shown["NetworkInterfaces"][0]["MacAddress"],
        "security-groups": shown["SecurityGroups"][0]["GroupName"],
        "services/domain": "amazonaws.com",
        "services/partition": "aws",
        "system": "nitro",
    }
    assert {path: one.value(path) for path in parameters} == parameters
    assert one.value("reservation-id").startswith("r-")


@row(
    "The identity document has account, region, zone, image, type, address and architecture",
    "EC2 User Guide, Instance identity documents",
)
def identity_document(target: Target) -> None:
    one = probe(target)
    shown, said = target.describe(one.instance), json.loads(one.get("dynamic/instance-identity/document").text)
    assert said["instanceId"] == one.instance
    assert (said["accountId"], said["region"]) == (target.account, "us-east-1")
    assert said["availabilityZone"] == shown["Placement"]["AvailabilityZone"]
    assert (said["imageId"], said["instanceType"]) == (shown["ImageId"], shown["InstanceType"])
    assert (said["privateIp"], said["architecture"]) == (shown["PrivateIpAddress"], "x86_64")
    assert said["version"] == "2017-09-30"


@row("Detailed monitoring is `enabled` or `disabled`", CATEGORIES + ", Dynamic data categories")
def monitoring(target: Target) -> None:
    assert probe(target).get("dynamic/fws/instance-monitoring").text == "disabled"


@row("Placement has zone, zone id and region; it has no group or partition unless there is one", CATEGORIES)
def placement(target: Target) -> None:
    one = probe(target)
    shown = target.describe(one.instance)["Placement"]
    assert one.value("placement/availability-zone") == shown["AvailabilityZone"]
    assert one.value("placement/availability-zone-id").startswith("use1-az")
    assert one.value("placement/region") == "us-east-1"
    assert {
        one.get(f"meta-data/placement/{name}").status for name in ("group-name", "partition-number", "host-id")
    } == {404}


@row("The network tree has the interface, its addresses, security groups, subnet and VPC", CATEGORIES)
def network(target: Target) -> None:
    one = probe(target)
    shown = target.describe(one.instance)
    card = shown["NetworkInterfaces"][0]
    (mac,) = one.get("meta-data/network/interfaces/macs/").names
    assert mac == card["MacAddress"] + "/"
    ec2 = target.client("ec2")
    subnet = ec2.describe_subnets(SubnetIds=[shown["SubnetId"]])["Subnets"][0]["CidrBlock"]
    vpc = ec2.describe_vpcs(VpcIds=[shown["VpcId"]])["Vpcs"][0]["CidrBlock"]
    parameters = {
        "device-number": "0",
        "interface-id": card["NetworkInterfaceId"],
        "local-hostname": shown["PrivateDnsName"],
        "local-ipv4s": shown["PrivateIpAddress"],
        "mac": card["MacAddress"],
        "owner-id": target.account,
        "security-group-ids": shown["SecurityGroups"][0]["GroupId"],
        "subnet-id": shown["SubnetId"],
        "subnet-ipv4-cidr-block": subnet,
        "vpc-id": shown["VpcId"],
        "vpc-ipv4-cidr-block": vpc,
        "vpc-ipv4-cidr-blocks": vpc,
    }
    assert {path: one.value(f"network/interfaces/macs/{mac}{path}") for path in parameters} == parameters


@row("The block device mapping names the root device", CATEGORIES)
def block_devices(target: Target) -> None:
    one = probe(target)
    assert one.value("block-device-mapping/ami").endswith("xvda")
    assert one.value("block-device-mapping/root") == "/dev/xvda"


@row("Tags are in the metadata only if the launch enables them", TAGS)
def tags_of_the_instance(target: Target) -> None:
    one = probe(target)
    assert {"job", "a:b"} <= one.get("meta-data/tags/instance").names
    assert one.value("tags/instance/job") == "pi"
    assert open_probe(target).get("meta-data/tags/instance").status == 404
    assert "tags/" not in open_probe(target).get("meta-data/").names


@row("A tag that is added or removed later changes in the metadata of a running instance", TAGS)
def tags_change(target: Target) -> None:
    one, ec2 = probe(target), target.client("ec2")
    ec2.create_tags(Resources=[one.instance], Tags=[{"Key": "later", "Value": "1"}])
    target.wait_for(lambda: one.get("meta-data/tags/instance/later").text == "1")
    ec2.delete_tags(Resources=[one.instance], Tags=[{"Key": "later"}])
    target.wait_for(lambda: one.get("meta-data/tags/instance/later").status == 404)


@row("User data is returned unchanged; without user data the path is 404", ACCESS)
def user_data(target: Target) -> None:
    one = probe(target)
    assert one.get("user-data").text == one.program


@row("`iam/info` names the profile; without a role `iam/` does not exist", CATEGORIES)
def iam_info(target: Target) -> None:
    record = json.loads(probe(target).value("iam/info"))
    assert record["Code"] == "Success"
    assert record["InstanceProfileArn"].startswith(f"arn:aws:iam::{target.account}:instance-profile/")
    assert {"LastUpdated", "InstanceProfileId"} <= set(record)
    assert open_probe(target).get("meta-data/iam/").status == 404


@row("The role's credentials have Code, Type, LastUpdated and Expiration; the name of another role is 404", CREDENTIALS)
def role_credentials(target: Target) -> None:
    one = probe(target)
    name = one.value("iam/security-credentials/")
    record = json.loads(one.value(f"iam/security-credentials/{name}"))
    assert (record["Code"], record["Type"]) == ("Success", "AWS-HMAC")
    assert {"AccessKeyId", "SecretAccessKey", "Token", "LastUpdated"} <= set(record)
    left = datetime.fromisoformat(record["Expiration"]) - datetime.now(UTC)
    assert left.total_seconds() > 300
    assert one.get("meta-data/iam/security-credentials/other").status == 404


@row(
    "The credentials are a session of the role, named after the instance, and IAM authorizes them as such",
    "IAM User Guide, IAM policy elements: Variables",
)
def role_is_authorized(target: Target) -> None:
    one = probe(target)
    name = one.value("iam/security-credentials/")
    keys = keys_of(json.loads(one.value(f"iam/security-credentials/{name}")))
    who = target.client("sts", keys=keys).get_caller_identity()
    assert who["Arn"] == f"arn:aws:sts::{target.account}:assumed-role/{name}/{one.instance}"
    role = target.client("iam").get_role(RoleName=name)["Role"]["RoleId"]
    assert who["UserId"] == f"{role}:{one.instance}"
    s3, bucket = target.client("s3", keys=keys), target.bucket()
    s3.put_object(Bucket=bucket, Key=f"own/{role}:{one.instance}/a", Body=b"1")
    assert error_code(target.client("ec2", keys=keys).describe_instances) == "UnauthorizedOperation"
    foreign = f"own/{role}:i-00000000000000000/a"
    assert error_code(s3.put_object, Bucket=bucket, Key=foreign, Body=b"1") == "AccessDenied"


@row(
    "The spot notice is 404 at first; then it has the action and a time about two minutes ahead",
    NOTICES,
    not_on_aws=NO_NOTICE,
)
def spot_notice(target: Any) -> None:
    one = Probe(target, InstanceMarketOptions={"MarketType": "spot"})
    paths = ("meta-data/spot/instance-action", "meta-data/spot/termination-time")
    assert {one.get(path).status for path in paths} == {404}
    target.control("ec2/interrupt", {"instance": one.instance})
    record = json.loads(one.get(paths[0]).text)
    assert record["action"] == "terminate"
    assert one.get(paths[1]).text == record["time"]
    ahead = datetime.fromisoformat(record["time"]) - datetime.now(UTC)
    assert 60 < ahead.total_seconds() <= 120


@row(
    "The rebalance recommendation is 404 at first; then it has its time",
    "EC2 User Guide, EC2 instance rebalance recommendations",
    not_on_aws=NO_NOTICE,
)
def rebalance_recommendation(target: Any) -> None:
    one, path = probe(target), "meta-data/events/recommendations/rebalance"
    assert one.get(path).status == 404
    target.control("ec2/rebalance", {"instance": one.instance})
    assert datetime.fromisoformat(json.loads(one.get(path).text)["noticeTime"]) <= datetime.now(UTC)


@row(
    "Without scheduled maintenance its lists are empty",
    CATEGORIES,
    unverified="That the answer is `[]` and not 404.",
)
def maintenance(target: Target) -> None:
    one = probe(target)
    assert [one.value(f"events/maintenance/{name}") for name in ("history", "scheduled")] == ["[]", "[]"]


@row("With the endpoint disabled every path is 403", ACCESS + ", Responses and error messages")
def endpoint_disabled(target: Target) -> None:
    one, ec2 = open_probe(target), target.client("ec2")
    ec2.modify_instance_metadata_options(InstanceId=one.instance, HttpEndpoint="disabled")
    target.wait_for(lambda: one.ask("GET", "/latest/meta-data/").status == 403)
    assert one.ask("PUT", "/latest/api/token", **{TTL: "60"}).status == 403
    ec2.modify_instance_metadata_options(InstanceId=one.instance, HttpEndpoint="enabled")
    target.wait_for(lambda: one.ask("GET", "/latest/meta-data/").status == 200)
