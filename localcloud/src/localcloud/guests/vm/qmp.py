"""QEMU's monitor protocol, read: bytes in, what happened out.

The first line on the same stream may be the starting program's own word (net.py). No socket and no guest lives here.
"""

import json
from dataclasses import dataclass, field
from typing import Any

GREETING, EVENT, ANSWER, REFUSAL, BEGUN = "greeting", "event", "answer", "refusal", "begun"
"""What a message is: QEMU's hello, an event, the answer to a command, its refusal, or a word before QEMU."""


@dataclass(frozen=True)
class Message:
    """One message: `name` of an event, or the id of the command that it answers; `listed` where the answer is a list."""

    kind: str
    name: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    listed: tuple[dict[str, Any], ...] = ()


class Reader:
    """Cuts a stream into messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole by now. What is no message of the protocol is left out."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [message for line in lines if (message := _message(line)) is not None]


def command(execute: str, **arguments: Any) -> bytes:
    """A command as it is sent; its answer carries its own name as id."""
    said: dict[str, Any] = {"execute": execute, "id": execute}
    if arguments:
        said["arguments"] = arguments
    return json.dumps(said).encode() + b"\n"


def refused_writes(message: Message) -> int:
    """How many writes the files behind a machine's drives refused, as `query-blockstats` answers."""
    return sum(int(_mapping(drive.get("stats")).get("failed_wr_operations", 0)) for drive in message.listed)


def _message(line: bytes) -> Message | None:
    try:
        said = json.loads(line)
    except ValueError:
        return None
    if not isinstance(said, dict):
        return None
    if "event" in said:
        return Message(EVENT, str(said["event"]), _mapping(said.get("data")))
    if "return" in said:
        answer = said["return"]
        listed = tuple(_mapping(one) for one in answer) if isinstance(answer, list) else ()
        return Message(ANSWER, str(said.get("id", "")), _mapping(answer), listed)
    if "error" in said:
        return Message(REFUSAL, str(said.get("id", "")), _mapping(said["error"]))
    if "QMP" in said:
        return Message(GREETING)
    if "begun" in said:
        return Message(BEGUN, str(said["begun"]), said)
    return None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
