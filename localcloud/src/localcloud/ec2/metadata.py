"""The instance metadata service, version 2, for one guest at a time: what answers at 169.254.169.254.

Where the facts come from (EC2's records) and how credentials are made do not live here.
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

_MAX_TTL = 21600
# The builds that AWS lists at /; each answers as `latest` does. Source: "Use the Instance Metadata Service to access
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
_OF_A_VERSION = re.compile(r"^/\d[\d.-]*/")
_HEAD_LIMIT = 16 * 1024


@dataclass(frozen=True)
class Facts:
    """Everything a guest may ask about its own instance."""

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
    """When a rebalance recommendation was given, ISO 8601 in UTC; "" before."""
    vpc_cidrs: tuple[str, ...] = ()
    root_device: str = "/dev/xvda"
    index: int = 0
    monitored: bool = False


FactsOf = Callable[[str], Facts | None]
CredentialsOf = Callable[[str], dict[str, str]]
"""Keys of an instance's role as the document has them: Code, LastUpdated, AccessKeyId, SecretAccessKey, Token, Expiration."""


class MetadataService:
    """Answers any number of guests, each at its own listening socket."""

    def __init__(self, facts: FactsOf, credentials: CredentialsOf) -> None:
        self._facts = facts
        self._credentials = credentials

    async def serve(self, instance: str, listener: socket.socket) -> Callable[[], None]:
        """Answer for `instance` at `listener`; the result closes it."""
        answering = _Answering(instance, self._facts, self._credentials)
        server = await asyncio.start_server(answering.connection, sock=listener, limit=_HEAD_LIMIT)

        def close() -> None:
            server.close()
            for writer in list(answering.open):
                writer.transport.abort()

        return close


class _Answering:
    def __init__(self, instance: str, facts: FactsOf, credentials: CredentialsOf) -> None:
        self._instance = instance
        self._facts = facts
        self._credentials = credentials
        self._tokens: dict[str, float] = {}
        self.open: set[asyncio.StreamWriter] = set()

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass
        finally:
            self.open.discard(writer)
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, protocol = head[0].split(" ", 2)
        headers = {}
        for line in head[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        await reader.readexactly(int(headers.get("content-length") or 0))
        status, body, extra = self._answer(method, target.partition("?")[0], headers)
        keep = protocol != "HTTP/1.0" and headers.get("connection", "").lower() != "close"
        writer.write(_head(status, len(body), keep, extra) + (b"" if method == "HEAD" else body))
        await writer.drain()
        return keep

    def _answer(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        facts = self._facts(self._instance)
        if facts is None or not facts.enabled:
            return 403, _page(403), {}
        if method == "PUT":
            return self._token(path, headers)
        if method not in ("GET", "HEAD"):
            return 405, _page(405), {"Allow": "GET, HEAD, PUT"}
        token = headers.get("x-aws-ec2-metadata-token")
        if token is None and facts.tokens_required:
            return 401, _page(401), {}
        if token is not None and self._tokens.get(token, 0.0) < time.monotonic():
            return 401, _page(401), {}
        found = self._find(path, facts)
        kind = {"Content-Type": "application/octet-stream"} if path.rstrip("/").endswith("/user-data") else {}
        return (404, _page(404), {}) if found is None else (200, found, kind)

    def _token(self, path: str, headers: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        if path.rstrip("/") != "/latest/api/token":
            # "Access instance metadata for an EC2 instance": PUT to a path of a version is forbidden, tokens have none.
            return (403, _page(403), {}) if _OF_A_VERSION.match(path) else (405, _page(405), {"Allow": "GET, HEAD"})
        if "x-forwarded-for" in headers:
            return 403, _page(403), {}
        said = headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
        if not said.isdigit() or not 1 <= int(said) <= _MAX_TTL:
            return 400, _page(400), {}
        now = time.monotonic()
        self._tokens = {token: end for token, end in self._tokens.items() if end > now}
        token = secrets.token_urlsafe(40) + "=="
        self._tokens[token] = now + int(said)
        return 200, token.encode(), {"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": said}

    def _find(self, path: str, facts: Facts) -> bytes | None:
        parts = [part for part in path.split("/") if part]
        if not parts:
            return "\n".join(_VERSIONS).encode()
        if parts[0] not in _VERSIONS:
            return None
        if len(parts) == 1:
            # The one listing whose names have no slash.
            return "\n".join(_tree(facts)).encode()
        if parts[1:] == ["user-data"]:
            return facts.user_data or None
        if parts[1:3] == ["meta-data", "iam"] and len(parts) > 4 and parts[3] == "security-credentials":
            if parts[4:] != [facts.role] or not facts.role:
                return None
            return json.dumps({"Type": "AWS-HMAC"} | self._credentials(self._instance), indent=2).encode()
        return _walk(_tree(facts), parts[1:])


def _tree(facts: Facts) -> dict[str, Any]:
    """All that is served of a guest, as names below names; a leaf is its text.

    Source: "Instance metadata categories". Left out: the signatures of the identity document, since nobody could check a
    signature of ours by AWS's certificate, and the credentials of the instance identity role.
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
    return {
        "dynamic": {
            "fws": {"instance-monitoring": "enabled" if facts.monitored else "disabled"},
            "instance-identity": {"document": json.dumps(_identity(facts), indent=2)},
        },
        "meta-data": dict(sorted(meta.items())),
        **({"user-data": ""} if facts.user_data else {}),
    }


def _basics(facts: Facts) -> dict[str, Any]:
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
        "network": {"interfaces": {"macs": {facts.mac: _card(facts)}}},
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


def _card(facts: Facts) -> dict[str, str]:
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
        "vpc-ipv4-cidr-block": facts.vpc_cidrs[0] if facts.vpc_cidrs else "",
        "vpc-ipv4-cidr-blocks": "\n".join(facts.vpc_cidrs),
    }


def _identity(facts: Facts) -> dict[str, Any]:
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
    """The value at a path, or the names below it; a tag's key may hold no slash, so parts are keys."""
    here: Any = tree
    for part in parts:
        if not isinstance(here, dict) or part not in here:
            return None
        here = here[part]
    if isinstance(here, dict):
        return "\n".join(f"{name}/" if isinstance(below, dict) else name for name, below in here.items()).encode()
    return str(here).encode()


_PHRASES = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
}


def _page(status: int) -> bytes:
    return f"<html><body><h1>{status} - {_PHRASES[status]}</h1></body></html>".encode()


def _head(status: int, length: int, keep: bool, extra: dict[str, str]) -> bytes:
    lines = {
        "Content-Type": "text/plain" if status == 200 else "text/html",
        "Content-Length": str(length),
        "Date": formatdate(usegmt=True),
        "Server": "EC2ws",
        "Connection": "keep-alive" if keep else "close",
    } | extra
    return "\r\n".join(
        [f"HTTP/1.1 {status} {_PHRASES[status]}", *(f"{k}: {v}" for k, v in lines.items()), "", ""]
    ).encode()
