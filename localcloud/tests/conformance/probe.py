"""A probe: an instance that sends requests to its metadata service on demand and reports the answers.

It reads its questions from one object of a bucket and writes its answers to another, both by presigned links, so the same
program works in a guest and on AWS, with Python's standard library alone. Nothing is checked here.
"""

import json
import time
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from targets import Target

PROGRAM = """#!/usr/bin/env python3
import json, os, time, urllib.error, urllib.request
IN, OUT = "{question}", "{answer}"
BASE = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
def ask(method, url, headers, data=None):
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as got:
            return got.status, dict((k.lower(), v) for k, v in got.headers.items()), got.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, {{}}, error.read().decode()
last = 0
while True:
    try:
        status, _, said = ask("GET", IN, {{}})
        said = json.loads(said) if status == 200 else {{"number": 0}}
        if said["number"] > last:
            answers = [ask(method, BASE + path, headers) for method, path, headers in said["questions"]]
            last = said["number"]
            ask("PUT", OUT, {{}}, json.dumps({{"number": last, "answers": answers}}).encode())
    except OSError:
        pass
    time.sleep({pause})
"""
TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"


@dataclass
class Answer:
    """An answer of the metadata service."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def names(self) -> set[str]:
        """Return the names of a listing."""
        return set(self.text.split("\n"))


class Probe:
    """An instance that runs the program."""

    def __init__(self, target: Target, **launch: Any) -> None:
        self.target = target
        self._number = 0
        bucket, key = target.bucket(), target.name_for("probe")
        self._question = {"Bucket": bucket, "Key": f"{key}/question"}
        self._answer = {"Bucket": bucket, "Key": f"{key}/answer"}
        s3 = target.client("s3")
        links = {
            "question": s3.generate_presigned_url("get_object", Params=self._question, ExpiresIn=3600),
            "answer": s3.generate_presigned_url("put_object", Params=self._answer, ExpiresIn=3600),
        }
        self.program = PROGRAM.format(pause=target.pause, **links)
        parameters = {"MinCount": 1, "MaxCount": 1, "UserData": self.program, "InstanceType": "t3.nano", **launch}
        ec2 = target.client("ec2")
        made = target.retried(lambda: ec2.run_instances(ImageId=target.image(), **parameters))
        self.instance = str(made["Instances"][0]["InstanceId"])
        target.undo_at_end(ec2.terminate_instances, InstanceIds=[self.instance])
        self.token = self.ask("PUT", "/latest/api/token", **{TTL: "3600"}).text

    def ask(self, method: str, path: str, **headers: str) -> Answer:
        """Send one request to the metadata service and return its answer."""
        return self.ask_all([(method, path, headers)])[0]

    def ask_all(self, questions: list[tuple[str, str, dict[str, str]]]) -> list[Answer]:
        """Send several requests in sequence and return their answers."""
        s3 = self.target.client("s3")
        self._number += 1
        body = json.dumps({"number": self._number, "questions": questions}).encode()
        s3.put_object(**self._question, Body=body)

        def answered() -> Any:
            try:
                record = json.loads(s3.get_object(**self._answer)["Body"].read())
            except ClientError:
                return None
            return record["answers"] if record["number"] == self._number else None

        return [Answer(*one) for one in self.target.wait_for(answered, "the probe's answer")]

    def get(self, path: str) -> Answer:
        """Get a path below /latest/ with the token."""
        return self.ask("GET", f"/latest/{path}", **{TOKEN: self.token})

    def value(self, path: str) -> str:
        """Return the text at a path below /latest/meta-data/; the path must exist."""
        found = self.get(f"meta-data/{path}")
        assert found.status == 200, f"{path}: {found.status}"
        return found.text

    def wait(self, seconds: float) -> None:
        """Wait in real time, for a token to expire."""
        time.sleep(seconds)
