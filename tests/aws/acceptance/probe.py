#!/usr/bin/env python3
"""User data of the trial's own servers: test the role's permissions, report the result, power off.

Runs on the server with the standard library only; names in capitals between @ are replaced before it is sent.
"""

import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

BUCKET, REGION, ROLE_ID, LINGER_S, BOUND_S = "@BUCKET@", "@REGION@", "@ROLE_ID@", float("@LINGER_S@"), "@BOUND_S@"
METADATA = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
STORE = os.environ.get("AWS_ENDPOINT_URL") or f"https://s3.{REGION}.amazonaws.com"


def say(line):
    """Print to the console."""
    sys.stdout.write(f"probe: {line}\n")
    sys.stdout.flush()


def metadata(path, method="GET", **headers):
    request = urllib.request.Request(f"{METADATA}/latest/{path}", method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.read().decode()


def signing_key(secret, day):
    key = ("AWS4" + secret).encode()
    for word in (day, REGION, "s3", "aws4_request"):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    return key


def put(given, key, content):
    """Store an object as the server's role; return the HTTP status and S3's error code (or an empty string)."""
    path = urllib.parse.quote(f"/{BUCKET}/{key}", safe="/~")
    host = urllib.parse.urlsplit(STORE).netloc
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    digest = hashlib.sha256(content).hexdigest()
    headers = {
        "host": host,
        "x-amz-content-sha256": digest,
        "x-amz-date": now,
        "x-amz-security-token": given["Token"],
    }
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    scope = f"{now[:8]}/{REGION}/s3/aws4_request"
    canonical = hashlib.sha256(f"PUT\n{path}\n\n{lines}\n{names}\n{digest}".encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{canonical}"
    signature = hmac.new(signing_key(given["SecretAccessKey"], now[:8]), text.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={given['AccessKeyId']}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    request = urllib.request.Request(f"{STORE}{path}", data=content, method="PUT", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        body = error.read().decode(errors="replace")
        return error.code, body.partition("<Code>")[2].partition("</Code>")[0]


def main():
    token = metadata("api/token", "PUT", **{"X-aws-ec2-metadata-token-ttl-seconds": "300"})
    asked = {"X-aws-ec2-metadata-token": token}
    instance = metadata("meta-data/instance-id", **asked)
    role = metadata("meta-data/iam/security-credentials/", **asked).split()[0]
    given = json.loads(metadata(f"meta-data/iam/security-credentials/{role}", **asked))
    other = put(given, f"probe/{ROLE_ID}:i-00000000000000000/theirs", b"not mine")
    own = put(given, f"probe/{ROLE_ID}:{instance}/mine", b"mine")
    seen = {"own": own, "other": other}
    say(json.dumps(seen))
    put(given, f"probe/{ROLE_ID}:{instance}/seen.json", json.dumps(seen).encode())


# Whatever happens below, this server powers itself off.
subprocess.Popen(
    ["/bin/sh", "-c", f"sleep {BOUND_S}; shutdown -h now"],
    stdin=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
    start_new_session=True,
)
try:
    main()
    time.sleep(LINGER_S)
except Exception as error:
    say(f"failed: {error}")
subprocess.run(["shutdown", "-h", "now"])
