"""One HTTP exchange over a connection that is kept: what metadata, S3 and the bundle's download share.

No signing and no patience here: a failure is one of FAILURES, once.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterable, Mapping
from typing import Union
from urllib.parse import urlsplit

Body = Union[bytes, Iterable[bytes]]
FAILURES = (OSError, http.client.HTTPException)
"""What an exchange raises when no whole answer came."""
_MOST = 4 << 20


class Site:
    """Scheme, host and port of one server, with a kept connection for each thread. `seconds` bounds each wait."""

    def __init__(self, url: str, seconds: float) -> None:
        self._parts = urlsplit(url)
        self.prefix = self._parts.path.rstrip("/")
        self.host = self._parts.netloc
        self._seconds = seconds
        self._kept = threading.local()

    def exchange(
        self, method: str, target: str, headers: Mapping[str, str], body: Body = b""
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send one request; status, headers (lower case) and body of the answer, of which at most 4 MiB are read."""
        try:
            answer = self.open(method, target, headers, body)
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read(_MOST)
        except BaseException:
            self.drop()
            raise

    def open(self, method: str, target: str, headers: Mapping[str, str], body: Body = b"") -> http.client.HTTPResponse:
        """The same, with the answer's body still to be read."""
        if not hasattr(self._kept, "link"):
            kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
            self._kept.link = kind(self._parts.hostname or "", self._parts.port, timeout=self._seconds)
        self._kept.link.request(method, self.prefix + target, body, dict(headers))
        answer: http.client.HTTPResponse = self._kept.link.getresponse()
        return answer

    def drop(self) -> None:
        """Forget this thread's connection, whatever state it is in: the next exchange makes a new one."""
        if hasattr(self._kept, "link"):
            self._kept.link.close()
