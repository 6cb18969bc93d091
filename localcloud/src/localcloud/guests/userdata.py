"""Parses user data as cloud-init does, as far as a process guest can run it.

Bytes in, parts out; running them does not live here.
"""

import email
import email.message
import gzip
import zlib
from dataclasses import dataclass

BOOTHOOK = "boothook"
SCRIPT = "script"
_UNPACKED_LIMIT = 16 * 1024 * 1024
_GZIP = b"\x1f\x8b"
# Content types that say nothing; the first line of the content decides.
_GENERIC = ("text/plain", "text/x-not-multipart", "application/octet-stream")
_GZIPPED = ("application/gzip", "application/x-gzip", "application/x-compressed", "application/x-gunzip")
_KINDS = {"text/cloud-boothook": BOOTHOOK, "text/x-shellscript": SCRIPT}
_BY_FIRST_LINE = {
    b"#cloud-boothook": "text/cloud-boothook",
    b"#!": "text/x-shellscript",
    b"#cloud-config": "text/cloud-config",
    b"#include": "text/x-include-url",
    b"#upstart-job": "text/upstart-job",
    b"#part-handler": "text/part-handler",
    b"## template: jinja": "text/jinja2",
}


class UnsupportedUserData(Exception):
    """The user data needs something that only a whole operating system has; the text says what."""


@dataclass(frozen=True)
class Part:
    """One program of the user data. `kind` is BOOTHOOK or SCRIPT, `name` a safe file name."""

    kind: str
    name: str
    content: bytes


def parse_user_data(data: bytes) -> list[Part]:
    """Return the programs in `data` in their order.

    Supports gzip, a MIME message, a single `#!` script and a single `#cloud-boothook`. Raises UnsupportedUserData for
    anything else.
    """
    data = _unpack(data, "the user data")
    if not data.strip():
        return []
    if not _is_message(data):
        return [_part(_guess_type(data), "", data, 1)]
    found: list[Part] = []
    for piece in email.message_from_bytes(data).walk():
        if piece.is_multipart():
            continue
        content = piece.get_payload(decode=True)
        if isinstance(content, bytes) and content.strip():
            found.append(_message_part(piece, content, len(found) + 1))
    return found


def _message_part(piece: "email.message.Message[str, str]", content: bytes, number: int) -> Part:
    kind = piece.get_content_type().lower()
    if kind in _GZIPPED or content.startswith(_GZIP):
        content = _unpack(content, f"part {number}")
        kind = _guess_type(content)
    elif kind in _GENERIC:
        kind = _guess_type(content)
    return _part(kind, piece.get_filename() or "", content, number)


def _part(kind: str, name: str, content: bytes, number: int) -> Part:
    if kind not in _KINDS:
        described = kind or f"begins with {content.split(maxsplit=1)[0][:40]!r}"
        raise UnsupportedUserData(
            f"user data part {number} ({described}) needs cloud-init, which a process guest does not have; "
            "it runs #! scripts and boothooks"
        )
    if kind == "text/cloud-boothook" and content.startswith(b"#cloud-boothook"):
        content = content.partition(b"\n")[2]
    if kind == "text/x-shellscript" or content.startswith(b"#!"):
        # Windows editors end the first line with a carriage return; cloud-init removes it too.
        first, end, rest = content.partition(b"\n")
        content = first.rstrip(b"\r") + end + rest
    return Part(_KINDS[kind], _safe_name(name) or f"part-{number:03d}", content)


def _safe_name(name: str) -> str:
    return "".join(character if _is_safe(character) else "_" for character in name).lstrip(".")


def _is_safe(character: str) -> bool:
    return character.isalnum() or character in "-_."


def _is_message(data: bytes) -> bool:
    head = data[:4096].lower()
    if head.startswith((b"content-type:", b"mime-version:")):
        return True
    return b"\nmime-version:" in head and not data.startswith(b"#")


def _guess_type(data: bytes) -> str:
    for start, kind in _BY_FIRST_LINE.items():
        if data.startswith(start):
            return kind
    return ""


def _unpack(data: bytes, what: str) -> bytes:
    if not data.startswith(_GZIP):
        return data
    try:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        found = unpacker.decompress(data, _UNPACKED_LIMIT)
    except (zlib.error, gzip.BadGzipFile) as error:
        raise UnsupportedUserData(f"{what} is not valid gzip: {error}") from error
    if unpacker.unconsumed_tail:
        raise UnsupportedUserData(f"{what} unpacks to more than {_UNPACKED_LIMIT} bytes")
    if not unpacker.eof:
        raise UnsupportedUserData(f"{what} is not valid gzip: it ends early")
    return found
