"""The errors that dayfly raises on purpose: one class per remedy, each with an exit code and a hint that names the next step.

    DayflyError
      FileError        2   dayfly.toml or the command line is wrong; nothing was done
      RightsError      3   no valid credentials, or a permission is missing
      NotFoundError    4   no such job or run, or more than one matches
      SupplyError      5   AWS has no server, quota or image for it now
      Refused          5   AWS refused a call for a reason without a class of its own; the call had no effect
      UnfinishedError  6   something is left over, or still to be done
        Vanished       6   another command deleted what this one uses: the bucket, the stack or its schedules
      Unclear          6   AWS gave no clear answer: the call may have had its effect; repeating it is safe

A run that did not succeed is exit 1 and not an error. Any other exception is a bug in dayfly (exit 70).
No I/O here, and nothing from dayfly is imported.
"""

from __future__ import annotations


class DayflyError(Exception):
    """Base class of all errors here. `lines`: pairs of a label and a text, such as ("why", ...), shown below the message."""

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
    """No such job or run, more than one matches, or it is in the wrong state. Remedy: do what the message says."""

    exit_code = 4


class SupplyError(DayflyError):
    """AWS has no server, quota or image for it now. Remedy: other server types, another market, a higher quota, another image."""

    exit_code = 5


class UnfinishedError(DayflyError):
    """Something is left over or still to be done. Remedy: run the command named."""

    exit_code = 6


class Vanished(UnfinishedError):
    """The bucket, the stack or the schedule group was deleted during the command. Remedy: run it again when the other one is done."""


class Unclear(DayflyError):
    """AWS gave no clear answer (timeout, throttled, 5xx): it may have happened. Remedy: repeat the command."""

    exit_code = 6


class Refused(DayflyError):
    """AWS refused a call for a reason that has no class of its own. Remedy: see its message."""

    exit_code = 5
