"""An answer that cannot be read is unclear: it is neither a refusal nor an empty list, and no traceback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest

from dayfly.cloud.clients import Aws
from dayfly.cloud.interpreter import Interpreter
from dayfly.errors import Unclear
from dayfly.flows import calls

TAG = "<tagSet><item><key>a</key><value>{}</value></item></tagSet>"
SERVER = f"<item><instancesSet><item><instanceId>i-1</instanceId>{TAG}</item></instancesSet></item>"
SERVERS = f"<DescribeInstancesResponse><reservationSet>{SERVER}</reservationSet></DescribeInstancesResponse>"


class Garbled(BaseHTTPRequestHandler):
    """Answers every request with status 200 and the class's body; `cut` bytes of it are promised and not sent."""

    body: ClassVar[bytes] = b""
    cut: ClassVar[int] = 0

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(200)
        self.send_header("content-length", str(len(self.body) + self.cut))
        self.send_header("etag", '"e"')
        self.end_headers()
        self.wfile.write(self.body)

    do_GET = do_PUT = do_POST = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def aws() -> Iterator[Aws]:
    server = HTTPServer(("127.0.0.1", 0), Garbled)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Aws(region="eu-west-1", endpoint=f"http://127.0.0.1:{server.server_port}", keys=("a", "b"))
    server.shutdown()
    server.server_close()


def asked(aws: Aws, call: calls.Call[Any], body: bytes, cut: int = 0) -> Any:
    Garbled.body, Garbled.cut = body, cut
    given: dict[str, Any] = {"project": "pi", "bucket": "b", "group": "g", "kill_role": "", "dead_letters": ""}
    return Interpreter(aws=aws, log=lambda _line, _fields: None, **given).answer(call)


@pytest.mark.parametrize(
    "body",
    [
        SERVERS.format("\x01").encode(),
        SERVERS.format("\x0b").encode(),
        SERVERS.encode()[:-40],
        b"{}",
        b"\xff\xfe\0",
        b"",
    ],
    ids=["control character", "vertical tab", "cut off", "JSON", "bytes", "empty"],
)
@pytest.mark.parametrize("call", [calls.ListServers(), calls.FindServer("i-1")], ids=["list", "find"])
def test_unreadable_list_of_servers_is_unclear(aws, call, body):
    with pytest.raises(Unclear):
        asked(aws, call, body)


def test_record_that_is_cut_off_is_unclear(aws):
    with pytest.raises(Unclear):
        asked(aws, calls.Get("open/x"), b'{"half":', cut=100)


def test_answer_of_a_function_that_is_not_json_is_unclear(aws):
    with pytest.raises(Unclear):
        asked(aws, calls.Invoke("f", "{}"), b"<html>")
