"""The instance metadata service, version 2, which answers a guest at 169.254.169.254.

The facts come from EC2's records and the credentials from IAM (identity.py); neither lives here.
"""

import asyncio
import contextlib
import json
import re
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

_TOKEN = "x-aws-ec2-metadata-token"
_MAX_TTL = 21600
# The versions that AWS lists at /; each answers like `latest`. Source: "Use the Instance Metadata Service to access
# instance metadata", Get the available versions; "Instance metadata categories" for the later ones.
_VERSIONS = (
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2018-08-17",
    "2019-10-01",
    "2020-08-24",
    "2020-10-27",
    "2020-11-01",
    "2021-01-03",
    "2021-03-23",
    "2021-07-15",
    "2022-09-24",
    "latest",
)
_VERSION_PATH = re.compile(r"^/\d[\d.-]*/")
_HEAD_LIMIT = 16 * 1024


@dataclass(frozen=True)
class InstanceFacts:
    """Everything that a guest can learn about its instance. `tags` is None when metadata does not show them."""

    instance: str
    instance_type: str
    image: str
    architecture: str
    account: str
    region: str
    zone: str
    zone_id: str
    address: str
    hostname: str
    mac: str
    vpc: str
    subnet: str
    subnet_cidr: str
    security_groups: dict[str, str]
    market: str
    reservation: str
    launched: str
    user_data: bytes
    enabled: bool
    tokens_required: bool
    tags: dict[str, str] | None
    profile_arn: str = ""
    profile_id: str = ""
    role: str = ""
    spot_notice: dict[str, str] | None = None
    rebalance: str = ""
    """When a rebalance recommendation was given, ISO 8601 in UTC; "" if it was not."""
    vpc_cidrs: tuple[str, ...] = ()
    root_device: str = "/dev/xvda"
    index: int = 0
    monitored: bool = False


InstanceFactsOf = Callable[[str], InstanceFacts | None]
CredentialsOf = Callable[[str, str], dict[str, str]]
"""Returns the credentials document of an instance's role: Code, LastUpdated, AccessKeyId, SecretAccessKey, Token, Expiration.

The second argument is the version of the metadata service that they are asked of, "1.0" or "2.0".
"""


class MetadataService:
    """Answers any number of guests, each at its own listening socket."""

    def __init__(self, facts: InstanceFactsOf, credentials: CredentialsOf) -> None:
        self._facts = facts
        self._credentials = credentials

    async def serve(self, instance: str, listener: socket.socket) -> Callable[[], None]:
        """Answer for `instance` at `listener`. Returns a function that closes it."""
        guest = _GuestServer(instance, self._facts, self._credentials)
        server = await asyncio.start_server(guest.serve_connection, sock=listener, limit=_HEAD_LIMIT)

        def close() -> None:
            server.close()
            for writer in list(guest.connections):
                writer.transport.abort()

        return close


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    headers: dict[str, str]
    keep_alive: bool


@dataclass(frozen=True)
class _Answer:
    status: int
    body: bytes
    headers: dict[str, str]


class _GuestServer:
    """Answers one guest. Its tokens are valid for that guest only."""

    def __init__(self, instance: str, facts: InstanceFactsOf, credentials: CredentialsOf) -> None:
        self._instance = instance
        self._facts = facts
        self._credentials = credentials
        self._tokens: dict[str, float] = {}
        self.connections: set[asyncio.StreamWriter] = set()

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(writer)
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass
        finally:
            self.connections.discard(writer)
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request. False if the connection closes after it."""
        request = _parse_head(await reader.readuntil(b"\r\n\r\n"))
        await reader.readexactly(int(request.headers.get("content-length") or 0))
        answer = self._answer(request)
        writer.write(_head(answer, request.keep_alive))
        if request.method != "HEAD":
            writer.write(answer.body)
        await writer.drain()
        return request.keep_alive

    def _answer(self, request: _Request) -> _Answer:
        facts = self._facts(self._instance)
        if facts is None or not facts.enabled:
            return _error(403)
        if request.method == "PUT":
            return self._new_token(request)
        if request.method not in ("GET", "HEAD"):
            return _error(405, {"Allow": "GET, HEAD, PUT"})
        if not self._is_authorized(request, facts):
            return _error(401)
        found = self._find(request, facts)
        if found is None:
            return _error(404)
        if request.path.rstrip("/").endswith("/user-data"):
            return _Answer(200, found, {"Content-Type": "application/octet-stream"})
        return _Answer(200, found, {})

    def _is_authorized(self, request: _Request, facts: InstanceFacts) -> bool:
        token = request.headers.get(_TOKEN)
        if token is None:
            return not facts.tokens_required
        return self._tokens.get(token, 0.0) >= time.monotonic()

    def _new_token(self, request: _Request) -> _Answer:
        if request.path.rstrip("/") != "/latest/api/token":
            # "Access instance metadata for an EC2 instance": PUT to a path with a version is forbidden; tokens have no version.
            if _VERSION_PATH.match(request.path):
                return _error(403)
            return _error(405, {"Allow": "GET, HEAD"})
        if "x-forwarded-for" in request.headers:
            return _error(403)
        ttl = request.headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
        if not ttl.isdigit() or not 1 <= int(ttl) <= _MAX_TTL:
            return _error(400)
        now = time.monotonic()
        self._tokens = {token: end for token, end in self._tokens.items() if end > now}
        token = secrets.token_urlsafe(40) + "=="
        self._tokens[token] = now + int(ttl)
        return _Answer(200, token.encode(), {"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": ttl})

    def _find(self, request: _Request, facts: InstanceFacts) -> bytes | None:
        parts = [part for part in request.path.split("/") if part]
        if not parts:
            return "\n".join(_VERSIONS).encode()
        if parts[0] not in _VERSIONS:
            return None
        if len(parts) == 1:
            # In this listing no name has a slash.
            return "\n".join(_tree(facts)).encode()
        if parts[1:] == ["user-data"]:
            return facts.user_data or None
        if parts[1:4] == ["meta-data", "iam", "security-credentials"] and len(parts) > 4:
            version = "2.0" if _TOKEN in request.headers else "1.0"
            return self._credentials_of(parts[4:], facts, version)
        return _walk(_tree(facts), parts[1:])

    def _credentials_of(self, role: list[str], facts: InstanceFacts, version: str) -> bytes | None:
        if not facts.role or role != [facts.role]:
            return None
        return json.dumps({"Type": "AWS-HMAC"} | self._credentials(self._instance, version), indent=2).encode()


def _tree(facts: InstanceFacts) -> dict[str, Any]:
    """Return all metadata of a guest as a tree of names; a leaf is its text.

    Source: "Instance metadata categories". The tree lacks the signatures of the identity document, because no signature made here
    could be verified by AWS's certificate, and the credentials of the instance identity role.
    """
    meta = _basics(facts)
    if facts.tags is not None:
        meta["tags"] = {"instance": dict(facts.tags)}
    if facts.role:
        info = {
            "Code": "Success",
            "LastUpdated": facts.launched,
            "InstanceProfileArn": facts.profile_arn,
            "InstanceProfileId": facts.profile_id,
        }
        meta["iam"] = {"info": json.dumps(info, indent=2), "security-credentials": {facts.role: ""}}
    if facts.spot_notice is not None:
        meta["spot"] = {
            "instance-action": json.dumps(facts.spot_notice),
            "termination-time": facts.spot_notice.get("time", ""),
        }
    monitoring = "enabled" if facts.monitored else "disabled"
    tree: dict[str, Any] = {
        "dynamic": {
            "fws": {"instance-monitoring": monitoring},
            "instance-identity": {"document": json.dumps(_identity(facts), indent=2)},
        },
        "meta-data": dict(sorted(meta.items())),
    }
    if facts.user_data:
        tree["user-data"] = ""
    return tree


def _basics(facts: InstanceFacts) -> dict[str, Any]:
    events: dict[str, Any] = {"maintenance": {"history": "[]", "scheduled": "[]"}}
    if facts.rebalance:
        events["recommendations"] = {"rebalance": json.dumps({"noticeTime": facts.rebalance})}
    return {
        "ami-id": facts.image,
        "ami-launch-index": str(facts.index),
        "ami-manifest-path": "(unknown)",
        "block-device-mapping": {"ami": facts.root_device.removeprefix("/dev/"), "root": facts.root_device},
        "events": events,
        "hostname": facts.hostname,
        "instance-action": "none",
        "instance-id": facts.instance,
        "instance-life-cycle": facts.market,
        "instance-type": facts.instance_type,
        "local-hostname": facts.hostname,
        "local-ipv4": facts.address,
        "mac": facts.mac,
        "metrics": {"vhostmd": '<?xml version="1.0" encoding="UTF-8"?>'},
        "network": {"interfaces": {"macs": {facts.mac: _interface(facts)}}},
        "placement": {
            "availability-zone": facts.zone,
            "availability-zone-id": facts.zone_id,
            "region": facts.region,
        },
        "profile": "default-hvm",
        "reservation-id": facts.reservation,
        "security-groups": "\n".join(facts.security_groups.values()),
        "services": {"domain": "amazonaws.com", "partition": "aws"},
        "system": "nitro",
    }


def _interface(facts: InstanceFacts) -> dict[str, str]:
    return {
        "device-number": "0",
        "interface-id": "eni-" + facts.instance.removeprefix("i-"),
        "local-hostname": facts.hostname,
        "local-ipv4s": facts.address,
        "mac": facts.mac,
        "network-card": "0",
        "owner-id": facts.account,
        "security-group-ids": "\n".join(facts.security_groups),
        "security-groups": "\n".join(facts.security_groups.values()),
        "subnet-id": facts.subnet,
        "subnet-ipv4-cidr-block": facts.subnet_cidr,
        "vpc-id": facts.vpc,
        "vpc-ipv4-cidr-block": next(iter(facts.vpc_cidrs), ""),
        "vpc-ipv4-cidr-blocks": "\n".join(facts.vpc_cidrs),
    }


def _identity(facts: InstanceFacts) -> dict[str, Any]:
    return {
        "accountId": facts.account,
        "architecture": facts.architecture,
        "availabilityZone": facts.zone,
        "billingProducts": None,
        "imageId": facts.image,
        "instanceId": facts.instance,
        "instanceType": facts.instance_type,
        "kernelId": None,
        "pendingTime": facts.launched,
        "privateIp": facts.address,
        "ramdiskId": None,
        "region": facts.region,
        "version": "2017-09-30",
    }


def _walk(tree: dict[str, Any], parts: list[str]) -> bytes | None:
    """Return the text at a path, or the names below it. No name has a slash, not even a tag's key, so parts are names."""
    node: Any = tree
    for part in parts:
        if not isinstance(node, dict) or part not in node:
            return None
        node = node[part]
    if not isinstance(node, dict):
        return str(node).encode()
    return "\n".join(_listed(name, below) for name, below in node.items()).encode()


def _listed(name: str, below: Any) -> str:
    if isinstance(below, dict):
        return f"{name}/"
    return name


def _parse_head(data: bytes) -> _Request:
    lines = data.decode("latin-1").split("\r\n")
    method, target, protocol = lines[0].split(" ", 2)
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    keep_alive = protocol != "HTTP/1.0" and headers.get("connection", "").lower() != "close"
    return _Request(method, target.partition("?")[0], headers, keep_alive)


_PHRASES = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
}


def _error(status: int, headers: dict[str, str] | None = None) -> _Answer:
    page = f"<html><body><h1>{status} - {_PHRASES[status]}</h1></body></html>"
    return _Answer(status, page.encode(), {"Content-Type": "text/html"} | (headers or {}))


def _head(answer: _Answer, keep_alive: bool) -> bytes:
    headers = {
        "Content-Type": "text/plain",
        "Content-Length": str(len(answer.body)),
        "Date": formatdate(usegmt=True),
        "Server": "EC2ws",
        "Connection": "keep-alive" if keep_alive else "close",
    } | answer.headers
    lines = [f"HTTP/1.1 {answer.status} {_PHRASES[answer.status]}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()
