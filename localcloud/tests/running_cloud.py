"""Starting and asking a local cloud in a test: its facts, its clients, its command line."""

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

from localcloud.server import control


@dataclass
class Running:
    """A started cloud: its facts, its administrator's environment and its clients."""

    directory: Path
    facts: dict[str, Any]
    environment: dict[str, str]

    def client(self, service: str, region: str = "us-east-1", **credentials: str) -> Any:
        """A boto3 client, of the administrator unless credentials are given."""
        keys = credentials or {
            "aws_access_key_id": self.environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": self.environment["AWS_SECRET_ACCESS_KEY"],
        }
        config = Config(retries={"total_max_attempts": 1}, max_pool_connections=40, read_timeout=60)
        return boto3.client(service, region_name=region, endpoint_url=self.facts["endpoint"], config=config, **keys)

    def control(self, path: str, said: Any = None, method: str = "POST") -> dict[str, Any]:
        """Use one of the cloud's controls, such as `clock`; its answer."""
        data = json.dumps(said).encode() if said is not None else None
        request = urllib.request.Request(f"{self.facts['endpoint']}/_localcloud/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def advance(self, seconds: float) -> dict[str, Any]:
        """Turn the cloud's clock on."""
        return self.control("clock", {"advance": seconds})


def command(directory: Path, *words: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run `python -m localcloud` on a state directory."""
    line = [sys.executable, "-m", "localcloud", words[0], "--state", str(directory), *words[1:]]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, **options)


def begin(directory: Path, *words: str) -> Running:
    """Start a cloud and read what a client needs. It ends with this process at the latest, however that ends."""
    # The cloud holds the reading end; the writing end is this process's alone and is closed by nobody but the kernel.
    reading, writing = os.pipe()
    done = command(directory, "up", "--json", "--parent-pipe", *words, stdin=reading)
    os.close(reading)
    if done.returncode != 0:
        os.close(writing)
    if "already runs" in done.stdout:
        # The caller that began it holds the pipe.
        done = command(directory, "up", "--json", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    said = {name: value for name, value in control.exports(directory).items() if value is not None}
    return Running(directory, json.loads(done.stdout), said)
