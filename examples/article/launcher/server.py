"""The server's job: compute digits of pi for some seconds, then store one object. Standard library of Python 3.9 only.

`python3 - SECONDS BUCKET REGION <server.py`, as root. The user data shuts the server down afterwards.
"""

import hashlib
import hmac
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

METADATA = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or "http://169.254.169.254"
# Seconds between attempts to store: the credentials of a new server or role may take a moment to work.
WAITS = (1, 2, 4, 8, 16, 0)


def digits() -> Iterator[int]:
    """Yield the decimal digits of pi: pi = 2 + 1/3 (2 + 2/5 (2 + 3/7 (2 + ...))).

    The terms read so far are the map x -> (a x + b) / c, applied to the rest of the series. The rest lies between 3 and 4,
    so a digit is certain when both ends give the same one.
    """
    a, b, c, k = 1, 0, 1, 1
    while True:
        digit = (3 * a + b) // c
        if digit == (4 * a + b) // c:
            yield digit
            a, b = 10 * a, 10 * (b - digit * c)
        else:
            a, b, c, k = a * k, (2 * a + b) * (2 * k + 1), c * (2 * k + 1), k + 1


def pi_for(seconds: float) -> str:
    """Return as many digits as can be computed in that time, at least two: "3.1..."."""
    until = time.monotonic() + seconds
    found: list[str] = []
    for digit in digits():
        found.append(str(digit))
        if time.monotonic() >= until and len(found) > 1:
            break
    return found[0] + "." + "".join(found[1:])


def metadata(path: str) -> str:
    """Return one value of this server's metadata, through IMDSv2."""
    base = METADATA.rstrip("/") + "/latest/"
    request = urllib.request.Request(
        base + "api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        token = answer.read().decode()
    request = urllib.request.Request(base + "meta-data/" + path, headers={"X-aws-ec2-metadata-token": token})
    with urllib.request.urlopen(request, timeout=5) as answer:
        value: str = answer.read().decode()
    return value


def object_url(bucket: str, region: str, key: str) -> str:
    """Return the object's URL: on AWS, or at the endpoint that the environment names."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        return f"{endpoint.rstrip('/')}/{bucket}/{key}"
    return f"https://{bucket}.s3.{region}.{metadata('services/domain')}/{key}"


def signed(url: str, region: str, body: bytes, credentials: dict[str, str], now: str) -> dict[str, str]:
    """Return headers of a PUT to S3, signed (version 4) with the role's credentials; `now` is like 20261124T230000Z."""
    parts, digest = urlsplit(url), hashlib.sha256(body).hexdigest()
    headers = {
        "host": parts.netloc,
        "x-amz-content-sha256": digest,
        "x-amz-date": now,
        "x-amz-security-token": credentials["Token"],
    }
    names = ";".join(headers)
    request = "\n".join(["PUT", parts.path, "", *(f"{k}:{v}" for k, v in headers.items()), "", names, digest])
    scope = f"{now[:8]}/{region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(request.encode()).hexdigest()])
    secret = ("AWS4" + credentials["SecretAccessKey"]).encode()
    for word in scope.split("/"):
        secret = hmac.new(secret, word.encode(), hashlib.sha256).digest()
    signature = hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials['AccessKeyId']}/{scope},SignedHeaders={names},Signature={signature}"
    )
    return headers | {"content-type": "text/plain"}


def put(bucket: str, region: str, key: str, body: bytes) -> None:
    """Store one object as this server's role. Raises OSError if S3 or the metadata service refuses."""
    url = object_url(bucket, region, key)
    role = metadata("iam/security-credentials/").split()[0]
    credentials = json.loads(metadata("iam/security-credentials/" + role))
    headers = signed(url, region, body, credentials, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    with urllib.request.urlopen(urllib.request.Request(url, body, headers, method="PUT"), timeout=60):
        pass


def main(seconds: str, bucket: str, region: str) -> None:
    """Compute, store the digits under the server's id, and report on the console."""
    text = pi_for(float(seconds))
    sys.stdout.write(f"{len(text) - 1} digits of pi in {seconds} s\n")
    for wait in WAITS:
        try:
            key = f"pi/{metadata('instance-id')}.txt"
            put(bucket, region, key, text.encode())
        except OSError as error:
            body = ""
            if isinstance(error, urllib.error.HTTPError):
                body = error.read().decode(errors="replace")
            sys.stdout.write(f"not stored: {error} {body}\n")
            time.sleep(wait)
        else:
            sys.stdout.write(f"stored s3://{bucket}/{key}\n")
            return
    sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
