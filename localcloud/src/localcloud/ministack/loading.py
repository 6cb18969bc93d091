"""Loading MiniStack into this process, with the settings of one cloud.

MiniStack reads its settings from the environment when it is imported, so `load` sets them before it imports anything.
"""

import importlib
import logging
import os
from typing import Any

from localcloud.cloud.facts import Cloud
from localcloud.ministack.names import REQUIRED, check_names, check_version

_CLEARED = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE")
_CLEARED_PREFIXES = ("MINISTACK_", "LAMBDA_", "LOCALSTACK_", "S3_", "AWS_ENDPOINT_URL", "IOT_", "SFTP_", "DOCKER_")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
# Services whose background thread fires schedules by the machine's clock, in UTC only.
_TICKERS = ("scheduler", "eventbridge")


def load(cloud: Cloud) -> None:
    """Import MiniStack with this cloud's settings, and keep its tickers from starting.

    Raises CloudError when the installed version is not the pinned one, or a name that localcloud uses is gone.
    """
    _set_environment(cloud)
    # It warns at each start that it cannot sign with KMS keys, which no part of localcloud uses.
    logging.getLogger("kms").setLevel(logging.ERROR)
    check_version()
    check_names(REQUIRED)
    logging.getLogger().setLevel(logging.WARNING)
    for name in _TICKERS:
        ticker: Any = importlib.import_module(f"ministack.services.{name}")
        ticker.start_scheduler = _nothing


def _nothing() -> None:
    """Do nothing, in place of starting a ticker."""


def _set_environment(cloud: Cloud) -> None:
    """Remove what the user's shell sets for AWS clients and emulators, and set what MiniStack is to read."""
    for name in list(os.environ):
        if name in _CLEARED or name.startswith(_CLEARED_PREFIXES) or name.lower() in _PROXIES:
            del os.environ[name]
    os.environ.update(
        {
            "AUTH": "true",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(cloud.port),
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_ACCOUNT_ID": cloud.account,
            "MINISTACK_REGION": cloud.region,
            "AWS_ACCESS_KEY_ID": cloud.access_key,
            "AWS_SECRET_ACCESS_KEY": cloud.secret_key,
            "AWS_DEFAULT_REGION": cloud.region,
            "AWS_REGION": cloud.region,
            "AWS_ENDPOINT_URL": cloud.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            # Off: listeners on further ports, and Docker.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "DOCKER_HOST": "unix:///nonexistent/docker.sock",
            "PERSIST_STATE": "1",
            "STATE_DIR": str(cloud.state / "services"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(cloud.state / "s3"),
            "LOG_LEVEL": "WARNING",
        }
    )
