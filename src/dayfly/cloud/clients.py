"""Makes boto3 clients and translates botocore's errors into dayfly's. Every request to AWS leaves through a client made here.

When an endpoint is named (the local cloud, tests), every client is held to it: any other address raises.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import urlsplit

import boto3
import botocore.config
import botocore.exceptions

from dayfly.errors import Refused, RightsError, SupplyError, Unclear

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
    "OperationAborted",  # S3: another change of the same bucket is under way
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
LIMITED = {"LimitExceeded", "LimitExceededException", "ServiceQuotaExceededException"}
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True)
class Aws:
    """Where calls go: a region, and an endpoint when it is not AWS itself. Each client is made once.

    `keys` are an access key and its secret when they do not come from the environment (the local cloud's).
    """

    region: str
    endpoint: str | None = None
    keys: tuple[str, str] | None = None
    profile: str | None = None
    _clients: dict[str, Any] = field(default_factory=dict)
    _session: list[Any] = field(default_factory=list)

    def client(self, service: str) -> Any:
        """The client of this service. Raises RightsError for a profile that does not exist."""
        if service not in self._clients:
            self._clients[service] = self._make(service)
        return self._clients[service]

    @property
    def session(self) -> Any:
        """The boto3 session of all clients. Raises RightsError for a profile that does not exist."""
        if not self._session:
            self._session.append(self._make_session())
        return self._session[0]

    def _make_session(self) -> Any:
        keys: dict[str, str] = {}
        if self.keys is not None:
            keys = {"aws_access_key_id": self.keys[0], "aws_secret_access_key": self.keys[1]}
        try:
            return boto3.Session(region_name=self.region, profile_name=self.profile, **keys)
        except botocore.exceptions.ProfileNotFound as error:
            raise RightsError(str(error), hint="aws configure list-profiles") from error

    def _make(self, service: str) -> Any:
        client = self.session.client(service, endpoint_url=self.endpoint, config=self._config(service))
        if self.endpoint is not None:
            host = urlsplit(client.meta.endpoint_url).hostname
            if host not in LOOPBACK:
                raise RuntimeError(f"{service}: {client.meta.endpoint_url} is not on this machine")
        return client

    def _config(self, service: str) -> Any:
        settings: dict[str, Any] = {
            "retries": {"mode": "standard", "max_attempts": 6},
            "connect_timeout": 5,
            "read_timeout": 70,
        }
        if service == "lambda":
            # botocore must not repeat an invocation: a launcher may take its whole 2 minutes, and each repeat is a delivery.
            settings |= {"retries": {"mode": "standard", "max_attempts": 1}, "read_timeout": 150}
        if service == "s3":
            settings |= {"signature_version": "s3v4", "s3": {"addressing_style": self._addressing_style}}
        return botocore.config.Config(**settings)

    @property
    def _addressing_style(self) -> str:
        """How S3 addresses a bucket: by path only where there is no DNS for buckets.

        On AWS the style is named too: a link signed in the default style points at the global endpoint, which redirects for a
        new bucket, and a redirect breaks the signature.
        """
        return "virtual" if self.endpoint is None else "path"


def code_of(error: Exception) -> str:
    """The AWS error code of an exception, or an empty string."""
    return str(_response(error).get("Error", {}).get("Code", ""))


def message_of(error: Exception) -> str:
    """The message of AWS in an exception, or the exception as text."""
    return str(_response(error).get("Error", {}).get("Message") or error)


def status_of(error: Exception) -> int:
    """The HTTP status of an exception, or 0."""
    return int(_response(error).get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def _response(error: Exception) -> dict[str, Any]:
    found: dict[str, Any] = getattr(error, "response", None) or {}
    return found


def is_unclear(error: Exception) -> bool:
    """Whether the outcome is unknown: no answer, a throttled request, or a fault of AWS."""
    if isinstance(error, botocore.exceptions.ClientError):
        return code_of(error) in UNCLEAR or status_of(error) >= 500
    return isinstance(error, (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError))


def raise_translated(error: Exception, doing: str) -> NoReturn:
    """Raises the DayflyError whose remedy fits. Always a DayflyError: the flow that made the call must be able to catch it."""
    code = code_of(error)
    if isinstance(error, (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError)):
        raise RightsError("no AWS credentials that work", hint="or without an account: add --local") from error
    if is_unclear(error):
        raise Unclear(
            f"{doing}: no clear answer ({code or type(error).__name__})", hint="repeat the command"
        ) from error
    if code in DENIED:
        raise RightsError(
            f"{doing}: {code}: {message_of(error)}", hint="ask for this right, or use another profile"
        ) from error
    if code in LIMITED:
        raise SupplyError(f"{doing}: {message_of(error)}") from error
    raise Refused(f"{doing}: {code or type(error).__name__}: {message_of(error)}") from error
