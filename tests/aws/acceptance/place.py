"""Where the trial goes: one AWS account and region, or the local cloud of a folder. Clients, and the command line run there.

The account must be named beforehand and is asked for; nothing is done in another one. No step of the trial lives here.
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
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions

NAME = re.compile(r"accept-[0-9a-f]{8}")
TAG = "dayfly-acceptance"
"""The tag on everything that the trial makes; its value is the trial's name."""
IAM_PATH = "/dayfly-acceptance/"
ASKED = ("sts", "ec2", "cloudformation", "iam", "s3", "ssm", "scheduler", "lambda")
"""The services that the trial and the command line ask."""
AWS_HOST = re.compile(r"\.(amazonaws\.com|amazonaws\.com\.cn|api\.aws)$")
"""The ends of AWS's names (AWS General Reference, Service endpoints), of the standard, GovCloud and China partitions."""
MARK = "# Written by the acceptance trial; removed with it.\n"


class Refusal(Exception):
    """Nothing was done, and why."""


def new_name() -> str:
    """A name that no other trial has; project, stack, buckets, roles and templates are called after it."""
    return f"accept-{secrets.token_hex(4)}"


@dataclass(frozen=True)
class Place:
    """An account and region; `folder` is where `dayfly` is run, `local` whether the folder's local cloud is meant."""

    session: Any
    endpoint: str | None
    account: str
    region: str
    folder: Path
    local: bool
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            style = {"addressing_style": "path" if self.endpoint else "virtual"}
            tries = 1 if self.local else 4
            config = boto3.session.Config(
                s3=style, connect_timeout=5, retries={"mode": "standard", "max_attempts": tries}
            )
            self._clients[service] = self.session.client(service, endpoint_url=self.endpoint, config=config)
        return self._clients[service]

    @property
    def pause_s(self) -> float:
        """Between two looks."""
        return 0.3 if self.local else 4.0

    @property
    def again_s(self) -> float:
        """So long nothing may change before a clean-up ends: some things are shown for a while after they went.

        ACCEPTANCE_AGAIN_S, on the local cloud only, is another time."""
        return float(os.environ.get("ACCEPTANCE_AGAIN_S", 180)) if self.local else 180.0

    def write(self, text: str) -> None:
        """dayfly.toml of the folder. Raises Refusal where another one stands there."""
        file = self.folder / "dayfly.toml"
        if file.exists() and not file.read_text().startswith(MARK):
            raise Refusal(f"{file} is not the trial's: use a folder without a project")
        file.write_text(MARK + text)

    def dayfly(self, *words: str, timeout: float = 1500) -> dict[str, Any]:
        """One `dayfly` command with --json: its document, with `exit`. It ends with this process, where the system can do that."""
        command = [sys.executable, "-m", "dayfly", *words, "--json", *(["--local"] if self.local else [])]
        done = subprocess.run(
            command,
            cwd=self.folder,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=timeout,
            check=False,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        try:
            document: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        except (ValueError, IndexError):
            document = {"error": (done.stderr or done.stdout).strip()[-500:]}
        return {**document, "exit": done.returncode}


def _die_with_parent() -> None:
    """A killed trial must leave no command at work that makes more while another one cleans up (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)


def on_aws(account: str, region: str | None) -> Place:
    """The account that the credentials at hand are of. Raises Refusal when it is not the one named, or calls would go elsewhere."""
    session = boto3.Session(region_name=region)
    if session.region_name is None:
        raise Refusal("no region: --region eu-west-1")
    for service in ASKED:
        only_aws(session.client(service))
    try:
        found = session.client("sts").get_caller_identity()["Account"]
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        raise Refusal(f"no AWS credentials that work: {error}") from error
    if found != account:
        raise Refusal(f"these credentials are of account {found}, not {account}: nothing was done")
    folder = Path(tempfile.mkdtemp(prefix="dayfly-acceptance-"))
    return Place(session, None, account, session.region_name, folder, local=False)


def only_aws(client: Any) -> None:
    """Raises Refusal when this client would ask another host than AWS's, whoever said so: environment, profile or its services."""
    url = urllib.parse.urlsplit(client.meta.endpoint_url)
    if url.scheme != "https" or not AWS_HOST.search(f".{url.hostname}"):
        service = client.meta.service_model.service_name
        raise Refusal(
            f"{service} would be asked at {client.meta.endpoint_url}, which is not AWS: "
            "unset AWS_ENDPOINT_URL and the profile's endpoint_url, or use --local FOLDER"
        )


def on_this_machine(folder: Path, account: str, region: str | None) -> Place:
    """The local cloud that runs in a folder. Raises Refusal when none does, or it is another account."""
    told = subprocess.run(
        [sys.executable, "-m", "dayfly", "local", "env"],
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if told.returncode != 0:
        raise Refusal(f"no local cloud runs in {folder}: dayfly local up")
    lines = [line.removeprefix("export ") for line in told.stdout.splitlines() if line.startswith("export ")]
    given = dict(line.split("=", 1) for line in lines)
    session = boto3.Session(
        aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
        region_name=region or given.get("AWS_REGION") or given.get("AWS_DEFAULT_REGION"),
    )
    endpoint = given["AWS_ENDPOINT_URL"]
    found = session.client("sts", endpoint_url=endpoint).get_caller_identity()["Account"]
    if found != account:
        raise Refusal(f"the local cloud is account {found}, not {account}: nothing was done")
    return Place(session, endpoint, account, session.region_name, folder, local=True)


def code_of(error: botocore.exceptions.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def why(error: Exception) -> str:
    """AWS's code, or what kind of trouble it is, in one line."""
    if isinstance(error, botocore.exceptions.ClientError):
        return code_of(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def quietly(call: Callable[[], Any], *codes: str) -> Any:
    """What the call answers; None where AWS says that what it is about is not there (one of `codes`)."""
    try:
        return call()
    except botocore.exceptions.ClientError as error:
        if code_of(error) not in codes:
            raise
        return None
