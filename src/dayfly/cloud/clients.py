"""Makes boto3 clients and turns botocore's errors into ours. All that may leave this machine leaves through here.

A guard holds every client to one endpoint when one is named (the local cloud, tests): anything else then raises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import boto3
import botocore.config
import botocore.exceptions

from dayfly.errors import DayflyError, Refused, RightsError, SupplyError, Unclear

T = TypeVar("T")

UNCLEAR = {
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
}
DENIED = {
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
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True)
class Aws:
    """Where calls go: a region, and an endpoint when it is not AWS itself. Clients are made once each.

    `keys` are an access key and its secret when they do not come from the environment (the local cloud's).
    """

    region: str
    endpoint: str | None = None
    keys: tuple[str, str] | None = None
    profile: str | None = None
    _clients: dict[str, Any] = field(default_factory=dict)
    _session: list[Any] = field(default_factory=list)

    def client(self, service: str) -> Any:
        """A client of this service. Raises RightsError when there are no credentials at all."""
        if service not in self._clients:
            self._clients[service] = self._make(service)
        return self._clients[service]

    @property
    def session(self) -> Any:
        if not self._session:
            named = {"aws_access_key_id": self.keys[0], "aws_secret_access_key": self.keys[1]} if self.keys else {}
            try:
                self._session.append(boto3.Session(region_name=self.region, profile_name=self.profile, **named))
            except botocore.exceptions.ProfileNotFound as error:
                raise RightsError(str(error), hint="aws configure list-profiles") from error
        return self._session[0]

    def _make(self, service: str) -> Any:
        # Path style only where there is no DNS for buckets. On AWS the style is named too: a link signed in the default style
        # points at the global endpoint, which redirects for a new bucket, and a redirect breaks the signature.
        style = {"addressing_style": "path" if self.endpoint else "virtual"}
        # An invocation is not repeated by botocore: a launcher may take its whole 2 minutes, and each repeat is another delivery.
        patient = service == "lambda"
        config = botocore.config.Config(
            retries={"mode": "standard", "max_attempts": 1 if patient else 6},
            connect_timeout=5,
            read_timeout=150 if patient else 70,
            s3=style,
            signature_version="s3v4" if service == "s3" else None,
        )
        client = self.session.client(service, endpoint_url=self.endpoint, config=config)
        if self.endpoint is not None:
            host = urlsplit(client.meta.endpoint_url).hostname
            if host not in LOOPBACK:
                raise RuntimeError(f"{service}: {client.meta.endpoint_url} is not on this machine")
        return client


def code_of(error: Exception) -> str:
    """The AWS error code of an exception, or an empty string."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def status_of(error: Exception) -> int:
    """Its HTTP status, or 0."""
    response = getattr(error, "response", None) or {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def is_unclear(error: Exception) -> bool:
    """Whether nobody knows if it happened: no answer, throttled, or a fault on AWS's side."""
    if isinstance(error, botocore.exceptions.ClientError):
        return code_of(error) in UNCLEAR or status_of(error) >= 500
    return isinstance(error, (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError))


def raise_ours(error: Exception, doing: str) -> NoReturn:
    """Raises the class of ours whose remedy fits. Always one of ours: what AWS says must reach the flow that asked."""
    code = code_of(error)
    if isinstance(error, (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError)):
        raise RightsError("no AWS credentials that work", hint="no account needed: --local") from error
    if is_unclear(error):
        raise Unclear(
            f"{doing}: no clear answer ({code or type(error).__name__})", hint="the same command again"
        ) from error
    if code in DENIED:
        raise RightsError(
            f"{doing}: {code}: {_message(error)}", hint="ask for this right, or use another profile"
        ) from error
    if code in {"LimitExceeded", "LimitExceededException", "ServiceQuotaExceededException"}:
        raise SupplyError(f"{doing}: {_message(error)}") from error
    raise Refused(f"{doing}: {code or type(error).__name__}: {_message(error)}") from error


def told(doing: str, call: Callable[[], T]) -> T:
    """Calls and returns; errors become ours."""
    try:
        return call()
    except DayflyError:
        raise
    except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
        raise_ours(error, doing)


def _message(error: Exception) -> str:
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Message") or error)
