"""A metadata service, an S3, and what a server asks of STS, SSM and Secrets Manager, on loopback for one server.

Write-once rules are checked, and signatures with botocore's signer. A function of the request injects faults. Nothing here
knows dayfly.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEY, SECRET, TOKEN = "ASIATEST", "secret/+x", "session=="
REGION = "eu-west-1"
Fault = Callable[[str, str, int], int | str | None]
"""(method, path with query, number of equal requests before) -> a status to answer with, `late` (done, but not answered),
`ExpiredToken`, or None for the normal answer."""


class Aws:
    """Buckets are folders below `root`, objects files named by the hash of their key."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tags: dict[str, str] = {}
        self.instance = "i-0123456789abcdef0"
        self.objects: dict[str, Path] = {}
        self.times: dict[str, float] = {}
        self.fault: Fault = lambda _method, _path, _before: None
        self.seen: list[str] = []
        self.wrong: list[str] = []
        self.delay = 0.0
        self.parameters: dict[str, str] = {}
        self.secrets: dict[str, str] = {}
        self.roles: set[str] = set()
        self.session_s = 3600
        self.cut = 0  # so many bytes of a download arrive before its connection breaks, once
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def put(self, key: str, body: bytes) -> None:
        path = self.root / hashlib.sha256(key.encode()).hexdigest()
        path.write_bytes(body)
        self.take(key, path)

    def take(self, key: str, path: Path) -> None:
        with self._lock:
            self.objects[key] = path
            self.times.setdefault(key, time.time())

    def read(self, key: str) -> bytes:
        return self.objects[key].read_bytes()

    def keys(self, prefix: str = "") -> list[str]:
        return sorted(key for key in self.objects if key.startswith(prefix))

    def count(self, line: str) -> int:
        """Record a request and return how often it came before."""
        with self._lock:
            self.seen.append(line)
            return self.seen.count(line) - 1


def _handler(aws: Aws) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - one small server in one place
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def log_message(self, *_args: object) -> None:
            pass

        def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def error(self, status: int, code: str) -> None:
            self.answer(status, f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message></Error>".encode())

        def do_GET(self) -> None:
            self.handle_request("GET")

        def do_PUT(self) -> None:
            self.handle_request("PUT")

        def do_POST(self) -> None:
            self.handle_request("POST")

        def handle_request(self, method: str) -> None:
            fault = aws.fault(method, self.path, aws.count(f"{method} {self.path}"))
            body = self.body()
            if isinstance(fault, int):
                self.error(fault, "Planted")
            elif self.path.startswith("/meta/"):
                self.metadata(method, self.path[len("/meta/latest/") :])
            elif fault == "ExpiredToken":
                self.error(400, fault)
            elif self.path == "/":
                self.api(method, body.read_bytes())
            elif fault == "late":
                self.answer = lambda *_args, **_named: None  # type: ignore[method-assign]
                self.s3(method, body)
                self.close_connection = True
            else:
                self.s3(method, body)

        def body(self) -> Path:
            left, path = (
                int(self.headers.get("Content-Length") or 0),
                aws.root / f"body-{time.monotonic_ns()}-{id(self)}",
            )
            digest = hashlib.sha256()
            with path.open("wb") as file:
                while left:
                    block = self.rfile.read(min(left, 1 << 20))
                    if not block:
                        break
                    left -= len(block)
                    digest.update(block)
                    file.write(block)
            self.digest = digest.hexdigest()
            return path

        def metadata(self, method: str, path: str) -> None:
            if method == "PUT" and path == "api/token" and self.headers.get("X-aws-ec2-metadata-token-ttl-seconds"):
                self.answer(200, b"a-token")
            elif self.headers.get("X-aws-ec2-metadata-token") != "a-token":
                self.answer(401)
            else:
                found = _facts(aws).get(path.removeprefix("meta-data/"))
                self.answer(404) if found is None else self.answer(200, found.encode())

        def s3(self, method: str, body: Path) -> None:
            parts = urlsplit(self.path)
            key = unquote(parts.path).split("/", 2)[2]
            if "X-Amz-Signature" in parts.query:
                self.answer(200, aws.read(key)) if key in aws.objects else self.error(404, "NoSuchKey")
                return
            if not self.signed(method):
                aws.wrong.append(f"{method} {self.path}")
                self.error(403, "SignatureDoesNotMatch")
                return
            time.sleep(aws.delay)
            query = parse_qs(parts.query, keep_blank_values=True)
            once = self.headers.get("If-None-Match") == "*"
            if method == "GET":
                self.get(key)
            elif "uploads" in query:
                upload = hashlib.sha256(f"{key}{time.monotonic_ns()}".encode()).hexdigest()
                (aws.root / upload).mkdir()
                self.answer(200, f"<R><UploadId>{upload}</UploadId></R>".encode())
            elif "partNumber" in query:
                body.rename(aws.root / query["uploadId"][0] / query["partNumber"][0])
                self.answer(200, ETag=f'"{self.digest}"')
            elif once and key in aws.objects:
                self.error(412, "PreconditionFailed")
            elif not once:
                aws.wrong.append(f"not write-once: {method} {self.path}")
                self.error(403, "AccessDenied")
            elif "uploadId" in query:
                self.complete(key, aws.root / query["uploadId"][0], body)
            else:
                aws.take(key, body)
                self.answer(200, ETag=f'"{self.digest}"')

        def get(self, key: str) -> None:
            if key not in aws.objects:
                self.error(403, "AccessDenied")
                return
            start = int(re.sub(r"\D", "", self.headers.get("Range") or "0"))
            content, cut = aws.read(key)[start:], aws.cut
            status = 206 if start else 200
            if not cut or "output/" not in key:
                self.answer(status, content)
                return
            aws.cut = 0
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:cut])
            self.close_connection = True

        def api(self, method: str, body: bytes) -> None:
            """Answer STS, SSM and Secrets Manager as AWS does, to signed requests."""
            target, form = self.headers.get("X-Amz-Target", ""), parse_qs(body.decode())
            service = {"Amaz": "ssm", "secr": "secretsmanager"}.get(target[:4], "sts")
            if not self.signed(method, service):
                aws.wrong.append(f"{method} {service}")
                self.error(403, "SignatureDoesNotMatch")
            elif service == "sts" and form["RoleArn"][0] in aws.roles:
                self.answer(200, _session(aws, form["RoleSessionName"][0]).encode())
            elif service == "sts":
                self.error(403, "AccessDenied")
            else:
                self.value(target, json.loads(body))

        def value(self, target: str, asked: dict[str, object]) -> None:
            name = str(asked.get("Name") or asked.get("SecretId"))
            if target == "AmazonSSM.GetParameter" and asked["WithDecryption"] and name in aws.parameters:
                self.answer(200, json.dumps({"Parameter": {"Name": name, "Value": aws.parameters[name]}}).encode())
            elif target == "secretsmanager.GetSecretValue" and name in aws.secrets:
                self.answer(200, json.dumps({"Name": name, "SecretString": aws.secrets[name]}).encode())
            elif target == "AmazonSSM.GetParameter":
                self.answer(400, b'{"__type": "ParameterNotFound"}')
            else:
                self.answer(400, b'{"__type": "AccessDeniedException", "Message": "not authorized"}')

        def complete(self, key: str, folder: Path, body: Path) -> None:
            if not folder.exists():
                self.error(404, "NoSuchUpload")
                return
            whole = aws.root / f"whole-{folder.name}"
            with whole.open("wb") as file:
                for number in re.findall(r"<PartNumber>(\d+)<", body.read_text()):
                    with (folder / number).open("rb") as part:
                        shutil.copyfileobj(part, file, 1 << 20)
            shutil.rmtree(folder)
            aws.take(key, whole)
            self.answer(200, b"<CompleteMultipartUploadResult/>")

        def signed(self, method: str, service: str = "s3") -> bool:
            """Return whether botocore computes the same signature for the request."""
            claimed = self.headers.get("Authorization") or ""
            names = re.search(r"SignedHeaders=([^,]+)", claimed)
            if not names or self.headers.get("x-amz-content-sha256") != self.digest:
                return False
            headers = {name: self.headers[name] for name in names.group(1).split(";") if name != "host"}
            request = AWSRequest(method, f"http://{self.headers['Host']}{self.path}", headers)
            request.context["timestamp"] = self.headers["x-amz-date"]
            kind = S3SigV4Auth if service == "s3" else SigV4Auth
            signer = kind(Credentials(KEY, SECRET, TOKEN), service, REGION)
            text = signer.string_to_sign(request, signer.canonical_request(request))
            return claimed.endswith("Signature=" + signer.signature(text, request))

    return Handler


def _session(aws: Aws, name: str) -> str:
    """Return STS's answer; the key has the number of the session."""
    number = sum(line == "POST /" for line in aws.seen)
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + aws.session_s))
    given = {"AccessKeyId": f"ASIAJOB{number}", "SecretAccessKey": "job/+secret", "SessionToken": f"{name}=="}
    fields = "".join(f"<{key}>{value}</{key}>" for key, value in {**given, "Expiration": ends}.items())
    return f"<AssumeRoleResponse><AssumeRoleResult><Credentials>{fields}</Credentials></AssumeRoleResult></AssumeRoleResponse>"


def _facts(aws: Aws) -> dict[str, str]:
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    role = {"AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": TOKEN, "Expiration": ends, "Code": "Success"}
    return {
        "instance-id": aws.instance,
        "placement/region": REGION,
        "iam/security-credentials/": "the-role",
        "iam/security-credentials/the-role": json.dumps(role),
        **{f"tags/instance/{name}": value for name, value in aws.tags.items()},
    }
