"""What the server knows of itself, by IMDSv2: who it is, its tags, its role's credentials.

Nothing here decides; an unknown path is None, an unreachable service an OSError after a minute of trying.
"""

from __future__ import annotations

import calendar
import json
import threading
import time
from typing import NamedTuple

from dayfly.remote.agent import web

DEFAULT = "http://169.254.169.254"
_PATIENCE = 60.0
_REFRESH = 300.0


class Credentials(NamedTuple):
    key: str
    secret: str
    token: str
    ends: float  # seconds since 1970


class Metadata:
    """The instance metadata service at `endpoint`."""

    def __init__(self, endpoint: str) -> None:
        self._site = web.Site(endpoint, 5)
        self._token = ""
        self._credentials: Credentials | None = None
        self._lock = threading.RLock()

    def get(self, path: str) -> str | None:
        """Text under /latest/PATH, None where there is none. Raises OSError."""
        until = time.monotonic() + _PATIENCE
        pause = 0.2
        while True:
            status, text = self._once("/latest/" + path)
            if status == 200:
                return text
            if status == 404:
                return None
            if time.monotonic() > until:
                raise OSError(f"instance metadata {path}: {text or status}")
            time.sleep(pause)
            pause = min(5.0, pause * 2)

    def tag(self, name: str) -> str:
        """The value of one of the server's tags. Raises OSError where it is missing."""
        value = self.get("meta-data/tags/instance/" + name)
        if value is None:
            raise OSError(f"the server has no tag {name} (or metadata does not show tags)")
        return value.strip()

    def credentials(self, fresh: bool = False) -> Credentials:
        """The role's, at least 5 minutes before their end where there are newer ones; `fresh` asks again. Raises OSError."""
        with self._lock:
            held = self._credentials
            if held is None or fresh or held.ends - time.time() < _REFRESH:
                self._credentials = held = self._ask(held)
            return held

    def _ask(self, held: Credentials | None) -> Credentials:
        folder = "meta-data/iam/security-credentials/"
        try:
            role = (self.get(folder) or "").strip().split("\n")[0]
            found = json.loads(self.get(folder + role) or "{}")
            ends = calendar.timegm(time.strptime(found["Expiration"][:19], "%Y-%m-%dT%H:%M:%S"))
            return Credentials(found["AccessKeyId"], found["SecretAccessKey"], found["Token"], ends)
        except (OSError, ValueError, LookupError) as problem:
            if held is not None and held.ends > time.time():
                return held
            raise OSError(f"no credentials in instance metadata: {problem}") from problem

    def _once(self, target: str) -> tuple[int, str]:
        """Status and text; 0 and the words of the failure where no answer came."""
        with self._lock:
            try:
                if not self._token:
                    ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "21600", "Content-Length": "0"}
                    status, _, body = self._site.exchange("PUT", "/latest/api/token", ttl)
                    if status != 200:
                        return status if status != 404 else 0, f"no token: status {status}"
                    self._token = body.decode()
                status, _, body = self._site.exchange("GET", target, {"X-aws-ec2-metadata-token": self._token})
            except web.FAILURES as problem:
                return 0, f"{type(problem).__name__}: {problem}"
            if status == 401:
                self._token = ""
            return status, body.decode("utf-8", "replace")
