"""Makes boto3 clients that call this cloud itself, as the administrator or as a role that a service assumed."""

import functools
import threading
from typing import Any

from localcloud.cloud.facts import Cloud
from localcloud.services.iam.roles import Session

_lock = threading.Lock()


@functools.cache
def _session() -> Any:
    # One session, so that a service's model is read only once. Imported here: a cloud that delivers nothing starts
    # without boto3.
    import boto3
    import botocore.session

    return boto3.Session(botocore_session=botocore.session.get_session())


def client(cloud: Cloud, service: str, region: str, session: Session | None = None) -> Any:
    """Return a client of `service` at this cloud's endpoint. It blocks, so it is not for the event loop's thread."""
    from botocore.config import Config

    keys = {"aws_access_key_id": cloud.access_key, "aws_secret_access_key": cloud.secret_key}
    if session is not None:
        keys = {
            "aws_access_key_id": session.access_key,
            "aws_secret_access_key": session.secret_key,
            "aws_session_token": session.token,
        }
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60)
    with _lock:
        return _session().client(service, region_name=region, endpoint_url=cloud.endpoint, config=config, **keys)
