"""The errors that dayfly raises on purpose: one class per remedy, each with an exit code and a hint that names the next step.

    DayflyError
      FileError        2   dayfly.toml or the command line is wrong; nothing was done
      RightsError      3   no valid credentials, or a permission is missing
      NotFoundError    4   no such job or run, or more than one matches
      SupplyError      5   AWS did not supply it: capacity, quota, image, cap
      LeftError        6   something is left over, or still to be done
      Unclear          6   AWS gave no clear answer: whether it happened is unknown; repeating it is safe
      Refused          5   AWS refused a call for another reason; it did not happen

A run that did not succeed is exit 1 and not an error. Any other exception is a bug in dayfly (exit 70).
No I/O here, and no import of dayfly.
"""

from __future__ import annotations


class DayflyError(Exception):
    """Parent of all errors here. `lines`: further lines (label, text) below the message, such as where, why, do."""

    exit_code = 70
    label = "error"

    def __init__(self, message: str, *, hint: str = "", lines: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.lines = lines


class FileError(DayflyError):
    """The file or the command line is wrong. Remedy: fix it."""

    exit_code = 2


class RightsError(DayflyError):
    """The credentials are missing, invalid or lack a permission. Remedy: log in, or ask for the permission."""

    exit_code = 3


class NotFoundError(DayflyError):
    """No such job or run, or more than one matches. Remedy: use one of the names listed."""

    exit_code = 4


class SupplyError(DayflyError):
    """AWS did not supply it. Remedy: other server types, another market, a higher quota, another image."""

    exit_code = 5


class LeftError(DayflyError):
    """Something is left over or still to be done. Remedy: run the command named."""

    exit_code = 6


class Unclear(DayflyError):
    """AWS gave no clear answer (timeout, throttled, 5xx): it may have happened. Remedy: repeat the command."""

    exit_code = 6


class Refused(DayflyError):
    """AWS refused a call for a reason that has no class of its own. Remedy: see its message."""

    exit_code = 5
