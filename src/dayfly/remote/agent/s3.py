"""Read and write objects of the bucket by signed requests, retried until a deadline.

Every write carries `If-None-Match: *`, so nothing is overwritten. Nothing here knows of runs or keys.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, NamedTuple, Union
from urllib.parse import quote

from dayfly.remote.agent import web
from dayfly.remote.agent.metadata import Credentials
from dayfly.remote.agent.names import say

PART = 8 << 20
_MOST_PARTS = 10_000
_BLOCK = 256 << 10
_STALE = ("ExpiredToken", "InvalidToken", "InvalidAccessKeyId")


class Refused(Exception):
    """S3 refused a request, and a retry would not help. `code` is S3's error code, or `Unreachable` after the deadline."""

    def __init__(self, key: str, code: str, text: str) -> None:
        super().__init__(f"{key}: {code}: {text}")
        self.code = code


class Changed(Exception):
    """A file changed while it was uploaded."""


class Slice(NamedTuple):
    """A part of a file, read in blocks each time it is sent."""

    path: str
    start: int
    size: int

    def blocks(self) -> Iterator[bytes]:
        """Yield the content. Raises Changed if the file is too short."""
        left = self.size
        with open(self.path, "rb") as file:
            file.seek(self.start)
            while left > 0:
                block = file.read(min(_BLOCK, left))
                if not block:
                    raise Changed(f"{self.path} became shorter during its upload")
                left -= len(block)
                yield block


Content = Union[bytes, Slice]


class Answer(NamedTuple):
    """S3's answer to a request."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    unclear: bool  # an earlier attempt may have succeeded


class Bucket:
    """One bucket. Requests are signed as the server's role and retried until `until` (monotonic seconds), which may be changed."""

    def __init__(
        self, name: str, region: str, credentials: Callable[[bool], Credentials], endpoint: str | None, until: float
    ) -> None:
        self._site = web.Site(endpoint or f"https://{name}.s3.{region}.amazonaws.com", 60)
        self._path = "/"
        if endpoint:
            self._path += name + "/"
        self._region = region
        self._credentials = credentials
        self.until = until

    def get(self, key: str) -> bytes | None:
        """Return an object of at most 4 MiB; None if it does not exist or may not be read. Raises Refused."""
        answer = self._request("GET", key)
        if answer.status == 200:
            return answer.body
        if answer.status in (403, 404):
            return None
        raise _refused(key, answer)

    def put(self, key: str, content: Content) -> str:
        """Create an object and return its SHA-256 in hex. If an earlier attempt of this call succeeded, that is success too.

        A file over 8 MiB is a multipart upload, four parts at a time. Raises Refused, Changed, OSError.
        """
        digest, unclear = _digest(content), False
        while True:
            if isinstance(content, Slice) and content.size > PART:
                answer = self._multipart(key, content)
            else:
                answer = self._request("PUT", key, content=content, digest=digest, once=True)
            unclear = unclear or answer.unclear
            if answer.status == 200 or (answer.status == 412 and unclear):
                return digest
            if answer.status not in (404, 409) or time.monotonic() > self.until:
                raise _refused(key, answer)
            unclear = True  # the upload no longer exists: an earlier attempt completed it, or it must be repeated

    def _multipart(self, key: str, whole: Slice) -> Answer:
        """Do a multipart upload and return the answer to its completion. The bucket's lifecycle rule removes failed ones."""
        opened = self._request("POST", key, "uploads=")
        found = re.search(rb"<UploadId>([^<]+)</UploadId>", opened.body)
        if not found:
            raise _refused(key, opened)
        upload = "uploadId=" + quote(found.group(1).decode(), safe="")
        step = max(PART, -(-whole.size // _MOST_PARTS))

        def store(number: int) -> str:
            start = (number - 1) * step
            piece = Slice(whole.path, start, min(step, whole.size - start))
            answer = self._request("PUT", key, f"partNumber={number}&{upload}", piece, _digest(piece))
            if answer.status != 200:
                raise _refused(key, answer)
            return f"<Part><PartNumber>{number}</PartNumber><ETag>{answer.headers['etag']}</ETag></Part>"

        with ThreadPoolExecutor(4) as pool:
            parts = "".join(pool.map(store, range(1, -(-whole.size // step) + 1)))
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        return self._request("POST", key, upload, body, _digest(body), once=True)

    def _request(
        self, method: str, key: str, query: str = "", content: Content = b"", digest: str = "", once: bool = False
    ) -> Answer:
        """Send a request until the answer is clear. `once`: refuse to overwrite. Raises Refused (`Unreachable`) after the deadline."""
        unclear, pause = False, 0.2
        while True:
            try:
                answer = self._send(method, key, query, content, digest or _digest(b""), once)
                code = _code(answer)
                if not _retry(answer.status, code, once and not query):
                    return answer._replace(unclear=unclear)
                if code in _STALE:
                    self._credentials(True)
                unclear = unclear or answer.status in (200, 500, 503)
            except web.FAILURES as problem:
                if isinstance(problem, OSError) and problem.filename is not None:
                    raise  # from the local file, not from the network
                unclear, code = True, f"{type(problem).__name__}: {problem}"
            if time.monotonic() + pause > self.until:
                raise Refused(key, "Unreachable", code)
            say(f"{method} {key}: {code}; retry in {pause:.1f} s")
            time.sleep(pause)
            pause = min(10.0, pause * 2)

    def _send(self, method: str, key: str, query: str, content: Content, digest: str, once: bool) -> Answer:
        size = len(content) if isinstance(content, bytes) else content.size
        headers = {"content-length": str(size), "x-amz-content-sha256": digest}
        if once:
            headers["if-none-match"] = "*"
        path = self._path + quote(key, safe="/-_.~")
        self._sign(method, path, query, headers)
        body = content if isinstance(content, bytes) else content.blocks()
        return Answer(*self._site.exchange(method, path + ("?" + query if query else ""), headers, body), False)

    def _sign(self, method: str, path: str, query: str, headers: dict[str, str]) -> None:
        """Add an AWS signature (version 4) to `headers`."""
        who = self._credentials(False)
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers.update({"host": self._site.host, "x-amz-date": now, "x-amz-security-token": who.token})
        names = sorted(headers)
        lines = "".join(f"{name}:{headers[name]}\n" for name in names)
        request = "\n".join(
            (method, self._site.prefix + path, query, lines, ";".join(names), headers["x-amz-content-sha256"])
        )
        scope = f"{now[:8]}/{self._region}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = ("AWS4" + who.secret).encode()
        for word in scope.split("/"):
            key = hmac.new(key, word.encode(), "sha256").digest()
        signature = hmac.new(key, text.encode(), "sha256").hexdigest()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={who.key}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
        )


def _digest(content: Content) -> str:
    """Return the SHA-256 in hex."""
    digest = hashlib.sha256()
    if isinstance(content, bytes):
        digest.update(content)
    else:
        for block in content.blocks():
            digest.update(block)
    return digest.hexdigest()


def _retry(status: int, code: str, conflict: bool) -> bool:
    """Return whether to retry. S3 may answer a completion with status 200 and an error in the body."""
    return (
        status >= 500
        or status == 429
        or (status == 409 and conflict)
        or code in (*_STALE, "RequestTimeout")
        or (status == 200 and code != "200")
    )


def _code(answer: Answer) -> str:
    """Return S3's error code, or the status if there is none."""
    found = re.search(rb"<Error>.*<Code>([^<]+)</Code>", answer.body[:2000], re.DOTALL)
    if found:
        return found.group(1).decode()
    return str(answer.status)


def _refused(key: str, answer: Answer) -> Refused:
    found = re.search(rb"<Message>([^<]+)</Message>", answer.body)
    text = "no message"
    if found:
        text = found.group(1).decode("utf-8", "replace")
    return Refused(key, _code(answer), text)
