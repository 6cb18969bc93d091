"""Calls that reach people: publish to the project's topic, send a webhook; and the project's secret parameters.

`Post` and `Publish` answer why the message was not taken, and an empty text if it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dayfly.flows.calls.call import Call


@dataclass(frozen=True, kw_only=True)
class Post(Call[str]):
    """Send a webhook. Waits at most `within_s` seconds for the answer, and follows no redirect."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    within_s: float = 5


@dataclass(frozen=True, kw_only=True)
class Publish(Call[str]):
    """Publish a message to a topic, which mails it to its confirmed addresses."""

    topic: str
    subject: str
    text: str


@dataclass(frozen=True)
class ReadSecret(Call[str | None]):
    """Read a secret parameter of Systems Manager. None when there is none."""

    name: str


@dataclass(frozen=True, kw_only=True)
class MakeSecret(Call[bool]):
    """Create a secret parameter. False when there is one of this name, which stays as it is."""

    name: str
    value: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class RemoveSecret(Call[None]):
    """Delete a secret parameter. Do nothing if there is none."""

    name: str
