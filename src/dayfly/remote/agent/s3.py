"""The bucket: signed reads and write-once writes, repeated until they are through or time is up.

Every write carries `If-None-Match: *`. No knowledge of runs or keys here.
"""

from __future__ import annotations

import base64
import calendar
import hashlib
import hmac
import re
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, NamedTuple, Union
from urllib.parse import quote

from dayfly.remote.agent import web
from dayfly.remote.agent.metadata import Credentials

PART = 8 << 20
_MOST_PARTS = 10_000
_BLOCK = 256 << 10
_AGAIN = {"RequestTimeout", "ExpiredToken", "RequestTimeTooSkewed", "SlowDown", "InvalidToken", "InvalidAccessKeyId"}


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
        domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        self._site = web.Site(endpoint or f"https://{name}.s3.{region}.{domain}", 60)
        self._path = f"/{name}/" if endpoint else "/"
        self._region = region
        self._credentials = credentials
        self._skew = 0.0
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
        """Write it once; its SHA-256 in hex. An own earlier try that got through counts as success. Raises Refused, Changed, OSError."""
        digest = _digest(content)
        answer = self._ask("PUT", key, content=content, digest=digest, once=True)
        if answer.status != 200 and not (answer.status == 412 and answer.unclear):
            raise _refused(key, answer)
        return digest

    def put_large(self, key: str, path: str, size: int) -> str:
        """The same for a file of any size, in parts of at least 8 MiB, four at a time."""
        digest = _digest(Slice(path, 0, size))
        unclear = False
        while True:
            answer, tried = self._in_parts(key, path, size)
            if answer.status == 200 or (answer.status == 412 and (tried or unclear)):
                return digest
            if answer.status not in (404, 409) or time.monotonic() > self.until:
                raise _refused(key, answer)
            unclear = True

    def _in_parts(self, key: str, path: str, size: int) -> tuple[Answer, bool]:
        """One whole multipart upload; the answer to its completion and whether an earlier try of that was unclear."""
        opened = self._ask("POST", key, "uploads=")
        found = re.search(rb"<UploadId>([^<]+)</UploadId>", opened.body)
        if opened.status != 200 or not found:
            raise _refused(key, opened)
        upload = "uploadId=" + quote(found.group(1).decode(), safe="")
        step = max(PART, -(-size // _MOST_PARTS))

        def store(number: int) -> str:
            piece = Slice(path, (number - 1) * step, min(step, size - (number - 1) * step))
            answer = self._ask("PUT", key, f"partNumber={number}&{upload}", piece, _digest(piece))
            if answer.status != 200:
                raise _refused(key, answer)
            return answer.headers["etag"]

        try:
            with ThreadPoolExecutor(4) as pool:
                tags = list(pool.map(store, range(1, -(-size // step) + 1)))
            lines = "".join(
                f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"
                for number, tag in enumerate(tags, 1)
            )
            body = f"<CompleteMultipartUpload>{lines}</CompleteMultipartUpload>".encode()
            ended = self._ask("POST", key, upload, body, _digest(body), once=True)
        except (Refused, Changed, OSError):
            self._ask("DELETE", key, upload)
            raise
        if ended.status not in (200, 404):
            self._ask("DELETE", key, upload)
        return ended, ended.unclear

    def _ask(
        self, method: str, key: str, query: str = "", content: Content = b"", digest: str = "", once: bool = False
    ) -> Answer:
        """Send it until there is a clear answer. Raises Refused (`Unreachable`) when time is up."""
        unclear, pause = False, 0.2
        while True:
            try:
                answer = self._once(method, key, query, content, digest or _digest(b""), once)
                words = _code(answer.body) or f"status {answer.status}"
                if answer.status == 409 and once and method == "PUT":
                    pass
                elif answer.status < 500 and answer.status != 429 and words not in _AGAIN and not _late_error(answer):
                    return answer._replace(unclear=unclear)
                self._learn(words, answer.headers)
                unclear = unclear or answer.status >= 500 or answer.status == 200
            except web.FAILURES as problem:
                if isinstance(problem, OSError) and problem.filename is not None:
                    raise
                unclear, words = True, f"{type(problem).__name__}: {problem}"
            if time.monotonic() + pause > self.until:
                raise Refused(key, "Unreachable", words)
            say(f"{method} {key}: {words}; again in {pause:.1f} s")
            time.sleep(pause)
            pause = min(10.0, pause * 2)

    def _once(self, method: str, key: str, query: str, content: Content, digest: str, once: bool) -> Answer:
        size = len(content) if isinstance(content, bytes) else content.size
        headers = {"content-length": str(size), "x-amz-content-sha256": digest}
        if method == "PUT" and "partNumber" not in query:
            headers["x-amz-checksum-sha256"] = base64.b64encode(bytes.fromhex(digest)).decode()
        if once:
            headers["if-none-match"] = "*"
        path = self._path + quote(key.encode("utf-8"), safe="/-_.~")
        self._sign(method, path, query, headers)
        target = path + ("?" + query if query else "")
        body = content if isinstance(content, bytes) else content.blocks()
        status, answered, found = self._site.exchange(method, target, headers, body)
        return Answer(status, answered, found, False)

    def _sign(self, method: str, path: str, query: str, headers: dict[str, str]) -> None:
        """Add Signature Version 4 to `headers`."""
        who = self._credentials(False)
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + self._skew))
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

    def _learn(self, code: str, headers: Mapping[str, str]) -> None:
        """What a refusal for reasons of time or credentials teaches for the next try."""
        if code == "RequestTimeTooSkewed" and "date" in headers:
            there = calendar.timegm(time.strptime(headers["date"], "%a, %d %b %Y %H:%M:%S GMT"))
            self._skew = there - time.time()
        elif code in ("ExpiredToken", "InvalidToken", "InvalidAccessKeyId"):
            self._credentials(True)


def say(line: str) -> None:
    """One line on the console."""
    sys.stderr.write(f"dayfly agent: {line}\n")
    sys.stderr.flush()


def _digest(content: Content) -> str:
    sum_ = hashlib.sha256()
    for block in [content] if isinstance(content, bytes) else content.blocks():
        sum_.update(block)
    return sum_.hexdigest()


def _code(body: bytes) -> str:
    found = re.search(rb"<Code>([^<]+)</Code>", body)
    return found.group(1).decode() if found else ""


def _late_error(answer: Answer) -> bool:
    """S3 may begin a completion with 200 and then say that it failed."""
    return answer.status == 200 and b"<Error>" in answer.body[:400]


def _refused(key: str, answer: Answer) -> Refused:
    found = re.search(rb"<Message>([^<]+)</Message>", answer.body)
    words = found.group(1).decode("utf-8", "replace") if found else f"status {answer.status}"
    return Refused(key, _code(answer.body) or str(answer.status), words)
