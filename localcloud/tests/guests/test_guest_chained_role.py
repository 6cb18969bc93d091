"""A program in a guest assumes a further role with its own role's credentials, and reads parameters and secrets."""

import json

import pytest

import instances
from running_cloud import Running

pytestmark = pytest.mark.cloud

PROGRAM = r"""#!/usr/bin/env python3
import datetime, hashlib, hmac, json, os, re, urllib.error, urllib.request
BASE = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/") + "/latest/"
ENDPOINT = os.environ["AWS_ENDPOINT_URL"]
def send(url, data=None, headers={}, method=None):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=20) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return re.search(r"AccessDenied\w*", error.read().decode())[0]
def signed(service, keys, body, target):
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": ENDPOINT.split("/")[2], "x-amz-date": now, "x-amz-security-token": keys["Token"]}
    if target:
        headers |= {"x-amz-target": target, "content-type": "application/x-amz-json-1.1"}
    else:
        headers["content-type"] = "application/x-www-form-urlencoded"
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    digest = hashlib.sha256(body.encode()).hexdigest()
    scope = f"{now[:8]}/us-east-1/{service}/aws4_request"
    request = hashlib.sha256(f"POST\n/\n\n{lines}\n{names}\n{digest}".encode()).hexdigest()
    key = ("AWS4" + keys["SecretAccessKey"]).encode()
    for word in scope.split("/"):
        key = hmac.new(key, word.encode(), "sha256").digest()
    signature = hmac.new(key, f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{request}".encode(), "sha256").hexdigest()
    headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={keys['AccessKeyId']}/{scope}, "
                                f"SignedHeaders={names}, Signature={signature}")
    return send(ENDPOINT + "/", body.encode(), headers)
token = send(BASE + "api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"}, method="PUT")
profile = BASE + "meta-data/iam/security-credentials/lake-server"
server = json.loads(send(profile, headers={"X-aws-ec2-metadata-token": token}))
asked = "Action=AssumeRole&Version=2011-06-15&RoleSessionName=the-job&RoleArn=%s"
said = signed("sts", server, asked, "")
job = dict(re.findall(r"<(AccessKeyId|SecretAccessKey|SessionToken)>([^<]*)", said))
job["Token"] = job["SessionToken"]
ANSWERS = {}
for who, keys in (("server", server), ("job", job)):
    ANSWERS[who] = re.search(r"assumed-role/([^<]*)", signed("sts", keys, "Action=GetCallerIdentity&Version=2011-06-15", ""))[1]
    parameter = json.dumps({"Name": "/lake/db", "WithDecryption": True})
    ANSWERS[who + " parameter"] = signed("ssm", keys, parameter, "AmazonSSM.GetParameter")
    secret = json.dumps({"SecretId": "lake"})
    ANSWERS[who + " secret"] = signed("secretsmanager", keys, secret, "secretsmanager.GetSecretValue")
    ANSWERS[who + " logs"] = signed("logs", keys, "{}", "Logs_20140328.DescribeLogGroups")
print("ANSWERS", json.dumps(ANSWERS), flush=True)
"""


def test_guest_assumes_a_role_and_reads_its_secrets(cloud: Running) -> None:
    ec2, iam = cloud.client("ec2"), cloud.client("iam")
    cloud.client("ssm").put_parameter(Name="/lake/db", Value="swordfish", Type="SecureString")
    arn = cloud.client("secretsmanager").create_secret(Name="lake", SecretString="marlin")["ARN"]
    reads = [
        {"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": "arn:aws:ssm:*:*:parameter/lake/*"},
        {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": arn},
    ]
    instances.profile(iam, "lake-server", {"Version": "2012-10-17", "Statement": reads})
    principal = {"AWS": iam.get_role(RoleName="lake-server")["Role"]["Arn"]}
    trust = {"Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]}
    job = iam.create_role(RoleName="lake-job", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    listing = {"Statement": [{"Effect": "Allow", "Action": "logs:DescribeLogGroups", "Resource": "*"}]}
    iam.put_role_policy(RoleName="lake-job", PolicyName="own", PolicyDocument=json.dumps(listing))

    server = instances.run(ec2, PROGRAM.replace("%s", job), IamInstanceProfile={"Name": "lake-server"})
    instances.wait_for_output(ec2, server, "\nANSWERS ")
    instances.wait_until(lambda: instances.console(ec2, server).split("\nANSWERS ", 1)[1].endswith("\n"))
    answers = json.loads(instances.console(ec2, server).split("\nANSWERS ", 1)[1].splitlines()[0])
    ec2.terminate_instances(InstanceIds=[server])
    values = {name: text for name, text in answers.items() if name not in ("server parameter", "server secret")}
    assert values == {
        "server": f"lake-server/{server}",
        "job": "lake-job/the-job",
        "server logs": "AccessDeniedException",
        "job parameter": "AccessDeniedException",
        "job secret": "AccessDeniedException",
        "job logs": '{"logGroups": []}',
    }
    assert json.loads(answers["server parameter"])["Parameter"]["Value"] == "swordfish"
    assert json.loads(answers["server secret"])["SecretString"] == "marlin"
