"""The bucket: signed reads and write-once writes, repeated until they are through or time is up.

Every write carries `If-None-Match: *`. No knowledge of runs or keys here.
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
from dayfly.remote.agent.words import say

PART = 8 << 20
_MOST_PARTS = 10_000
_BLOCK = 256 << 10
_STALE = ("ExpiredToken", "InvalidToken", "InvalidAccessKeyId")


class Refused(Exception):
    """S3 did not take or give it, for good; `code` is S3's own, or `Unreachable` when time was up."""

    def __init__(self, key: str, code: str, words: str) -> None:
        super().__init__(f"{key}: {code}: {words}")
        self.code = code


class Changed(Exception):
    """A file became shorter while it was stored."""


class Slice(NamedTuple):
    """A part of a file, read in blocks each time it is sent."""

    path: str
    start: int
    size: int

    def blocks(self) -> Iterator[bytes]:
        left = self.size
        with open(self.path, "rb") as file:
            file.seek(self.start)
            while left > 0:
                block = file.read(min(_BLOCK, left))
                if not block:
                    raise Changed(f"{self.path} became shorter while it was stored")
                left -= len(block)
                yield block


Content = Union[bytes, Slice]


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes
    unclear: bool  # an earlier try may have gone through


class Bucket:
    """One bucket, as the server's role. `until` (monotonic seconds) ends all patience; it may be moved."""

    def __init__(
        self, name: str, region: str, credentials: Callable[[bool], Credentials], endpoint: str | None, until: float
    ) -> None:
        self._site = web.Site(endpoint or f"https://{name}.s3.{region}.amazonaws.com", 60)
        self._path = f"/{name}/" if endpoint else "/"
        self._region = region
        self._credentials = credentials
        self.until = until

    def get(self, key: str) -> bytes | None:
        """The object, at most 4 MiB; None where there is none or it may not be read. Raises Refused."""
        answer = self._ask("GET", key)
        if answer.status == 200:
            return answer.body
        if answer.status in (403, 404):
            return None
        raise _refused(key, answer)

    def put(self, key: str, content: Content) -> str:
        """Write it once; its SHA-256 in hex. An own earlier try that got through counts as success.

        More than 8 MiB of a file go in parts, four at a time. Raises Refused, Changed, OSError.
        """
        digest, unclear = _digest(content), False
        while True:
            if isinstance(content, Slice) and content.size > PART:
                answer = self._in_parts(key, content)
            else:
                answer = self._ask("PUT", key, content=content, digest=digest, once=True)
            unclear = unclear or answer.unclear
            if answer.status == 200 or (answer.status == 412 and unclear):
                return digest
            if answer.status not in (404, 409) or time.monotonic() > self.until:
                raise _refused(key, answer)
            unclear = True  # the upload is gone: completed by an earlier try, or to be made anew

    def _in_parts(self, key: str, whole: Slice) -> Answer:
        """One multipart upload; the answer to its completion. What fails is left to the bucket's rule for unfinished ones."""
        opened = self._ask("POST", key, "uploads=")
        found = re.search(rb"<UploadId>([^<]+)</UploadId>", opened.body)
        if not found:
            raise _refused(key, opened)
        upload = "uploadId=" + quote(found.group(1).decode(), safe="")
        step = max(PART, -(-whole.size // _MOST_PARTS))

        def store(number: int) -> str:
            start = (number - 1) * step
            piece = Slice(whole.path, start, min(step, whole.size - start))
            answer = self._ask("PUT", key, f"partNumber={number}&{upload}", piece, _digest(piece))
            if answer.status != 200:
                raise _refused(key, answer)
            return f"<Part><PartNumber>{number}</PartNumber><ETag>{answer.headers['etag']}</ETag></Part>"

        with ThreadPoolExecutor(4) as pool:
            parts = "".join(pool.map(store, range(1, -(-whole.size // step) + 1)))
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        return self._ask("POST", key, upload, body, _digest(body), once=True)

    def _ask(
        self, method: str, key: str, query: str = "", content: Content = b"", digest: str = "", once: bool = False
    ) -> Answer:
        """Send it until there is a clear answer. Raises Refused (`Unreachable`) when time is up."""
        unclear, pause = False, 0.2
        while True:
            try:
                answer = self._once(method, key, query, content, digest or _digest(b""), once)
                code = _code(answer)
                if not _again(answer.status, code, once and not query):
                    return answer._replace(unclear=unclear)
                if code in _STALE:
                    self._credentials(True)
                unclear = unclear or answer.status in (200, 500, 503)
            except web.FAILURES as problem:
                if isinstance(problem, OSError) and problem.filename is not None:
                    raise  # the local file, not the network
                unclear, code = True, f"{type(problem).__name__}: {problem}"
            if time.monotonic() + pause > self.until:
                raise Refused(key, "Unreachable", code)
            say(f"{method} {key}: {code}; again in {pause:.1f} s")
            time.sleep(pause)
            pause = min(10.0, pause * 2)

    def _once(self, method: str, key: str, query: str, content: Content, digest: str, once: bool) -> Answer:
        size = len(content) if isinstance(content, bytes) else content.size
        headers = {"content-length": str(size), "x-amz-content-sha256": digest}
        if once:
            headers["if-none-match"] = "*"
        path = self._path + quote(key, safe="/-_.~")
        self._sign(method, path, query, headers)
        body = content if isinstance(content, bytes) else content.blocks()
        return Answer(*self._site.exchange(method, path + ("?" + query if query else ""), headers, body), False)

    def _sign(self, method: str, path: str, query: str, headers: dict[str, str]) -> None:
        """Add Signature Version 4 to `headers`."""
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
    sum_ = hashlib.sha256()
    for block in [content] if isinstance(content, bytes) else content.blocks():
        sum_.update(block)
    return sum_.hexdigest()


def _again(status: int, code: str, conflict: bool) -> bool:
    """Whether the answer says to repeat. S3 may begin a completion with 200 and then say that it failed."""
    return (
        status >= 500
        or status == 429
        or (status == 409 and conflict)
        or code in (*_STALE, "RequestTimeout")
        or (status == 200 and code != "200")
    )


def _code(answer: Answer) -> str:
    """S3's word for a failure, else the status."""
    found = re.search(rb"<Error>.*<Code>([^<]+)</Code>", answer.body[:2000], re.DOTALL)
    return found.group(1).decode() if found else str(answer.status)


def _refused(key: str, answer: Answer) -> Refused:
    found = re.search(rb"<Message>([^<]+)</Message>", answer.body)
    return Refused(key, _code(answer), found.group(1).decode("utf-8", "replace") if found else "no words")
