"""How an attempt ended, decided from its facts: outcome, reason, and what ended the server. Pure functions.

`succeeded` needs the agent's record, exit 0 and every declared output stored. What is not known is reported as unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from dayfly.core import report
from dayfly.core.facts import NOT_STORED, Attempt, NotShown, NotStored, Server, Unreadable
from dayfly.core.reasons import Cause, EndReason, Outcome
from dayfly.core.records import Cancel, Closed, Elected, Ended, EndOrder, NoServer, Started
from dayfly.core.step import Close

SWITCH_LINE = "dayfly switch: powering off:"
"""What a server's switch (remote/agent/boothook.sh) writes to the console before it powers the server off."""


_DIED = {
    # A server with an encrypted disk dies like this when EC2 may not use the key.
    "Client.InternalError": EndReason.DISK_KEY,
    "Client.InvalidSnapshot.NotFound": EndReason.IMAGE_GONE,
    "Client.VolumeLimitExceeded": EndReason.QUOTA,
    "Server.InsufficientInstanceCapacity": EndReason.NO_CAPACITY,
}
"""Why EC2 ends a server before it boots, by its StateReason code."""
_KEY_CODES = "Client.InvalidKMSKey"


class _End(NamedTuple):
    outcome: Outcome
    reason: str
    detail: str


def close(step: Close, console: tuple[str, ...], stored: Mapping[str, int], now: datetime, by: str) -> Closed:
    """Return the closing record of an attempt that has no live server.

    `console`: dayfly's lines on the server's console. `stored`: sizes by key of what the server stored as outputs.
    """
    attempt = step.closing
    match step.election:
        case NoServer() as no_server:
            end = _without_server(no_server)
            return Closed(
                at=now, by=by, **end._asdict(), server=None, gone=None, ended_by="there was no server", console=console
            )
        case Elected(server=server):
            end = _outcome(step, console, stored)
            return Closed(
                at=now,
                by=by,
                **end._asdict(),
                server=server,
                gone=_gone_at(attempt.server),
                ended_by=_ended_by(attempt, step.cancel, console),
                terminated=attempt.server.gone,
                exit=_exit_of(attempt.ended),
                console=console,
                ec2_code=attempt.server.reason_code,
                ec2_message=_only_message(attempt.server),
            )


def _gone_at(server: Server | NotShown) -> datetime | None:
    match server:
        case Server(gone=True, state_since=state_since):
            return state_since
    return None


def _exit_of(ended: Ended | NotStored) -> int | None:
    match ended:
        case Ended(exit=exit):
            return exit
    return None


def _without_server(no_server: NoServer) -> _End:
    if no_server.cause == Cause.CANCELLED:
        return _End(Outcome.CANCELLED, EndReason.CANCELLED, "before it had a server")
    return _End(Outcome.FAILED, no_server.reason, no_server.detail)


def _outcome(step: Close, console: tuple[str, ...], stored: Mapping[str, int]) -> _End:
    match step.closing.ended, step.cancel:
        case Ended() as ended, _:
            return _from_agent_report(step, ended, stored)
        case _, Cancel() | Unreadable():
            return _End(Outcome.CANCELLED, EndReason.CANCELLED, "its server was ended; the log so far is kept")
    return _without_agent_report(step.closing, console)


def _from_agent_report(step: Close, ended: Ended, stored: Mapping[str, int]) -> _End:
    """Return the outcome that the agent reported, if it agrees with the exit code and with what is stored."""
    outcome, cancel = ended.outcome, step.cancel
    if outcome == Outcome.CANCELLED and isinstance(cancel, NotStored):
        return _End(Outcome.FAILED, EndReason.UNKNOWN, "the agent reported a cancel, but nobody cancelled the run")
    if outcome == Outcome.SUCCEEDED and (ended.exit != 0 or ended.missing):
        return _End(Outcome.FAILED, EndReason.NOT_SAVED, "the agent reported success, but not exit 0 and every output")
    if outcome == Outcome.SUCCEEDED:
        lacking = report.why_not_saved(ended, step.declared, stored)
        if lacking:
            return _End(Outcome.FAILED, EndReason.NOT_SAVED, f"the agent reported success, but {lacking}")
    if outcome == Outcome.FAILED and not isinstance(cancel, NotStored) and ended.signal:
        return _End(Outcome.CANCELLED, EndReason.CANCELLED, ended.detail)
    return _End(outcome, ended.reason, ended.detail)


def _without_agent_report(attempt: Attempt, console: tuple[str, ...]) -> _End:
    """Return the end of an attempt whose agent stored no ended.json."""
    server = attempt.server
    went = "its server went away without reporting an end"
    for unreadable in attempt.unreadable:
        if unreadable.key.endswith("/ended.json"):
            went = f"its server went away, and what it reported cannot be used: {unreadable.why}"
    if not server.reason_code:
        detail = f"{went}; EC2 does not say why"
        return _End(Outcome.FAILED, EndReason.UNKNOWN, detail)
    if server.reason_code in ("Server.SpotInstanceTermination", "Server.SpotInstanceShutdown"):
        return _End(Outcome.FAILED, EndReason.INTERRUPTED, "EC2 took the spot server back")
    if isinstance(attempt.started, NotStored) and _died_of(server.reason_code):
        detail = f"EC2 ended its server before it booted: {_said(server)}"
        return _End(Outcome.FAILED, _died_of(server.reason_code), detail)
    began = "the job had not started"
    if isinstance(attempt.started, Started):
        began = "the job had started"
    detail = f"{went} ({_ended_by(attempt, NOT_STORED, console)}); {began}"
    return _End(Outcome.FAILED, EndReason.LOST, detail)


def _said(server: Server | NotShown) -> str:
    """Return why EC2 ended the server, in its words: `Client.InternalError: Client error on launch`."""
    return ": ".join(part for part in (server.reason_code, _only_message(server)) if part)


def _only_message(server: Server | NotShown) -> str:
    """Return EC2's message without the code, with which it often begins."""
    return server.reason_text.removeprefix(server.reason_code).removeprefix(": ")


def _died_of(code: str) -> str:
    """Return the reason for which EC2 ends a server before it boots; empty if this code does not say that."""
    if code.startswith(_KEY_CODES):
        return EndReason.DISK_KEY
    return _DIED.get(code, "")


def _ended_by(attempt: Attempt, cancel: Cancel | NotStored | Unreadable, console: tuple[str, ...]) -> str:
    match attempt.end_order, attempt.server:
        case EndOrder(by=by, why=why), _:
            return f"{by}: {why}"
        case _, Server() as server:
            return _by_ec2(attempt, server, cancel, console)
    return "unknown: EC2 no longer shows it"


def _by_ec2(attempt: Attempt, server: Server, cancel: Cancel | NotStored | Unreadable, console: tuple[str, ...]) -> str:
    """Return what ended the server, by the reason that EC2 gives."""
    if server.reason_code.startswith("Server.Spot"):
        return "EC2: spot capacity was taken back"
    if server.reason_code == "Client.UserInitiatedShutdown":
        return _ended_by_api_call(attempt, server, cancel)
    if server.reason_code == "Client.InstanceInitiatedShutdown":
        return _ended_by_itself(attempt, console)
    if server.reason_code:
        return f"EC2: {_said(server)}"
    return "unknown: EC2 gives no reason"


def _ended_by_api_call(attempt: Attempt, server: Server, cancel: Cancel | NotStored | Unreadable) -> str:
    if not isinstance(cancel, NotStored):
        return "cancel"
    if server.state_since is not None and server.state_since >= attempt.intent.deadline:
        return "kill schedule: past its deadline"
    return "TerminateInstances, not by dayfly"


def _ended_by_itself(attempt: Attempt, console: tuple[str, ...]) -> str:
    match attempt.ended:
        case Ended(outcome=Outcome.TIMED_OUT):
            return "agent: the job's time limit"
        case Ended(outcome=Outcome.CANCELLED):
            return "agent: cancelled"
        case Ended():
            return "agent: the job was over"
    for line in reversed(console):
        if SWITCH_LINE in line:
            return f"switch: {line.split(SWITCH_LINE, 1)[1].strip()}"
    return "the server powered itself off; its console does not say why"
