"""Parses QEMU's monitor protocol (QMP): bytes in, messages out.

The first line of the stream may come from the launcher, the program that becomes QEMU (network.py). No socket and no guest
lives here.
"""

import json
from dataclasses import dataclass, field
from typing import Any

GREETING, EVENT, ANSWER, ERROR, LAUNCHER = "greeting", "event", "answer", "error", "launcher"
"""Kinds of messages: QEMU's greeting, an event, the answer to a command, its error, or a message of the launcher."""


@dataclass(frozen=True)
class Message:
    """One message. `name` is that of the event, or the id of the command answered; `items` is a list answer."""

    kind: str
    name: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    items: tuple[dict[str, Any], ...] = ()


class Reader:
    """Splits a stream into messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages complete by now. Lines that are not of the protocol are dropped."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [message for line in lines if (message := _parse(line)) is not None]


def command(execute: str, **arguments: Any) -> bytes:
    """Return a command as it is sent. Its answer has the command's name as its id."""
    request: dict[str, Any] = {"execute": execute, "id": execute}
    if arguments:
        request["arguments"] = arguments
    return json.dumps(request).encode() + b"\n"


def failed_writes(message: Message) -> int:
    """Return how many writes to the drives' files failed, from the answer to `query-blockstats`."""
    return sum(int(_mapping(drive.get("stats")).get("failed_wr_operations", 0)) for drive in message.items)


def _parse(line: bytes) -> Message | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    match value:
        case {"event": name}:
            return Message(EVENT, str(name), _mapping(value.get("data")))
        case {"return": [*items]}:
            return Message(ANSWER, str(value.get("id", "")), items=tuple(_mapping(item) for item in items))
        case {"return": answer}:
            return Message(ANSWER, str(value.get("id", "")), _mapping(answer))
        case {"error": error}:
            return Message(ERROR, str(value.get("id", "")), _mapping(error))
        case {"QMP": _}:
            return Message(GREETING)
        case {"launcher": name}:
            return Message(LAUNCHER, str(name), value)
        case _:
            return None


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    return {}
