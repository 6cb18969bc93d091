"""Watch a run until its end, for `run --wait`, `retry --wait` and the demo.

Meanwhile the CLI takes the run's later steps itself, instead of waiting for the next sweep.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dayfly.cli import local_cloud, output, target
from dayfly.cli.find import zone_of
from dayfly.cli.live_view import LiveView
from dayfly.core import names
from dayfly.core.facts import Attempt, Facts, NotStored, Unreadable
from dayfly.core.model import Project
from dayfly.core.records import Elected, Started
from dayfly.core.states import State
from dayfly.errors import DayflyError, Unclear
from dayfly.flows import calls
from dayfly.flows.walk import walk
from dayfly.project import formatting
from dayfly.project.runs.details import stored_receipt
from dayfly.project.runs.logs import log_pieces
from dayfly.project.screens.outcome import outcome_lines, outcome_of

LOCAL_POLL_S, AWS_POLL_S = 0.2, 3.0
PATIENCE_S = 420
"""Watching gives up after this long without a step. It is longer than the interval of the sweeper."""
_UNCLEAR_IN_A_ROW = 20
_MAY_LAST = (State.RUNNING, State.WAITS_FOR_SLOT)
"""The states in which a run takes no step for as long as a job runs: its own, or that of the run that holds the slot."""


def follow(where: target.Target, project: Project, run: names.RunName, *, as_json: bool, attempt: int = 1) -> int:
    """Watch a run to its end and print how it ended. Returns the exit code: 0 only if it succeeded."""
    zone = zone_of(project, run.job)
    is_local = where.is_local
    try:
        facts = watch(where, project, run, LiveView(zone, as_json=as_json, attempt=attempt))
    except KeyboardInterrupt:
        output.note(_interrupted(where, run))
        raise
    end = outcome_of(facts, local=is_local)
    receipt = receipt_of(where, project, facts)
    if as_json:
        output.document(
            {"target": where.facts(), **end.document(), "receipt": receipt or None, "log": _last_lines(facts)}
        )
    else:
        output.line()
        output.lines(outcome_lines(facts, zone, receipt_stored=bool(receipt), local=is_local))
    return end.exit_code


def _interrupted(where: target.Target, run: names.RunName) -> str:
    """Return what still runs after Ctrl-C, or what ended with it."""
    match where.local:
        case local_cloud.LocalCloud(started_here=True):
            return "ended: the local cloud that this command started, and its servers"
    local = where.is_local
    watching = formatting.dayfly("logs", run.job, "-f", local=local)
    return f"still running. Watch: {watching}   End it: {formatting.dayfly('cancel', str(run), local=local)}"


def watch(where: target.Target, project: Project, run: names.RunName, view: LiveView) -> Facts:
    """Show each step when its fact appears, and take the steps that are due, until the run is finished. Returns its facts.

    Raises Unclear if AWS gives no clear answer many times in a row, or if the run takes no step for PATIENCE_S.
    """
    interpreter, actor = where.interpreter(project.name), where.actor(project.name)
    poll_s = LOCAL_POLL_S if where.is_local else AWS_POLL_S
    unclear = 0
    last_step = time.monotonic()
    while True:
        try:
            walked = interpreter.run(walk(run, actor))
        except Unclear:
            unclear += 1
            if unclear > _UNCLEAR_IN_A_ROW:
                raise
        else:
            unclear = 0
            if view.show(walked.facts) or walked.step.state in _MAY_LAST:
                last_step = time.monotonic()
            if walked.step.settled:
                view.clear()
                return walked.facts
            if view.on_terminal:
                view.below(_booting(walked.facts) or _newest_line(where, project, walked.facts))
        if time.monotonic() - last_step > PATIENCE_S:
            raise Unclear(f"{run} has taken no step for {PATIENCE_S // 60} minutes", hint=f"dayfly show {run}")
        time.sleep(poll_s)


def receipt_of(where: target.Target, project: Project, facts: Facts) -> Mapping[str, Any]:
    """Return the stored receipt of the newest attempt; empty if there is none."""
    receipt = where.interpreter(project.name).run(stored_receipt(facts))
    if isinstance(receipt, NotStored | Unreadable):
        return {}
    return receipt


def _booting(facts: Facts) -> str:
    """Return how long the server has been booting; empty if its agent has reported anything."""
    match facts.attempt:
        case Attempt(election=Elected(launched=began), started=NotStored(), ended=NotStored(), closed=NotStored()):
            seconds = max(0, (datetime.now(UTC) - began).total_seconds())
            return f"the server boots and prepares, {seconds:.0f} s"
    return ""


def _newest_line(where: target.Target, project: Project, facts: Facts) -> str:
    """Return the newest line of the job's log; empty if there is none."""
    match facts.attempt:
        case Attempt(started=Started()) as attempt:
            try:
                piece = _newest_piece(where, project, facts.run, attempt)
            except DayflyError:  # the line is a convenience; the next poll may get it
                return ""
            return "".join(piece.decode(errors="replace").strip().splitlines()[-1:])
    return ""


def _newest_piece(where: target.Target, project: Project, run: names.RunName, attempt: Attempt) -> bytes:
    interpreter = where.interpreter(project.name)
    pieces = interpreter.run(log_pieces(run, attempt))
    stored = interpreter.answer(calls.Get(pieces[-1])) if pieces else None
    return stored.body if stored else b""


def _last_lines(facts: Facts) -> list[str]:
    return list(facts.attempt.log.last)
