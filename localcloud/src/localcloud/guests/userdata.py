"""User data read as cloud-init reads it, as far as a process guest can act on it.

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
_CARRIERS = ("text/plain", "text/x-not-multipart", "application/octet-stream")
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


class Refused(Exception):
    """The user data asks for something that only a whole operating system can do; the text says what."""


@dataclass(frozen=True)
class Part:
    """One program of the user data: what it is, its file name and its bytes."""

    kind: str
    name: str
    content: bytes


def parts_of(data: bytes) -> list[Part]:
    """The programs in `data` in their order.

    Understood: gzip; a MIME message; a lone `#!` script; a lone `#cloud-boothook`. Raises Refused for anything else.
    """
    data = _unpacked(data, "the user data")
    if not data.strip():
        return []
    if not _is_message(data):
        return [_part(_guess(data), "", data, 1)]
    found: list[Part] = []
    for piece in email.message_from_bytes(data).walk():
        if piece.is_multipart():
            continue
        content = piece.get_payload(decode=True)
        if isinstance(content, bytes) and content.strip():
            found.append(_from_message(piece, content, len(found) + 1))
    return found


def _from_message(piece: "email.message.Message[str, str]", content: bytes, number: int) -> Part:
    kind = piece.get_content_type().lower()
    if kind in _GZIPPED or content.startswith(_GZIP):
        content = _unpacked(content, f"part {number}")
        kind = _guess(content)
    elif kind in _CARRIERS:
        kind = _guess(content)
    return _part(kind, piece.get_filename() or "", content, number)


def _part(kind: str, name: str, content: bytes, number: int) -> Part:
    if kind not in _KINDS:
        said = kind or f"begins with {content.split(maxsplit=1)[0][:40]!r}"
        raise Refused(
            f"user data part {number} ({said}) needs cloud-init, which a process guest does not have; "
            "it runs #! scripts and boothooks"
        )
    if kind == "text/cloud-boothook" and content.startswith(b"#cloud-boothook"):
        content = content.split(b"\n", 1)[1] if b"\n" in content else b""
    if kind == "text/x-shellscript" or content.startswith(b"#!"):
        # What Windows editors do to a script; cloud-init mends it too.
        first, end, rest = content.partition(b"\n")
        content = first.rstrip(b"\r") + end + rest
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name).lstrip(".")
    return Part(_KINDS[kind], safe or f"part-{number:03d}", content)


def _is_message(data: bytes) -> bool:
    head = data[:4096].lower()
    return head.startswith((b"content-type:", b"mime-version:")) or (
        b"\nmime-version:" in head and not data.startswith(b"#")
    )


def _guess(data: bytes) -> str:
    for start, kind in _BY_FIRST_LINE.items():
        if data.startswith(start):
            return kind
    return ""


def _unpacked(data: bytes, what: str) -> bytes:
    if not data.startswith(_GZIP):
        return data
    try:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        found = unpacker.decompress(data, _UNPACKED_LIMIT)
    except (zlib.error, gzip.BadGzipFile) as error:
        raise Refused(f"{what} is not whole gzip: {error}") from error
    if unpacker.unconsumed_tail:
        raise Refused(f"{what} unpacks to more than {_UNPACKED_LIMIT} bytes")
    if not unpacker.eof:
        raise Refused(f"{what} is not whole gzip: it ends early")
    return found
