"""Read instance metadata (IMDSv2): the server's id and region, its tags, its role's credentials.

A path that does not exist is None. If the service is unreachable, OSError is raised after a minute of retries.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import NamedTuple

from dayfly.remote.boot import names, web

_REFRESH = 300.0


class Credentials(NamedTuple):
    """Temporary credentials of the server's role."""

    key: str
    secret: str
    token: str
    ends: float  # their expiration, seconds since 1970


class Metadata:
    """The instance metadata service, at the endpoint that `environ` names or the usual one. Paths are below /latest/meta-data/."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._site = web.Site(environ.get(names.METADATA_ENDPOINT) or "http://169.254.169.254", 5)
        self._token = ""
        self._credentials: Credentials | None = None
        self._lock = threading.RLock()

    def get(self, path: str, patience: float = 60.0, needed: bool = False) -> str | None:
        """Return the text of a path, or None if it does not exist and is not `needed`. Raises OSError after `patience` seconds."""
        until = time.monotonic() + patience
        while True:
            status, text = self._once(path)
            if status == 200:
                return text.strip()
            if status == 404 and not needed:
                return None
            if time.monotonic() > until:
                raise OSError(f"instance metadata {path}: {text or status}")
            time.sleep(0.5)

    def tag(self, name: str, patience: float = 60.0) -> str:
        """Return the value of one of the server's tags. Raises OSError."""
        return self.get("tags/instance/" + name, patience, True) or ""

    def credentials(self, fresh: bool = False) -> Credentials:
        """Return the role's credentials, renewed 5 minutes before they expire; `fresh` renews them now. Raises OSError."""
        with self._lock:
            held = self._credentials
            if held is None or fresh or held.ends - time.time() < _REFRESH:
                try:
                    held = self._credentials = self._fetch()
                except (OSError, ValueError, LookupError) as problem:
                    if held is None or held.ends < time.time():
                        raise OSError(f"no credentials in instance metadata: {problem}") from problem
            return held

    def _fetch(self) -> Credentials:
        folder = "iam/security-credentials/"
        found = json.loads(self.get(folder + (self.get(folder) or "").split("\n")[0]) or "{}")
        ends = names.seconds_of(found["Expiration"])
        return Credentials(found["AccessKeyId"], found["SecretAccessKey"], found["Token"], ends)

    def _once(self, path: str) -> tuple[int, str]:
        """Return the status and the text; status 0 and the error if there was no answer."""
        with self._lock:
            try:
                if not self._token:
                    status, _, body = self._site.exchange(
                        "PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "21600"}
                    )
                    if status != 200:
                        return 0, f"no token: status {status}"
                    self._token = body.decode()
                status, _, body = self._site.exchange(
                    "GET", "/latest/meta-data/" + path, {"X-aws-ec2-metadata-token": self._token}
                )
            except web.FAILURES as problem:
                return 0, f"{type(problem).__name__}: {problem}"
            if status == 401:
                self._token = ""
            return status, body.decode("utf-8", "replace")
