"""Starts a local cloud for a test and gives access to its facts, clients and command line."""

import json
import os
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from localcloud.server import lifecycle


@dataclass
class Running:
    """A running cloud: its facts, the administrator's environment and clients."""

    directory: Path
    facts: dict[str, Any]
    environment: dict[str, str]

    def client(self, service: str, region: str = "us-east-1", **credentials: str) -> Any:
        """Return a boto3 client for the administrator, or for the given credentials."""
        keys = credentials or {
            "aws_access_key_id": self.environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": self.environment["AWS_SECRET_ACCESS_KEY"],
        }
        config = Config(retries={"total_max_attempts": 1}, max_pool_connections=40, read_timeout=60)
        return boto3.client(service, region_name=region, endpoint_url=self.facts["endpoint"], config=config, **keys)

    def control(self, path: str, body: Any = None, method: str = "POST") -> dict[str, Any]:
        """Call a control of the cloud, such as `clock`, and return its answer."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.facts['endpoint']}/_localcloud/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def advance(self, seconds: float) -> dict[str, Any]:
        """Advance the cloud's clock."""
        return self.control("clock", {"advance": seconds})


def command(directory: Path, *words: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run `python -m localcloud` on a state directory."""
    line = [sys.executable, "-m", "localcloud", words[0], "--state", str(directory), *words[1:]]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, **options)


def begin(directory: Path, *words: str) -> Running:
    """Start a cloud and return it. It ends at the latest when this process ends, for whatever reason."""
    # The cloud reads this pipe. Only this process has the writing end, and the kernel closes it when the process ends.
    reading, writing = os.pipe()
    done = command(directory, "up", "--json", "--parent-pipe", *words, stdin=reading)
    os.close(reading)
    if done.returncode != 0:
        os.close(writing)
    if "already runs" in done.stdout:
        # The caller that started it holds the pipe.
        done = command(directory, "up", "--json", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    values = {name: value for name, value in lifecycle.exports(directory).items() if value is not None}
    return Running(directory, json.loads(done.stdout), values)
