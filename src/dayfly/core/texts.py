"""Rules for texts from outside: an event, or dayfly.toml. Each rule returns what is wrong as words, or an empty string. Pure.

A lone surrogate cannot be stored in S3, and a control character breaks EC2's XML, a screen, or the job's environment.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

WORD_LENGTH = 256
"""The longest one-line text, such as the name of a person or of a request."""
TEXT_BYTES = 65_536
"""The longest text. Linux takes 128 KiB in an argument, and in a variable of the environment."""
VARIABLES_BYTES = 262_144
"""The most that all variables of a run may take, names and values. Lambda and Linux take more."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_RESERVED = re.compile(
    r"DAYFLY_.*|AWS_(?:REGION|DEFAULT_REGION|ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|PROFILE|DEFAULT_PROFILE|ROLE_ARN"
    r"|WEB_IDENTITY_.*|CONTAINER_.*|EC2_METADATA_.*|ENDPOINT_URL.*|CONFIG_FILE|SHARED_CREDENTIALS_FILE)"
)
_BREAKS = "\t\n\r"


def word_fault(text: str) -> str:
    """Return what is wrong with a one-line text."""
    if len(text) > WORD_LENGTH:
        return f"has more than {WORD_LENGTH} characters"
    return _character_fault(text, allowed="")


def text_fault(text: str) -> str:
    """Return what is wrong with a text that may have lines and tabs."""
    fault = _character_fault(text, allowed=_BREAKS)
    if not fault and len(text.encode()) > TEXT_BYTES:
        return f"has more than {TEXT_BYTES:,} bytes"
    return fault


def variable_fault(name: str) -> str:
    """Return what is wrong with the name of a variable that a user sets; also that it is one which dayfly sets."""
    if _RESERVED.fullmatch(name):
        return "is set by dayfly"
    if not _VARIABLE.fullmatch(name):
        return "is not a variable name: up to 128 letters, digits and _, and no digit first"
    return ""


def variables_fault(variables: Mapping[str, str]) -> str:
    """Return what is wrong with the size of all variables together."""
    if sum(len(name) + len(value.encode()) for name, value in variables.items()) > VARIABLES_BYTES:
        return f"has more than {VARIABLES_BYTES:,} bytes in all"
    return ""


def escaped(text: str) -> str:
    """Return the text on one line that any screen can show: control characters and surrogates are written as `\\x1b`."""
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if unicodedata.category(character) in ("Cc", "Cs"):
        return character.encode("unicode_escape").decode()
    return character


def _character_fault(text: str, allowed: str) -> str:
    for character in text:
        match unicodedata.category(character):
            case "Cs":
                return "has half of a surrogate pair, which is no character"
            case "Cc" if character not in allowed:
                return f"has the control character {escaped(character)}"
    return ""
