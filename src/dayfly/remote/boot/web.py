"""HTTP requests over persistent connections, for the metadata service, S3 and the bundle's download.

No signing and no retries here: a failed request raises one of FAILURES.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterable, Mapping
from typing import Union
from urllib.parse import urlsplit

Body = Union[bytes, Iterable[bytes]]
FAILURES = (OSError, http.client.HTTPException)
"""What a request raises if no whole answer came."""
_MOST_BYTES = 4 << 20
_KINDS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}


class Site:
    """One HTTP server, with a persistent connection per thread. `seconds` is the timeout of the socket."""

    def __init__(self, url: str, seconds: float) -> None:
        self._parts = urlsplit(url)
        self.prefix = self._parts.path.rstrip("/")
        self.host = self._parts.netloc
        self._seconds = seconds
        self._local = threading.local()

    def exchange(
        self, method: str, target: str, headers: Mapping[str, str], body: Body = b""
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send a request. Returns status, headers (names in lower case) and at most 4 MiB of the body."""
        try:
            answer = self.open(method, target, headers, body)
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read(_MOST_BYTES)
        except BaseException:
            self.close()
            raise

    def open(self, method: str, target: str, headers: Mapping[str, str], body: Body = b"") -> http.client.HTTPResponse:
        """Send a request and return the answer with its body unread."""
        if not hasattr(self._local, "connection"):
            kind = _KINDS[self._parts.scheme]
            self._local.connection = kind(self._parts.hostname or "", self._parts.port, timeout=self._seconds)
        self._local.connection.request(method, self.prefix + target, body, dict(headers))
        answer: http.client.HTTPResponse = self._local.connection.getresponse()
        return answer

    def close(self) -> None:
        """Close this thread's connection; the next request opens a new one."""
        if hasattr(self._local, "connection"):
            self._local.connection.close()
