"""What taking a step returns, and how it writes over a record that it read. Shared by flows/steps.py and flows/telling.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dayfly.core.facts import Facts, NotStored, WithEtag
from dayfly.flows.calls import Flow, PutMatch, PutNew, ask


@dataclass(frozen=True)
class Outdated:
    """The facts at hand are no longer enough: another process was first, or EC2 or other records say what comes next."""


Taken = Facts | Outdated
"""What a step returns: the facts with what it wrote, or that they must be gathered again."""


def write_over(key: str, body: bytes, before: WithEtag[Any] | NotStored) -> Flow[bool]:
    """Write an object in place of the one that was read (`before`), or as a new one."""
    match before:
        case WithEtag(etag=etag):
            return (yield from ask(PutMatch(key, body, etag)))
        case NotStored():
            return (yield from ask(PutNew(key, body)))
