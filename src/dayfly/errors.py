"""Every way dayfly says no: one class per remedy, each with its exit code and a hint that names the next step.

    DayflyError
      FileError        2   dayfly.toml or the command line is wrong; nothing was done
      RightsError      3   no credentials that work, or they may not
      NotFoundError    4   no such job or run, or two fit
      SupplyError      5   AWS did not give it: capacity, quota, image, cap
      LeftError        6   something is left, or is still to be done
      Unclear          6   AWS gave no clear answer; whether it happened is unknown; doing it again is safe
      RunFailed        1   the run did not succeed
      Refused          5   AWS refused a call for a reason of its own; it did not happen

Anything else that is raised is a bug of ours (exit 70). No I/O here, no import of dayfly.
"""

from __future__ import annotations


class DayflyError(Exception):
    """Base of all refusals. `lines` are further lines (label, text) below the first: where, why, do."""

    exit_code = 70
    label = "error"

    def __init__(self, message: str, *, hint: str = "", lines: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.lines = lines


class FileError(DayflyError):
    """The file or the command line is wrong. Remedy: mend it."""

    exit_code = 2


class RightsError(DayflyError):
    """No credentials that work, or they lack a right. Remedy: log in, or ask for the right."""

    exit_code = 3


class NotFoundError(DayflyError):
    """No such job or run, or more than one fits. Remedy: one of the names listed."""

    exit_code = 4


class SupplyError(DayflyError):
    """AWS did not give it. Remedy: other types, another market, a quota, an image."""

    exit_code = 5


class LeftError(DayflyError):
    """Something is left or still to be done. Remedy: the command named."""

    exit_code = 6


class Unclear(DayflyError):
    """AWS gave no clear answer (timeout, throttled, 5xx): it may have happened. Remedy: the same again."""

    exit_code = 6


class Refused(DayflyError):
    """AWS refused a call, definitely, for a reason that has no class of its own. Remedy: its own words."""

    exit_code = 5


class RunFailed(DayflyError):
    """The run ended without success. Remedy: its log."""

    exit_code = 1
