"""Requests about stacks that CloudFormation refuses: a template that its caller cannot read, and what a stack's state forbids.

A template at an S3 URL is read with the rights of the caller, and by no signature in the URL.
"""

import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from localcloud.cloud.facts import Response
from localcloud.ministack import objects, requests, stacks
from localcloud.services.iam.authorization import authorize

_SIGNED = {"x-amz-signature", "x-amz-credential", "signature", "awsaccesskeyid"}
_VIRTUAL = re.compile(r"(?P<bucket>.+)\.s3[.-](?:[a-z0-9.-]+\.)?amazonaws\.com")
_PATH = re.compile(r"s3[.-](?:[a-z0-9.-]+\.)?amazonaws\.com")
_MORE = "\nFor more information check http://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"
# AWS writes it as two words.
_NOT = "can\x20not"
_UPDATED = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
)
# The states of a stack that each action takes. A deleted stack does not exist for them, which MiniStack answers.
_UPDATABLE = {
    "UpdateStack": (*_UPDATED, "DELETE_COMPLETE"),
    "CreateChangeSet": (*_UPDATED, "DELETE_COMPLETE", "REVIEW_IN_PROGRESS", "CREATE_FAILED", "UPDATE_FAILED"),
}

Parameters = dict[str, str]


def install(port: int) -> None:
    """Check requests here before MiniStack's CloudFormation; `port` is that of the cloud's own endpoint."""
    answer = requests.handler("cloudformation")

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        asked = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        refused = _forbidden(asked)
        if refused is None and asked.get("TemplateURL"):
            refused, asked = _located(asked, requests.access_key(headers, query), port)
            body = urlencode(asked).encode()
        if refused is not None:
            return refused
        return await answer(method, path, headers, body, query)

    requests.replace_handler("cloudformation", handle)


def _forbidden(asked: Parameters) -> Response | None:
    """Return the error for an operation that the state of its stack does not allow, or None."""
    action, name = asked.get("Action", ""), asked.get("StackName", "")
    stack = stacks.stack(name) if name else None
    if stack is None:
        return None
    state, arn = stack["StackStatus"], stack["StackId"]
    if action == "CreateStack" and state == "ROLLBACK_COMPLETE":
        return stacks.error("AlreadyExistsException", f"Stack [{name}] already exists")
    if state not in _UPDATABLE.get(action, (state,)):
        return stacks.error("ValidationError", f"Stack:{arn} is in {state} state and {_NOT} be updated.")
    if action == "DeleteStack" and state.startswith("UPDATE_") and state.endswith("_IN_PROGRESS"):
        return stacks.error("ValidationError", f"Stack [{arn}] cannot be deleted while in status {state}")
    return None


def _located(asked: Parameters, sender: str, port: int) -> tuple[Response | None, Parameters]:
    """Return the error of a template's URL, and the request with the URL in the form that MiniStack reads."""
    url = asked["TemplateURL"]
    place = _place(url, port)
    if place is None:
        return stacks.error("ValidationError", "TemplateURL must be a supported URL."), asked
    bucket, key = place
    if refused := _unreadable(bucket, key, sender):
        return stacks.error("ValidationError", f"S3 error: {refused}{_MORE}"), asked
    return None, asked | {"TemplateURL": f"http://s3/{bucket}/{key}"}


def _place(url: str, port: int) -> tuple[str, str] | None:
    """Return the bucket and key of a plain S3 URL; None for any other URL, also for one that is signed."""
    parts = urlsplit(url)
    if _SIGNED & {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}:
        return None
    host, path = parts.hostname or "", unquote(parts.path).lstrip("/")
    virtual = _VIRTUAL.fullmatch(host)
    if parts.scheme == "https" and virtual and not _PATH.fullmatch(host):
        bucket, key = virtual["bucket"], path
    elif (parts.scheme == "https" and _PATH.fullmatch(host)) or (
        host in ("127.0.0.1", "localhost") and parts.port == port
    ):
        bucket, _, key = path.partition("/")
    else:
        return None
    return (bucket, key) if bucket and key else None


def _unreadable(bucket: str, key: str, sender: str) -> str:
    """Return why the sender cannot read an object, in the words of S3; "" when they can."""
    if not objects.bucket_exists(bucket):
        return "The specified bucket does not exist"
    region = requests.region()
    if authorize(sender, "s3:GetObject", region, f"arn:aws:s3:::{bucket}/{key}") is not None:
        return "Access Denied"
    if key in objects.objects(bucket):
        return ""
    if authorize(sender, "s3:ListBucket", region, f"arn:aws:s3:::{bucket}") is None:
        return "The specified key does not exist."
    return "Access Denied"
