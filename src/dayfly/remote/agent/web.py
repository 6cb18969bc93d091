"""One HTTP exchange over a connection that is kept: what metadata, S3 and the bundle's download share.

No signing and no patience here: a failure is an OSError or HTTPException of the standard library, once.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterable, Mapping
from typing import Union
from urllib.parse import SplitResult, urlsplit

Body = Union[bytes, Iterable[bytes]]
FAILURES = (OSError, http.client.HTTPException)
"""What an exchange raises when no whole answer came."""
ANSWER_LIMIT = 4 << 20


class Site:
    """Scheme, host and port of one server, with a kept connection for each thread."""

    def __init__(self, url: str, seconds: float) -> None:
        self.parts: SplitResult = urlsplit(url)
        self.prefix = self.parts.path.rstrip("/")
        self.host = self.parts.netloc
        self._seconds = seconds
        self._kept = threading.local()

    def exchange(
        self, method: str, target: str, headers: Mapping[str, str], body: Body | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send one request; status, headers (lower case) and body of the answer, which is at most 4 MiB."""
        try:
            answer = self.open(method, target, headers, body)
            return (
                answer.status,
                {name.lower(): value for name, value in answer.getheaders()},
                answer.read(ANSWER_LIMIT),
            )
        except BaseException:
            self.drop()
            raise

    def open(
        self, method: str, target: str, headers: Mapping[str, str], body: Body | None = None
    ) -> http.client.HTTPResponse:
        """The same, with the answer's body still to be read."""
        link = getattr(self._kept, "link", None)
        if link is None:
            link = self._kept.link = _connection(self.parts, self._seconds)
        link.request(method, self.prefix + target, body=body, headers=dict(headers))
        answer: http.client.HTTPResponse = link.getresponse()
        return answer

    def drop(self) -> None:
        """Forget this thread's connection, whatever state it is in."""
        link = getattr(self._kept, "link", None)
        self._kept.link = None
        if link is not None:
            link.close()


def _connection(parts: SplitResult, seconds: float) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, parts.port, timeout=seconds)
    return http.client.HTTPConnection(host, parts.port, timeout=seconds)
