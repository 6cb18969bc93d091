"""A receiver of webhooks on this machine, written from the specification of Standard Webhooks and not from dayfly's own code."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """What arrived. `status`: the answer; `slow_s`: how long it takes; `location`: where a redirect leads."""

    url: str = ""
    status: int = 200
    slow_s: float = 0
    location: str = ""
    arrived: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def types(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.arrived]

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.arrived]


def is_signed(headers: dict[str, str], body: bytes, key: str, now: float | None = None) -> bool:
    """Verify a message as the specification says: the time is within 5 minutes, and one of the signatures is right."""
    secret = base64.b64decode(key.removeprefix("whsec_"))
    if abs((now or time.time()) - int(headers["webhook-timestamp"])) > 300:
        return False
    signed = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body))
    right = "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    return any(hmac.compare_digest(each, right) for each in headers["webhook-signature"].split(" "))


@contextmanager
def receiving(**settings: Any) -> Iterator[Receiver]:
    """Run a receiver for the block."""
    receiver = Receiver(**settings)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.arrived.append(({name.lower(): text for name, text in self.headers.items()}, body))
            time.sleep(receiver.slow_s)
            self.send_response(receiver.status)
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Be silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
