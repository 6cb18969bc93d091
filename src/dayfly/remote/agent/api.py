"""Ask AWS's regional APIs as the server's role: Systems Manager, Secrets Manager and STS. boot/s3.py signs.

Transient failures are retried until a deadline. Nothing here knows of jobs, and an answer is never printed: it may hold a secret.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping
from typing import Any, Callable
from urllib.parse import urlencode

from dayfly.remote.agent.s3 import STALE, Refused
from dayfly.remote.boot import s3, web
from dayfly.remote.boot.metadata import Credentials
from dayfly.remote.boot.names import say

_TRY_AGAIN = ("ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded")
_MESSAGE = 300


class Api(s3.Bucket):
    """One service of AWS in one region. `service`: its name in host names and signatures."""

    def __init__(
        self, service: str, region: str, credentials: Callable[[bool], Credentials], endpoint: str | None
    ) -> None:
        super().__init__("", region, credentials, endpoint)
        self.service = service
        self.site = web.Site(endpoint or f"https://{service}.{region}.amazonaws.com", 30)

    def json(self, target: str, parameters: Mapping[str, Any], until: float) -> dict[str, Any]:
        """Call an action of a service that speaks JSON. Raises Refused; its code is `Unreachable` after `until` (monotonic seconds)."""
        headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": target}
        answer: dict[str, Any] = json.loads(self._ask(headers, json.dumps(parameters).encode(), until))
        return answer

    def query(self, parameters: Mapping[str, str], until: float) -> str:
        """Call an action of a service that takes a form and answers in XML. Raises Refused, as `json` does."""
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return self._ask(headers, urlencode(parameters).encode(), until).decode("utf-8", "replace")

    def _ask(self, headers: Mapping[str, str], body: bytes, until: float) -> bytes:
        pause = 0.2
        while True:
            sent = {
                **headers,
                "content-length": str(len(body)),
                "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
            }
            try:
                self.sign("POST", "/", "", sent)
                status, _, answer = self.site.exchange("POST", "/", sent, body)
                if status == 200:
                    return answer
                code, text = _error(status, answer)
                if code in STALE:
                    self.credentials(True)
                elif status < 500 and status != 429 and code not in _TRY_AGAIN:
                    raise Refused(self.service, code, text)
            except web.FAILURES as problem:
                code = f"{type(problem).__name__}: {problem}"
            if time.monotonic() + pause > until:
                raise Refused(self.service, "Unreachable", code)
            say(f"{self.service}: {code}; retry in {pause:.1f} s")
            time.sleep(pause)
            pause = min(10.0, pause * 2)


def _error(status: int, body: bytes) -> tuple[str, str]:
    """Return AWS's error code and message, from JSON or XML; the status if there is no code."""
    text = body.decode("utf-8", "replace")
    code = re.search(r'"(?:__type|code)"\s*:\s*"(?:[^"#]*#)?([^"#:]+)|<Code>([^<]+)</Code>', text)
    message = re.search(r'"[mM]essage"\s*:\s*"((?:[^"\\]|\\.)*)"|<Message>([^<]+)</Message>', text)
    return _found(code) or str(status), _found(message)[:_MESSAGE] or "no message"


def _found(match: re.Match[str] | None) -> str:
    """Return what one of the two groups of a match holds; empty if nothing matched."""
    if match is None:
        return ""
    return match.group(1) or match.group(2) or ""
