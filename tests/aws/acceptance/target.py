"""Where the trial runs: one AWS account and region, or a folder's local cloud. Clients, and dayfly's commands there.

The account must be named and is checked; nothing is done in another one. No step of the trial lives here.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions

NAME = re.compile(r"accept-([0-9a-f]{8})[0-9a-f]{4}")
"""A trial's name: when it began, in seconds since 1970 as 8 hex digits, and 4 random ones."""
MAY_RUN_S = 3600
"""How long a trial may run. A younger one may be a colleague's that is still running."""
TAG = "dayfly-acceptance"
"""The tag on everything that the trial creates; its value is the trial's name."""
IAM_PATH = "/dayfly-acceptance/"
SERVICES = ("sts", "ec2", "cloudformation", "iam", "s3", "ssm", "scheduler", "lambda")
"""The services that the trial and the command line call."""
AWS_HOST = re.compile(r"\.(amazonaws\.com|amazonaws\.com\.cn|api\.aws)$")
"""How AWS's host names end (AWS General Reference, Service endpoints), for the standard, GovCloud and China partitions."""
PROGRAM = "hello.py"
MARK = "# Written by the acceptance trial, which deletes it.\n"


class Refusal(Exception):
    """Nothing was done; the text says why."""


def new_name() -> str:
    """Return a unique trial name; project, stack, buckets, roles and templates are named after it."""
    return f"accept-{int(time.time()):08x}{secrets.token_hex(2)}"


def may_run(name: str) -> bool:
    """Return whether a trial of this name may still be running."""
    found = NAME.fullmatch(name)
    return found is not None and time.time() - int(found[1], 16) < MAY_RUN_S


@dataclass(frozen=True)
class Target:
    """An account and region. `dayfly` runs in `folder`; with `local` against the folder's local cloud."""

    session: Any
    endpoint: str | None
    account: str
    region: str
    folder: Path
    local: bool
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            attempts, style = 4, "virtual"
            if self.local:
                attempts, style = 1, "path"
            config = boto3.session.Config(
                s3={"addressing_style": style},
                connect_timeout=5,
                retries={"mode": "standard", "max_attempts": attempts},
            )
            self._clients[service] = self.session.client(service, endpoint_url=self.endpoint, config=config)
        return self._clients[service]

    @property
    def pause_s(self) -> float:
        """Seconds between two checks."""
        if self.local:
            return 0.3
        return 4.0

    @property
    def again_s(self) -> float:
        """Seconds without change after which a clean-up stops: AWS shows some things for a while after deletion.

        ACCEPTANCE_AGAIN_S sets another time, on the local cloud only.
        """
        if self.local:
            return float(os.environ.get("ACCEPTANCE_AGAIN_S", 180))
        return 180.0

    def write(self, text: str) -> None:
        """Write the folder's dayfly.toml. Raises Refusal if there is one that a trial did not write."""
        file = self.folder / "dayfly.toml"
        if file.exists() and not file.read_text().startswith(MARK):
            raise Refusal(f"{file} is not the trial's; use a folder without a project")
        file.write_text(MARK + text)

    def write_program(self, text: str) -> None:
        """Write the job's program beside dayfly.toml, so that the trial's bundle is not empty."""
        (self.folder / PROGRAM).write_text(MARK + text)

    def dayfly(self, *words: str, timeout: float = 1500) -> dict[str, Any]:
        """Run `dayfly` with --json and return its document with `exit`, the exit code. On Linux it ends with this process."""
        command = [sys.executable, "-m", "dayfly", *words, "--json"]
        if self.local:
            command.append("--local")
        done = subprocess.run(
            command,
            cwd=self.folder,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=timeout,
            check=False,
            preexec_fn=_end_with_parent,
        )
        try:
            document: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        except (ValueError, IndexError):
            document = {"error": (done.stderr or done.stdout).strip()[-500:]}
        return {**document, "exit": done.returncode}


def _end_with_parent() -> None:
    """Ask Linux to kill this process with its parent (PR_SET_PDEATHSIG).

    A killed trial must not leave a command that creates more while another one cleans up.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)


def on_aws(account: str, region: str | None) -> Target:
    """Return the account of the current credentials. Raises Refusal if it is not the named one, or calls would not go to AWS."""
    session = boto3.Session(region_name=region)
    if session.region_name is None:
        raise Refusal("no region is set; use --region eu-west-1")
    for service in SERVICES:
        only_aws(session.client(service))
    try:
        found = session.client("sts").get_caller_identity()["Account"]
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        raise Refusal(f"no valid AWS credentials: {error}") from error
    if found != account:
        raise Refusal(f"these credentials belong to account {found}, not {account}; nothing was done")
    folder = Path(tempfile.mkdtemp(prefix="dayfly-acceptance-"))
    return Target(session, None, account, session.region_name, folder, local=False)


def only_aws(client: Any) -> None:
    """Raise Refusal if this client would call a host that is not AWS's, whether by environment, profile or its services."""
    url = urllib.parse.urlsplit(client.meta.endpoint_url)
    if url.scheme != "https" or not AWS_HOST.search(f".{url.hostname}"):
        service = client.meta.service_model.service_name
        raise Refusal(
            f"{service} would be called at {client.meta.endpoint_url}, which is not AWS: "
            "unset AWS_ENDPOINT_URL and the profile's endpoint_url, or use --local FOLDER"
        )


def on_this_machine(folder: Path, account: str, region: str | None) -> Target:
    """Return the local cloud that runs in a folder. Raises Refusal if none runs, or it has another account.

    The trial's own calls are made as the administrator, or with the keys `ID:SECRET` in ACCEPTANCE_KEYS; dayfly's always as the former.
    """
    done = subprocess.run(
        [sys.executable, "-m", "dayfly", "local", "env"],
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        raise Refusal(f"no local cloud runs in {folder}; start one with: dayfly local up")
    lines = [line.removeprefix("export ") for line in done.stdout.splitlines() if line.startswith("export ")]
    given = dict(line.split("=", 1) for line in lines)
    own = f"{given['AWS_ACCESS_KEY_ID']}:{given['AWS_SECRET_ACCESS_KEY']}"
    key, _, secret = os.environ.get("ACCEPTANCE_KEYS", own).partition(":")
    session = boto3.Session(
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        region_name=region or given.get("AWS_REGION") or given.get("AWS_DEFAULT_REGION"),
    )
    endpoint = given["AWS_ENDPOINT_URL"]
    found = session.client("sts", endpoint_url=endpoint).get_caller_identity()["Account"]
    if found != account:
        raise Refusal(f"the local cloud has account {found}, not {account}; nothing was done")
    return Target(session, endpoint, account, session.region_name, folder, local=True)


def code_of(error: botocore.exceptions.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def error_text(error: Exception) -> str:
    """Return AWS's error code, or the kind of error and its text in one line."""
    if isinstance(error, botocore.exceptions.ClientError):
        return code_of(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def ignoring(call: Callable[[], Any], *codes: str) -> Any:
    """Return the call's answer, or None if AWS refuses it with one of these error codes."""
    try:
        return call()
    except botocore.exceptions.ClientError as error:
        if code_of(error) not in codes:
            raise
        return None
