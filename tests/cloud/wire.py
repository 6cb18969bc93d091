"""Answers for requests of botocore's clients on their way out, so that real clients are tested without a network.

`Wire` is a bucket in memory in which every other request is refused, except those with an answer of their own.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.awsrequest import AWSResponse

from dayfly.cloud.clients import Aws

REFUSED = (403, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>")


class Body(io.BytesIO):
    """The body of an answer, as urllib3 gives it."""

    def stream(self, **_keys: Any) -> Any:
        yield self.read()


class Wire:
    """Answers every request of these clients. `answers`: status and body by operation, or a function that returns them."""

    def __init__(self, aws: Aws, *, bucket: str, services: tuple[str, ...], **answers: Any) -> None:
        self.bucket = bucket
        self.objects: dict[str, bytes] = {}
        self.answers = answers
        self.sent: list[str] = []
        for service in services:
            aws.client(service).meta.events.register("before-send", self._send)

    def _send(self, request: Any, event_name: str, **_keys: Any) -> AWSResponse:
        operation = event_name.rpartition(".")[2]
        self.sent.append(operation)
        status, body = self._answer(operation, request)
        headers = {"ETag": '"e"', "Content-Length": str(len(body)), "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
        return AWSResponse(request.url, status, headers, Body(body))

    def _answer(self, operation: str, request: Any) -> tuple[int, bytes]:
        given = self.answers.get(operation, getattr(self, operation, REFUSED))
        if isinstance(given, Callable):
            given = given(request)
        status, body = given
        return status, body if isinstance(body, bytes) else body.encode()

    def key(self, request: Any) -> str:
        return unquote(urlsplit(request.url).path).removeprefix(f"/{self.bucket}/")

    # --- S3's operations ----------------------------------------------------------------------------------------------

    def GetObject(self, request: Any) -> tuple[int, bytes]:
        found = self.objects.get(self.key(request))
        if found is None:
            return 404, b"<Error><Code>NoSuchKey</Code></Error>"
        return 200, found

    def PutObject(self, request: Any) -> tuple[int, bytes]:
        body = request.body
        self.objects[self.key(request)] = body if isinstance(body, bytes) else body.read()
        return 200, b""

    def ListObjectsV2(self, request: Any) -> tuple[int, bytes]:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}
        keys = sorted(
            key
            for key in self.objects
            if key.startswith(asked.get("prefix", "")) and key > asked.get("start-after", "")
        )
        found = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(self.objects[key])}</Size></Contents>"
            for key in keys[: int(asked.get("max-keys", 1000))]
        )
        return 200, f"<ListBucketResult>{found}</ListBucketResult>".encode()
