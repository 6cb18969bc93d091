"""How an attempt ended, judged from its facts: outcome, reason, and what ended the server. Pure.

`succeeded` needs the agent's record, exit 0 and every declared output stored. Anything unknown is called unknown.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from dayfly.core.facts import NOT_STORED, Attempt, NotShown, NotStored, Server
from dayfly.core.records import Cancel, Cause, Closed, Elected, Ended, EndOrder, EndReason, NoServer, Outcome, Started
from dayfly.core.step import Close

SWITCH_LINE = "dayfly switch: powering off:"


class _End(NamedTuple):
    outcome: Outcome
    reason: str
    detail: str


def close(step: Close, console: tuple[str, ...], now: datetime, by: str) -> Closed:
    """The closing record of an attempt whose server is gone, or that had none. `console`: what dayfly wrote to it."""
    attempt = step.ended
    match step.election:
        case NoServer() as none:
            end = _without_server(none)
            return Closed(
                at=now, by=by, **end._asdict(), server=None, gone=None, ended_by="there was no server", console=console
            )
        case Elected(server=server):
            end = _outcome(attempt, step.cancel, console)
            return Closed(
                at=now,
                by=by,
                **end._asdict(),
                server=server,
                gone=_gone_at(attempt.server),
                ended_by=_ended_by(attempt, step.cancel, console),
                exit=_exit_of(attempt.ended),
                console=console,
            )


def _gone_at(server: Server | NotShown) -> datetime | None:
    match server:
        case Server(gone=True, changed=changed):
            return changed
    return None


def _exit_of(ended: Ended | NotStored) -> int | None:
    match ended:
        case Ended(exit=exit):
            return exit
    return None


def _without_server(none: NoServer) -> _End:
    if none.cause == Cause.CANCELLED:
        return _End(Outcome.CANCELLED, EndReason.CANCELLED, "before it had a server")
    return _End(Outcome.FAILED, none.reason, none.detail)


def _outcome(attempt: Attempt, cancel: Cancel | NotStored, console: tuple[str, ...]) -> _End:
    match attempt.ended, cancel:
        case Ended() as ended, _:
            return _as_the_agent_says(ended, cancel)
        case _, Cancel():
            return _End(Outcome.CANCELLED, EndReason.CANCELLED, "its server was ended; the log so far is kept")
    return _without_agent(attempt, console)


def _as_the_agent_says(ended: Ended, cancel: Cancel | NotStored) -> _End:
    """The agent's own outcome, where it agrees with its exit code and outputs."""
    if ended.outcome not in tuple(Outcome):
        return _End(Outcome.FAILED, EndReason.UNKNOWN, f"the agent reported an unknown outcome: {ended.outcome}")
    outcome = Outcome(ended.outcome)
    if outcome == Outcome.SUCCEEDED and (ended.exit != 0 or ended.missing):
        return _End(Outcome.FAILED, EndReason.NOT_SAVED, "the agent reported success, but not exit 0 and every output")
    if outcome == Outcome.FAILED and isinstance(cancel, Cancel) and ended.signal:
        return _End(Outcome.CANCELLED, EndReason.CANCELLED, ended.detail)
    return _End(outcome, ended.reason, ended.detail)


def _without_agent(attempt: Attempt, console: tuple[str, ...]) -> _End:
    """The end of a server whose agent stored no ended.json."""
    server = attempt.server
    if not server.reason_code:
        detail = "its server went away without reporting an end; EC2 does not say why"
        return _End(Outcome.FAILED, EndReason.UNKNOWN, detail)
    if server.reason_code in ("Server.SpotInstanceTermination", "Server.SpotInstanceShutdown"):
        return _End(Outcome.FAILED, EndReason.INTERRUPTED, "EC2 took the spot server back")
    began = "the job had not started"
    if isinstance(attempt.started, Started):
        began = "the job had started"
    detail = f"its server went away without reporting an end ({_ended_by(attempt, NOT_STORED, console)}); {began}"
    return _End(Outcome.FAILED, EndReason.LOST, detail)


def _ended_by(attempt: Attempt, cancel: Cancel | NotStored, console: tuple[str, ...]) -> str:
    match attempt.end_order, attempt.server:
        case EndOrder(by=by, why=why), _:
            return f"{by}: {why}"
        case _, Server() as server:
            return _by_ec2(attempt, server, cancel, console)
    return "unknown: EC2 no longer shows it"


def _by_ec2(attempt: Attempt, server: Server, cancel: Cancel | NotStored, console: tuple[str, ...]) -> str:
    """What ended the server, by the reason that EC2 gives."""
    if server.reason_code.startswith("Server.Spot"):
        return "EC2: spot capacity was taken back"
    if server.reason_code == "Client.UserInitiatedShutdown":
        return _from_outside(attempt, server, cancel)
    if server.reason_code == "Client.InstanceInitiatedShutdown":
        return _from_inside(attempt, console)
    if server.reason_code:
        return f"EC2: {server.reason_code}"
    return "unknown: EC2 gives no reason"


def _from_outside(attempt: Attempt, server: Server, cancel: Cancel | NotStored) -> str:
    if isinstance(cancel, Cancel):
        return "cancel"
    if server.changed is not None and server.changed >= attempt.intent.deadline:
        return "kill schedule: past its deadline"
    return "TerminateInstances, not by dayfly"


def _from_inside(attempt: Attempt, console: tuple[str, ...]) -> str:
    match attempt.ended:
        case Ended(outcome=Outcome.TIMED_OUT):
            return "agent: the job's time limit"
        case Ended():
            return "agent: the job was over"
    for line in reversed(console):
        if SWITCH_LINE in line:
            return f"switch: {line.split(SWITCH_LINE, 1)[1].strip()}"
    return "the server powered itself off; its console does not say why"
