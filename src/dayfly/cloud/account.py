"""Which account the credentials at hand are of, asked quickly and without a word when there are none. For `init` only."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import botocore.config
import botocore.exceptions
import botocore.session

_SECONDS = 3.0


def of_credentials(region: str, environ: Mapping[str, str], *, endpoint: str | None = None) -> str | None:
    """The account's 12 digits, or None: no credentials, no answer within 3 seconds, or a no.

    Nothing is contacted when neither the environment nor a file names credentials, nor when the environment sends AWS calls
    elsewhere (what answers there is not AWS). `endpoint` is for tests.
    """
    stray = any(name.startswith("AWS_ENDPOINT_URL") and value for name, value in environ.items())
    if stray or not _are_named(environ):
        return None
    found: list[str] = []
    # A thread, since looking for credentials may itself run programs and ask hosts.
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
        # A server's own metadata is not asked: `init` is typed on somebody's machine, where that address only costs time.
        session.get_component("credential_provider").remove("iam-role")
        client = session.create_client("sts", region_name=region, endpoint_url=endpoint, config=config)
        found.append(str(client.get_caller_identity()["Account"]))
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, ValueError):
        return
