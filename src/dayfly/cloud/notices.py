"""Answer the calls that reach people: SNS for e-mail, urllib for webhooks, and secret parameters of Systems Manager.

A webhook goes to an address that a user chose, which may be slow, dead or hostile: it is given a few seconds and nothing of its answer
but the status is read.
"""

from __future__ import annotations

import http.client
import threading
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from dayfly.cloud.clients import LOOPBACK, code_of
from dayfly.cloud.context import Context
from dayfly.flows import calls


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer: the message was not taken, and it goes to no address that the user did not name."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


def post(context: Context, call: calls.Post) -> str:
    """Send a webhook and return why it was not taken. On the local cloud it reaches this machine only."""
    address = urlsplit(call.url)
    if context.aws.endpoint and address.hostname not in LOOPBACK:
        return "the local cloud sends nothing to other machines"
    if address.scheme != "https" and address.hostname not in LOOPBACK:
        return "it is not an https URL"
    answer: list[str] = []
    # A thread, because urllib's timeout covers neither the look-up of a name nor an answer that comes byte by byte.
    sending = threading.Thread(target=lambda: answer.append(_send(call)), daemon=True)
    sending.start()
    sending.join(call.within_s)
    return (answer or [_no_answer(call)])[0]


def _send(call: calls.Post) -> str:
    opener = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))
    request = urllib.request.Request(call.url, data=call.body, headers=dict(call.headers), method="POST")
    try:
        with opener.open(request, timeout=call.within_s):
            return ""
    except urllib.request.HTTPError as error:
        error.close()
        return f"it answered {error.code}"
    except TimeoutError:
        return _no_answer(call)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return str(getattr(error, "reason", "") or error) or type(error).__name__


def _no_answer(call: calls.Post) -> str:
    return f"no answer within {call.within_s:g} s"


def publish(context: Context, call: calls.Publish) -> str:
    """Publish to a topic. Errors of AWS are raised."""
    context.aws.client("sns").publish(TopicArn=call.topic, Subject=call.subject, Message=call.text)
    return ""


def read_secret(context: Context, call: calls.ReadSecret) -> str | None:
    """Return a secret parameter; None if it does not exist."""
    try:
        answer = context.aws.client("ssm").get_parameter(Name=call.name, WithDecryption=True)
    except ClientError as error:
        if code_of(error) == "ParameterNotFound":
            return None
        raise
    return str(answer["Parameter"]["Value"])


def make_secret(context: Context, call: calls.MakeSecret) -> bool:
    """Create a secret parameter, encrypted with the account's key for Systems Manager."""
    tags = [{"Key": key, "Value": value} for key, value in sorted(call.tags.items())]
    try:
        context.aws.client("ssm").put_parameter(Name=call.name, Value=call.value, Type="SecureString", Tags=tags)
    except ClientError as error:
        if code_of(error) == "ParameterAlreadyExists":
            return False
        raise
    return True


def remove_secret(context: Context, call: calls.RemoveSecret) -> None:
    """Delete a secret parameter."""
    try:
        context.aws.client("ssm").delete_parameter(Name=call.name)
    except ClientError as error:
        if code_of(error) != "ParameterNotFound":
            raise
