"""Take out of EC2's messages what must not be stored: encoded authorization messages, and the names of people. Pure.

An encoded message names the caller and the policies, for all who may decode it. A person's name is
in the ARN of a user or of a role's session. The names of roles stay: they say which policy lacks something.
"""

from __future__ import annotations

import re

LONGEST = 500
"""EC2's messages are shorter, once scrubbed."""

_ENCODED = re.compile(r"\s*Encoded authorization failure message:?\s*[\w+/=.-]*")
_SESSION = re.compile(r"(:assumed-role/[\w+=,.@-]{1,64})/[\w+=,.@-]+")
_USER = re.compile(r"arn:aws[a-z-]*:(?:iam|sts)::[0-9]*:(?:user|federated-user)/[\w+=,.@/-]*[\w+=,@-]")
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]*[\w-]")


def scrub(message: str) -> str:
    """Return a message of EC2 in one printable line, without what must not be stored."""
    text = _ENCODED.sub("", message)
    text = _SESSION.sub(r"\1", text)
    text = _USER.sub("a user", text)
    text = _EMAIL.sub("a person", text)
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    if len(line) > LONGEST:
        return f"{line[: LONGEST - 3]}..."
    return line
