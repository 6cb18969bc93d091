"""What S3 requests need permission for, where MiniStack derives less than S3 does, and which bucket policies S3 refuses."""

import json
from collections.abc import Callable
from typing import Any

from localcloud.ministack import authorization as ministack
from localcloud.ministack.requests import Handler
from localcloud.services.s3 import rules


def install() -> None:
    """Put the keys and actions below into MiniStack; once, before the first request."""
    ministack.wrap_s3_keys(_s3_keys)
    ministack.wrap_s3_actions(_s3_actions)


def _s3_keys(derive: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Add the condition keys of conditional writes to MiniStack's S3 keys."""

    def keys(action: str, query: Any, path: str = "", headers: dict[str, str] | None = None) -> dict[str, Any]:
        found, sent, asked = derive(action, query, path, headers), headers or {}, query or {}
        if action in ("s3:PutObject", "s3:DeleteObject"):
            found |= {f"s3:{name}": sent[name] for name in ("if-match", "if-none-match") if name in sent}
        if action == "s3:PutObject":
            creates = not ("uploads" in asked or "partNumber" in asked)
            found["s3:ObjectCreationOperation"] = str(creates).lower()
        return found

    return keys


def _s3_actions(derive: Callable[..., list[tuple[str, str]]]) -> Callable[..., list[tuple[str, str]]]:
    """Add what a write needs besides s3:PutObject: s3:PutObjectTagging for tags, s3:GetObject for If-Match.

    "S3 API Reference", PutObject, Permissions; "S3 User Guide", How to prevent object overwrites with conditional writes.
    """

    def actions(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> list[tuple[str, str]]:
        found = derive(method, path, headers, body, query)
        _, _, key = path.lstrip("/").partition("/")
        arn = f"arn:aws:s3:::{path.lstrip('/')}"
        begins = method == "POST" and "uploads" in query
        writes = key != "" and rules.writes_object(method, query)
        if key and (begins or writes) and headers.get("x-amz-tagging"):
            found.append(("s3:PutObjectTagging", arn))
        if writes and "if-match" in headers:
            found.append(("s3:GetObject", arn))
        return found

    return actions


def check_bucket_policy(handler: Handler) -> Handler:
    """Refuse a malformed bucket policy: S3 answers MalformedPolicy ("S3 API Reference", Error responses)."""

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        if method == "PUT" and "policy" in query and (reason := _malformed(body)):
            text = f"<?xml version='1.0' encoding='utf-8'?><Error><Code>MalformedPolicy</Code><Message>{reason}</Message></Error>"
            return 400, {"Content-Type": "application/xml"}, text.encode()
        return await handler(method, path, headers, body, query)

    return handle


def _malformed(body: bytes) -> str:
    """Return what keeps this from being a resource's policy; "" when nothing does."""
    try:
        document = json.loads(body)
    except ValueError:
        return "Policies must be valid JSON and the first byte must be '{'"
    statements = document.get("Statement") if isinstance(document, dict) else None
    statements = [statements] if isinstance(statements, dict) else statements
    if not isinstance(statements, list) or not all(isinstance(one, dict) for one in statements):
        return "Missing required field Statement"
    for one in statements:
        if one.get("Effect") not in ("Allow", "Deny"):
            return f"Invalid effect: {one.get('Effect')}".replace("<", "").replace("&", "")
        for field in ("Action", "Resource", "Principal"):
            if not ({field, f"Not{field}"} & one.keys()):
                return f"Missing required field {field}"
    return ""
