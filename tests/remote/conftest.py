"""A cloud that denies everything, for the entry points of functions, and the environment of a function that uses it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from dayfly.core import names


class Denied(BaseHTTPRequestHandler):
    """EC2 shows no server; everything else is denied."""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        ec2 = "/ec2/aws4_request" in self.headers.get("Authorization", "")
        space = 'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"'
        shown = f"<DescribeInstancesResponse {space}><reservationSet/></DescribeInstancesResponse>"
        body = (shown if ec2 else "<Error><Code>AccessDenied</Code><Message>no</Message></Error>").encode()
        self.send_response(200 if ec2 else 403)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def environment(port: int) -> dict[str, str]:
    """Return the environment of a function whose cloud listens on this port."""
    return {
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        names.ENV_PROJECT: "pi",
        names.ENV_BUCKET: "b",
        names.ENV_GROUP: "g",
        names.ENV_KILL_ROLE: "r",
        names.ENV_DEAD_LETTERS: "q",
        names.ENV_KEEP: "86400",
    }


@pytest.fixture
def denied(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = HTTPServer(("127.0.0.1", 0), Denied)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for key, value in environment(server.server_port).items():
        monkeypatch.setenv(key, value)
    yield
    server.shutdown()
    server.server_close()
