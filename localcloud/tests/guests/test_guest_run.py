"""A transient instance from launch to end, by boto3: its script stores a result as its role and powers off."""

import pytest

import instances
from running_cloud import Running

pytestmark = pytest.mark.cloud

# Uses only bash, Python and the instance metadata.
USER_DATA = r"""#!/bin/bash
echo "hello from $(hostname)"
python3 - <<'PY'
import datetime, hashlib, hmac, json, os, urllib.error, urllib.parse, urllib.request

base = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/") + "/latest/"

def ask(path, method="GET", **headers):
    return urllib.request.urlopen(urllib.request.Request(base + path, method=method, headers=headers)).read().decode()

token = ask("api/token", "PUT", **{"X-aws-ec2-metadata-token-ttl-seconds": "300"})

def meta(path):
    return ask("meta-data/" + path, **{"X-aws-ec2-metadata-token": token})

region, server = meta("placement/region"), meta("instance-id")
keys = json.loads(meta("iam/security-credentials/" + meta("iam/security-credentials/")))

def put(key, body, once="*"):
    host = os.environ["AWS_ENDPOINT_URL"].split("//")[1]
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    digest, path = hashlib.sha256(body).hexdigest(), "/BUCKET/" + urllib.parse.quote(key)
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": now, "x-amz-security-token": keys["Token"]}
    headers |= {"if-none-match": once} if once else {}
    names = ";".join(sorted(headers))
    lines = ["PUT", path, "", *(f"{name}:{headers[name]}" for name in sorted(headers)), "", names, digest]
    scope = f"{now[:8]}/{region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256("\n".join(lines).encode()).hexdigest()])
    secret = ("AWS4" + keys["SecretAccessKey"]).encode()
    for part in (now[:8], region, "s3", "aws4_request"):
        secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys['AccessKeyId']}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    headers["content-type"] = "text/plain"
    try:
        return urllib.request.urlopen(urllib.request.Request("http://" + host + path, body, headers, method="PUT")).status
    except urllib.error.HTTPError as error:
        return error.code

print("own", put(f"runs/ROLE:{server}/pi.txt", b"3.14159\n"))
print("rewritten", [put(f"runs/ROLE:{server}/pi.txt", b"3\n", once) for once in ("*", '"x"', "")])
print("foreign", put("runs/ROLE:i-00000000000000000/pi.txt", b"3\n"))
PY
shutdown -h now
"""


def test_instance_stores_a_result_as_its_role_and_ends(cloud: Running) -> None:
    ec2, s3 = cloud.client("ec2"), cloud.client("s3")
    s3.create_bucket(Bucket="results")
    own = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::results/runs/${aws:userid}/*"}
    missing = {"Null": {"s3:if-none-match": "true"}}
    once = {"Effect": "Deny", "Action": "s3:PutObject", "Resource": "*", "Condition": missing}
    role = instances.profile(cloud.client("iam"), "server", {"Version": "2012-10-17", "Statement": [own, once]})
    server = instances.run(
        ec2,
        USER_DATA.replace("BUCKET", "results").replace("ROLE", role),
        IamInstanceProfile={"Name": "server"},
        InstanceInitiatedShutdownBehavior="terminate",
        ClientToken="once",
    )
    instances.wait_for_state(ec2, server, "terminated")
    assert "own 200\nrewritten [412, 501, 403]\nforeign 403\n" in instances.console(ec2, server)
    stored = s3.get_object(Bucket="results", Key=f"runs/{role}:{server}/pi.txt")["Body"].read()
    assert stored == b"3.14159\n"
    shown = instances.shown(ec2, server)
    assert shown["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [server]}])["Volumes"] == []
