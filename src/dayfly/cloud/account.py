"""Find the account of the current credentials: for every command (`caller`), and for `init` (`of_credentials`), which may have none."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import botocore.config
import botocore.session

from dayfly.cloud.clients import ERRORS, Aws, raise_translated

_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The owner of the credentials: the account's 12 digits and the ARN of the user or role."""

    account: str
    arn: str


def caller(aws: Aws) -> Caller:
    """Return the owner of the credentials. Raises RightsError if there are none, Unclear if AWS does not answer."""
    try:
        identity = aws.client("sts").get_caller_identity()
    except ERRORS as error:
        raise_translated(error, "find the account of these credentials")
    return Caller(account=identity["Account"], arn=identity["Arn"])


def of_credentials(region: str, environ: Mapping[str, str], *, endpoint: str | None = None) -> str | None:
    """Return the account's 12 digits, or None if there are no credentials, no answer within 3 seconds, or an error.

    AWS is not asked if neither the environment nor a file names credentials. It is not asked either if the environment names an
    endpoint, because a server that is not AWS would answer. `endpoint` is for tests.
    """
    goes_elsewhere = any(name.startswith("AWS_ENDPOINT_URL") and value for name, value in environ.items())
    if goes_elsewhere or not _are_named(environ):
        return None
    found: list[str] = []
    # In a thread with a time limit, because botocore may run programs or call hosts to find credentials.
    asking = threading.Thread(target=_ask, args=(region, environ.get("AWS_PROFILE"), endpoint, found), daemon=True)
    asking.start()
    asking.join(_SECONDS)
    return found[0] if found else None


def _are_named(environ: Mapping[str, str]) -> bool:
    if environ.get("AWS_ACCESS_KEY_ID") or environ.get("AWS_PROFILE"):
        return True
    home = Path(environ.get("HOME") or "/nonexistent")
    files = (
        Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws" / "credentials"),
        Path(environ.get("AWS_CONFIG_FILE") or home / ".aws" / "config"),
    )
    return any(file.is_file() for file in files)


def _ask(region: str, profile: str | None, endpoint: str | None, found: list[str]) -> None:
    config = botocore.config.Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})
    try:
        session = botocore.session.Session(profile=profile)
        # Do not ask the instance metadata service: `init` runs on a laptop, where that request only times out.
        session.get_component("credential_provider").remove("iam-role")
        client = session.create_client("sts", region_name=region, endpoint_url=endpoint, config=config)
        found.append(str(client.get_caller_identity()["Account"]))
    except (*ERRORS, ValueError):
        return
