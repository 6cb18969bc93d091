"""The job's credentials: assume the job's role, and serve its credentials to the job's processes on loopback until the server ends.

SDKs find them by two variables (the container credential provider). The server's own credentials are never given to the job.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from dayfly.remote.agent.api import Api
from dayfly.remote.agent.outcome import NotStarted
from dayfly.remote.agent.s3 import Refused
from dayfly.remote.boot import names
from dayfly.remote.boot.names import say

NONE = {"AWS_EC2_METADATA_DISABLED": "true"}
"""The variables of a job without a role: SDKs do not look for credentials of the server."""
_PATH = "/credentials"
_SESSION_S = 3600
"""The longest that AWS allows a role that assumes another role."""
_RENEW_S = 1200.0
"""Credentials that end sooner are not served. SDKs renew theirs in the last 5 to 15 minutes."""
_YOUNG_S = 60.0
"""For so long a refusal may mean that the role, or its trust policy, was made a moment ago."""
_FIELDS = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")


class JobRole:
    """Credentials of the job's role `arn`, as the session `name`."""

    def __init__(self, arn: str, name: str, sts: Api) -> None:
        self._arn, self._name, self._sts = arn, name, sts
        self._held: dict[str, str] = {}
        self._ends = 0.0
        self._lock = threading.Lock()

    def assume(self, until: float) -> None:
        """Get the first credentials. Raises NotStarted (`no-role`). Retries until `until` (monotonic seconds), at most a minute."""
        young = min(until, time.monotonic() + _YOUNG_S)
        while True:
            try:
                return self._renew(until)
            except Refused as problem:
                if problem.code != "AccessDenied" or time.monotonic() > young:
                    text = f"cannot assume {self._arn}: {problem.code}: {problem.text}"
                    raise NotStarted("no-role", text) from problem
                say(f"{self._arn}: {problem.code}; retry in 3 s")
                time.sleep(3)

    def serve(self) -> dict[str, str]:
        """Serve the credentials to whoever knows a new random token. Returns the job's variables."""
        token = secrets.token_urlsafe(32)
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, token))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return {
            **NONE,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{server.server_address[1]}{_PATH}",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": token,
        }

    def document(self) -> bytes:
        """Return the credentials as SDKs read them, renewed if they end soon. Raises Refused if there are none."""
        with self._lock:
            if self._ends - time.time() < _RENEW_S:
                try:
                    self._renew(time.monotonic() + 20)
                except Refused as problem:
                    say(f"cannot renew the job's credentials: {problem.code}: {problem.text}")
                    if self._ends < time.time() + 60:
                        raise
            held = self._held
        given = {name: held[name] for name in ("AccessKeyId", "SecretAccessKey", "Expiration")}
        return json.dumps({**given, "Token": held["SessionToken"], "RoleArn": self._arn}).encode()

    def _renew(self, until: float) -> None:
        asked = {"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": self._arn, "RoleSessionName": self._name}
        answer = self._sts.query({**asked, "DurationSeconds": str(_SESSION_S)}, until)
        found = {name: _field(answer, name) for name in _FIELDS}
        self._held, self._ends = found, names.seconds_of(found["Expiration"])


def _field(answer: str, name: str) -> str:
    found = re.search(f"<{name}>([^<]+)</{name}>", answer)
    if not found:
        raise Refused("sts", "BadAnswer", f"no {name} in the answer")
    return found.group(1)


def _handler(role: JobRole, token: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            pass

        def do_GET(self) -> None:
            given = self.headers.get("Authorization") or ""
            if self.path != _PATH or not hmac.compare_digest(given.encode(), token.encode()):
                self._answer(403, b'{"code": "AccessDenied", "message": "the token is not that of the job"}')
                return
            try:
                body = role.document()
            except Refused as problem:
                self._answer(500, json.dumps({"code": problem.code, "message": problem.text}).encode())
                return
            self._answer(200, body)

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
