"""boto3 clients of this cloud for its own services, as the administrator or as a role that a service assumed."""

import functools
import threading
from typing import Any

from localcloud.cloud.facts import Cloud
from localcloud.services.iam.roles import Session

_lock = threading.Lock()


@functools.cache
def _session() -> Any:
    # One session: a service's model is read once, not at each delivery, and boto3 adds its own methods to a client once.
    # Imported only here: a cloud that delivers nothing starts without it.
    import boto3
    import botocore.session

    return boto3.Session(botocore_session=botocore.session.get_session())


def client(cloud: Cloud, service: str, region: str, session: Session | None = None) -> Any:
    """A client of `service` at this cloud's endpoint; blocking, so for threads other than the event loop's."""
    keys = {
        "aws_access_key_id": session.access_key if session else cloud.access_key,
        "aws_secret_access_key": session.secret_key if session else cloud.secret_key,
        "aws_session_token": session.token if session else None,
    }
    from botocore.config import Config

    config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60)
    with _lock:
        return _session().client(service, region_name=region, endpoint_url=cloud.endpoint, config=config, **keys)
