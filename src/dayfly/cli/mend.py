"""`dayfly retry RUN` and `dayfly cancel RUN`: another attempt, and the end of one."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import click

from dayfly.cli import launching, lookup, say, target
from dayfly.cli.find import find_run
from dayfly.cli.main import dayfly_command, json_option, local_option
from dayfly.cli.run import follow
from dayfly.core import names
from dayfly.core.records import Cancel, encode
from dayfly.core.step import State
from dayfly.errors import LeftError, NotFoundError
from dayfly.flows import calls
from dayfly.flows.gather import gather
from dayfly.flows.walk import Walked, walk

GONE_WITHIN_S = 60
"""So long `cancel` waits for EC2 to show the server as gone; what is still going then is the sweeper's."""


@dayfly_command.command("retry")
@click.argument("run_name", metavar="RUN")
@click.option("--same-code", is_flag=True, help="with the code of its last attempt, not with what is deployed now")
@click.option("--wait", is_flag=True, help="watch it to its end; exit 0 only when it succeeded")
@local_option
@json_option
def retry_command(run_name: str, same_code: bool, wait: bool, use_local: bool, as_json: bool) -> int:
    """One more attempt of a run that is over, with what is deployed now."""
    project = target.project()
    where = target.for_changes(project, use_local=use_local)
    target.announce(where, as_json=as_json)
    with lookup.hints(use_local=use_local):
        run = find_run(where, project, run_name)
        # A run whose server is gone may not be closed yet; the sweep need not be waited for.
        where.interpreter(project.name).run(walk(run, where.actor(project.name)))
    answer = launching.send(where, project.name, {"retry": str(run), "same_code": same_code})
    if wait:
        return follow(where, project, run, as_json=as_json, attempt=int(answer.get("attempt") or 1))
    if as_json:
        say.document({"target": where.facts(), **answer})
        return 0
    say.answer(
        say.labelled("run", f"{run}, attempt {answer.get('attempt')} on {answer.get('server') or 'no server yet'}")
    )
    say.answer(say.labelled("next", f"dayfly logs {run.job} -f{' --local' if use_local else ''}"))
    return 0


@dayfly_command.command("cancel")
@click.argument("run_name", metavar="RUN")
@local_option
@json_option
def cancel_command(run_name: str, use_local: bool, as_json: bool) -> int:
    """End a run that is going on: its server goes, its log so far is kept."""
    project = target.project()
    where = target.for_changes(project, use_local=use_local)
    target.announce(where, as_json=as_json)
    with lookup.hints(use_local=use_local):
        run = find_run(where, project, run_name)
    interpreter, actor = where.interpreter(project.name), where.actor(project.name)
    facts = interpreter.run(gather(run))
    if facts.opened is None:
        raise NotFoundError(f"{run} is over already", hint=f"dayfly show {run}")
    attempt = facts.opened.record.retry or (facts.attempt.number if facts.attempt else 1)
    record = Cancel(at=datetime.now(UTC), by=where.who)
    interpreter.answer(calls.PutNew(names.attempt_key(run, attempt, "cancel"), encode(record)))
    walked = interpreter.run(walk(run, actor))
    until = time.monotonic() + GONE_WITHIN_S
    while walked.step.state is not State.FINISHED and time.monotonic() < until:
        time.sleep(0.5 if where.local else 3)
        walked = interpreter.run(walk(run, actor))
    return _said(walked, run, as_json=as_json, where=where)


def _said(walked: Walked, run: names.RunName, *, as_json: bool, where: target.Target) -> int:
    attempt = walked.facts.attempt
    closed = attempt.closed if attempt else None
    if closed is None:
        raise LeftError(
            f"{run} is to be cancelled and its end is not seen yet: {walked.step.reason}",
            hint="the sweeper carries it on within 5 minutes: dayfly ps",
        )
    if as_json:
        say.document({"target": where.facts(), "run": str(run), "outcome": closed.outcome, "ended_by": closed.ended_by})
    else:
        say.answer(say.labelled(closed.outcome, f"{run}: {closed.detail or closed.ended_by}"))
        say.answer(say.labelled("next", f"dayfly logs {run.job}{' --local' if where.local else ''}"))
    return 0 if closed.outcome == "cancelled" else 1
