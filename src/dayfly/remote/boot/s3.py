"""Sign a request to the bucket and send it, once. Retries of uploads are agent/s3.py's; nothing here knows of runs or keys."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Callable
from urllib.parse import quote

from dayfly.remote.boot import web
from dayfly.remote.boot.metadata import Credentials

_NOTHING = hashlib.sha256().hexdigest()


class Bucket:
    """One bucket, asked as the server's role."""

    service = "s3"

    def __init__(
        self, name: str, region: str, credentials: Callable[[bool], Credentials], endpoint: str | None
    ) -> None:
        self.site = web.Site(endpoint or f"https://{name}.s3.{region}.amazonaws.com", 60)
        self.path = "/"
        if endpoint:
            self.path += name + "/"
        self._region = region
        self.credentials = credentials

    def send(
        self,
        method: str,
        key: str,
        query: str = "",
        body: web.Body = b"",
        size: int = 0,
        digest: str = _NOTHING,
        once: bool = False,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send a request; the body's `size` and SHA-256 must be given. `once`: refuse to overwrite an object.

        Returns status, headers and at most 4 MiB of the body. Raises one of web.FAILURES.
        """
        headers = {"content-length": str(size), "x-amz-content-sha256": digest}
        if once:
            headers["if-none-match"] = "*"
        path = self.path + quote(key, safe="/-_.~")
        self.sign(method, path, query, headers)
        if query:
            path += "?" + query
        return self.site.exchange(method, path, headers, body)

    def sign(self, method: str, path: str, query: str, headers: dict[str, str]) -> None:
        """Add an AWS signature (version 4) to `headers`."""
        who = self.credentials(False)
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers.update({"host": self.site.host, "x-amz-date": now, "x-amz-security-token": who.token})
        names = sorted(headers)
        lines = "".join(f"{name}:{headers[name]}\n" for name in names)
        request = "\n".join(
            (method, self.site.prefix + path, query, lines, ";".join(names), headers["x-amz-content-sha256"])
        )
        scope = f"{now[:8]}/{self._region}/{self.service}/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = ("AWS4" + who.secret).encode()
        for word in scope.split("/"):
            key = hmac.new(key, word.encode(), "sha256").digest()
        signature = hmac.new(key, text.encode(), "sha256").hexdigest()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={who.key}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
        )
