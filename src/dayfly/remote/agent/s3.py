"""Write and read objects of the bucket, also large files, by requests retried until a deadline. boot/s3.py signs and sends them.

Every write carries `If-None-Match: *`, so nothing is overwritten. Nothing here knows of runs or keys.
"""

from __future__ import annotations

import errno
import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, NamedTuple, Union
from urllib.parse import quote

from dayfly.remote.boot import s3, web
from dayfly.remote.boot.names import say

PART = 8 << 20
_MOST_PARTS = 10_000
_BLOCK = 256 << 10
STALE = ("ExpiredToken", "ExpiredTokenException", "InvalidToken", "InvalidAccessKeyId", "UnrecognizedClientException")
"""Codes of requests that succeed with new credentials."""


class Refused(Exception):
    """S3 refused a request, and a retry would not help. `code` is S3's error code, or `Unreachable` after the deadline."""

    def __init__(self, key: str, code: str, text: str) -> None:
        super().__init__(f"{key}: {code}: {text}")
        self.code = code
        self.text = text


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
    """One bucket. Requests are retried until `until` (monotonic seconds), which may be changed."""

    def __init__(self, signed: s3.Bucket, until: float) -> None:
        self._signed = signed
        self.until = until

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

    def read(self, key: str, most: int) -> bytes:
        """Return the content of an object of at most `most` bytes; of a larger one only the beginning. Raises Refused."""
        held = bytearray()
        self._receive(key, most, held.extend)
        return bytes(held)

    def download(self, key: str, size: int, path: str) -> tuple[int, str]:
        """Write an object to a file. Returns its size and its SHA-256 in hex. At most one block more than `size` is written.

        Raises Refused, OSError.
        """
        with open(path, "wb") as file:
            return self._receive(key, size, file.write)

    def _receive(self, key: str, size: int, keep: Callable[[bytes], object]) -> tuple[int, str]:
        """Give an object's content to `keep`, block by block; a broken download goes on where it broke."""
        digest, count, pause = hashlib.sha256(), 0, 0.2
        while True:
            try:
                for block in self._blocks(key, count):
                    keep(block)
                    digest.update(block)
                    count += len(block)
                    if count > size:
                        break
                return count, digest.hexdigest()
            except web.FAILURES as problem:
                if isinstance(problem, OSError) and problem.errno == errno.ENOSPC:
                    raise
                code = f"{type(problem).__name__}: {problem}"
            if time.monotonic() + pause > self.until:
                raise Refused(key, "Unreachable", code)
            say(f"GET {key}: {code}; retry in {pause:.1f} s")
            time.sleep(pause)
            pause = min(10.0, pause * 2)

    def _blocks(self, key: str, start: int) -> Iterator[bytes]:
        """Yield an object's content from a byte on. Raises Refused for an answer that a retry does not change, or FAILURES."""
        path = self._signed.path + quote(key, safe="/-_.~")
        headers = {"x-amz-content-sha256": _digest(b""), "range": f"bytes={start}-"}
        if not start:
            del headers["range"]  # S3 refuses a range of an empty object
        self._signed.sign("GET", path, "", headers)
        try:
            got = self._signed.site.open("GET", path, headers)
            if got.status == 416:
                return  # the object ends here
            if got.status != (200, 206)[start > 0]:
                answer = Answer(got.status, {}, got.read(2000), False)
                if got.status < 400 or not _retry(got.status, _code(answer), False):
                    raise _refused(key, answer)
                self._signed.credentials(_code(answer) in STALE)
                raise OSError(f"status {got.status}: {_code(answer)}")
            while True:
                block = got.read(_BLOCK)
                if not block and got.length:
                    raise OSError(f"cut off {got.length} bytes before the end")
                if not block:
                    return
                yield block
                if time.monotonic() > self.until:
                    raise OSError("it takes too long")
        finally:
            self._signed.site.close()

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
                if code in STALE:
                    self._signed.credentials(True)
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
        size, body = _body(content)
        return Answer(*self._signed.send(method, key, query, body, size, digest, once), False)


def _body(content: Content) -> tuple[int, web.Body]:
    """Return the size of the content, and what to send."""
    if isinstance(content, bytes):
        return len(content), content
    return content.size, content.blocks()


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
        or code in (*STALE, "RequestTimeout")
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
