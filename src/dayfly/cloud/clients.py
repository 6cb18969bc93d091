"""Make botocore clients, and translate botocore's errors into dayfly's. Every request to AWS is sent by a client made here.

If an endpoint is given (the local cloud, tests), creating a client for an address that is not on this machine raises RuntimeError.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import urlsplit

import botocore.config
import botocore.exceptions
import botocore.parsers
import botocore.session

from dayfly.errors import Refused, RightsError, SupplyError, Unclear, Vanished

UNCLEAR_CODES = {
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "SlowDown",
    "InternalError",
    "InternalServerError",
    "InternalServerException",
    "InternalFailure",
    "ServiceException",
    "Unavailable",
    "ServiceUnavailable",
    "RequestTimeout",
    "EC2ThrottledException",
    "ConditionalRequestConflict",
    "OperationAborted",  # S3: another change of the same bucket is under way
}
DENIED_CODES = {
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "AuthFailure",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "ExpiredTokenException",
    "UnrecognizedClientException",
    "InvalidAccessKeyId",
}
LIMIT_CODES = {"LimitExceeded", "LimitExceededException", "ServiceQuotaExceededException"}
NO_ANSWER = (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError)
UNREADABLE = (
    botocore.parsers.ResponseParserError,
    botocore.exceptions.IncompleteReadError,
    botocore.exceptions.FlexibleChecksumError,
    json.JSONDecodeError,
)
"""Errors of an answer that is not what botocore or json can read: cut off, or XML with a character that XML cannot hold."""
ERRORS = (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError, *UNREADABLE)
"""All errors of a request to AWS."""
_HOMES = {"freetier": "us-east-1"}
"""The region of a service that has one endpoint for all regions, and whose other names do not exist."""
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True)
class Aws:
    """The region that calls go to, and the endpoint if it is not AWS. Each client is made once.

    `keys`: the local cloud's access key and secret; None takes the credentials of the environment.
    """

    region: str
    endpoint: str | None = None
    keys: tuple[str, str] | None = None
    profile: str | None = None
    _clients: dict[str, Any] = field(default_factory=dict)
    _session: list[Any] = field(default_factory=list)

    def client(self, service: str) -> Any:
        """Return the client of this service. Raises RightsError for a profile that does not exist."""
        if service not in self._clients:
            self._clients[service] = self._make(service, _HOMES.get(service, self.region))
        return self._clients[service]

    def _make(self, service: str, region: str) -> Any:
        if not self._session:
            self._session.append(botocore.session.Session(profile=self.profile))
        try:
            with _no_garbage_collection():
                client = self._session[0].create_client(
                    service,
                    region_name=region,
                    endpoint_url=self.endpoint,
                    config=self._config(service),
                    **self._keys,
                )
        except botocore.exceptions.ProfileNotFound as error:
            raise RightsError(str(error), hint="aws configure list-profiles") from error
        if self.endpoint is not None:
            host = urlsplit(client.meta.endpoint_url).hostname
            if host not in LOOPBACK:
                raise RuntimeError(f"{service}: {client.meta.endpoint_url} is not on this machine")
        return client

    @property
    def _keys(self) -> dict[str, str]:
        """The arguments for a client with `keys`; none for the credentials of the environment."""
        if self.keys is None:
            return {}
        return {"aws_access_key_id": self.keys[0], "aws_secret_access_key": self.keys[1]}

    def _config(self, service: str) -> Any:
        settings: dict[str, Any] = {
            "retries": {"mode": "standard", "max_attempts": 6},
            "connect_timeout": 5,
            "read_timeout": 70,
        }
        if service == "lambda":
            # botocore must not repeat an invocation: the launcher may run for 2 minutes, and each repeat would deliver the event again.
            settings |= {"retries": {"mode": "standard", "max_attempts": 1}, "read_timeout": 150}
        if service == "sns":
            # A message that is not taken at once is sent by the next sweep: no other work waits for it.
            settings |= {"retries": {"mode": "standard", "max_attempts": 2}, "connect_timeout": 2, "read_timeout": 5}
        if service == "s3":
            settings |= {"signature_version": "s3v4", "s3": {"addressing_style": self._addressing_style}}
        return botocore.config.Config(**settings)

    @property
    def _addressing_style(self) -> str:
        """How S3 addresses a bucket: by path at an endpoint (which has no DNS names for buckets), by host name on AWS.

        boto3's default style signs links for the global endpoint. That redirects requests for a new bucket, and the redirect breaks
        the signature.
        """
        return "virtual" if self.endpoint is None else "path"


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Collect no garbage in the block. botocore reads megabytes of JSON to make a client, which the collector visits again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def code_of(error: Exception) -> str:
    """Return the AWS error code of an exception, or an empty string."""
    return str(_response(error).get("Error", {}).get("Code", ""))


def message_of(error: Exception) -> str:
    """Return AWS's message in an exception, or the exception as text."""
    return str(_response(error).get("Error", {}).get("Message") or error)


def status_of(error: Exception) -> int:
    """Return the HTTP status of an exception, or 0."""
    return int(_response(error).get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def _response(error: Exception) -> dict[str, Any]:
    found: dict[str, Any] = getattr(error, "response", None) or {}
    return found


def is_unclear(error: Exception) -> bool:
    """Return whether the request may have taken effect: no answer, one that cannot be read, throttled, or an error inside AWS."""
    if isinstance(error, botocore.exceptions.ClientError):
        return code_of(error) in UNCLEAR_CODES or status_of(error) >= 500
    return isinstance(error, (*NO_ANSWER, *UNREADABLE))


def raise_translated(error: Exception, doing: str) -> NoReturn:
    """Raise the DayflyError whose remedy fits. It is always a DayflyError, so that the flow that made the call can catch it."""
    code = code_of(error)
    if isinstance(error, (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError)):
        raise RightsError("no valid AWS credentials", hint="or without an account: add --local") from error
    if is_unclear(error):
        raise Unclear(
            f"{doing}: no clear answer ({code or type(error).__name__})", hint="repeat the command"
        ) from error
    if code == "NoSuchBucket":
        raise Vanished(f"{doing}: the project's bucket does not exist (any more)", hint="dayfly deploy") from error
    if code in DENIED_CODES:
        raise RightsError(
            f"{doing}: {code}: {message_of(error)}", hint="ask for this permission, or use another profile"
        ) from error
    if code in LIMIT_CODES:
        raise SupplyError(f"{doing}: {message_of(error)}") from error
    raise Refused(f"{doing}: {code or type(error).__name__}: {message_of(error)}") from error
