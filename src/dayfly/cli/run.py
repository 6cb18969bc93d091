"""`dayfly run JOB`: start a run by hand through the launcher, and with `--wait` watch it to its end.

`follow` is the watching itself; retry and the demo use it too. It returns from the facts: the CLI takes the later steps of the run
itself and does not wait for the next sweep.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import click

from dayfly.cli import deploy, launching, say, target
from dayfly.cli.find import zone_of
from dayfly.cli.main import CTRL_C, dayfly_command, guest_option, json_option, local_option
from dayfly.cli.watch import Watcher
from dayfly.core import names
from dayfly.core.facts import Facts
from dayfly.core.model import Deployed, Project
from dayfly.core.step import State
from dayfly.errors import DayflyError, FileError, NotFoundError, Unclear
from dayfly.flows import calls
from dayfly.flows.walk import Walked, walk
from dayfly.project.deploy.versions import deployed
from dayfly.project.runs import references
from dayfly.project.screens import end_lines, ending

_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LOCAL_POLL_S, AWS_POLL_S = 0.2, 3.0
PATIENCE_S = 420
"""So long without one step before the watching gives up: longer than a sweep takes to come by."""


@dayfly_command.command("run")
@click.argument("job", metavar="JOB")
@click.option("--wait", is_flag=True, help="watch it to its end; exit 0 only when it succeeded")
@click.option("--env", "pairs", multiple=True, metavar="KEY=VALUE", help="a value for this run only; recorded")
@click.option("--publish", is_flag=True, help="let a good result become `latest`")
@guest_option
@local_option
@json_option
def run_command(
    job: str, wait: bool, pairs: tuple[str, ...], publish: bool, guest: str | None, use_local: bool, as_json: bool
) -> int:
    """Run a job now, by hand."""
    env = _env(pairs)
    project = target.project()
    job = references.known_job(job, project.jobs)
    where = target.for_run(project, use_local=use_local, wait=wait, guest=guest)
    target.announce(where, as_json=as_json)
    note = _code_note(where, project, job)
    if note and not as_json:
        say.answer(say.labelled("code", note))
    answer = launching.send(where, project.name, {"job": job, "env": env, "publish": publish})
    run = names.run_name(str(answer["run"]))
    if not as_json:
        latest = "`latest` moves if it is good" if publish else "`latest` will not move (--publish moves it)"
        say.answer(say.labelled("run", f"{run}, by hand: {latest}"))
        say.answer()
    if wait:
        return follow(where, project, run, as_json=as_json)
    return _started(where, run, answer, as_json=as_json)


def _env(pairs: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not _ENV.fullmatch(key):
            raise FileError(f"--env takes KEY=VALUE, not {pair!r}")
        if key.startswith("DAYFLY_"):
            raise FileError(f"--env {key}: DAYFLY_* are set by dayfly")
        found[key] = value
    return found


def _code_note(where: target.Target, project: Project, job: str) -> str:
    """Which code will run: what is deployed; locally the folder is deployed first."""
    if where.local is not None:
        deploy.quietly(where, project)
        return ""
    there = where.interpreter(project.name).run(deployed(where.scope(project.name))).get(job)
    if not isinstance(there, Deployed):
        raise NotFoundError(f"{job} is not deployed", hint="dayfly deploy")
    code = there.code
    commit = f"commit {code.commit[:7]}{' and changes' if code.dirty else ''}, " if code and code.commit else ""
    return f"{commit}as deployed {names.utc_text(there.effective_from)}; your folder runs only after a deploy, or with --local"


def _started(where: target.Target, run: names.RunName, answer: Mapping[str, Any], *, as_json: bool) -> int:
    if as_json:
        say.document({"target": where.facts(), **answer})
    elif answer.get("decision") != "run":
        say.answer(say.labelled(str(answer.get("decision")), f"{run}: {answer.get('why')}"))
    else:
        say.answer(say.labelled("server", str(answer.get("server") or "none yet; the sweeper asks again")))
    if not as_json:
        say.answer(say.labelled("next", f"dayfly logs {run.job} -f{' --local' if where.local else ''}"))
    return 0 if answer.get("decision") == "run" else 1


@dataclass
class Seen:
    """What a watch saw last: the walk, and how often it could not look."""

    walked: Walked | None = None
    unclear: int = 0
    changed: float = field(default_factory=time.monotonic)


def follow(
    where: target.Target, project: Project, run: names.RunName, *, as_json: bool, attempt: int = 1, tenths: bool = False
) -> int:
    """Watches a run to its end and says how it ended. Returns the exit code: 0 only when it succeeded."""
    zone = zone_of(project, run.job)
    try:
        facts = watch(where, project, run, Watcher(zone, as_json=as_json, tenths=tenths, attempt=attempt))
    except KeyboardInterrupt:
        local = " --local" if where.local else ""
        if where.local is not None and where.local.started_here:
            say.note("ended: the local cloud that this command started goes with it, and its servers too")
        else:
            say.note(f"still running. Watch: dayfly logs {run.job} -f{local}   End it: dayfly cancel {run}{local}")
        return CTRL_C
    end = ending(facts, local=where.local is not None)
    receipt = receipt_of(where, project, facts)
    if as_json:
        say.document({"target": where.facts(), **end.document(), "receipt": receipt, "log": _last_lines(facts)})
    else:
        say.answer()
        say.answers(end_lines(facts, zone, receipt, local=where.local is not None))
    return end.exit_code


def watch(where: target.Target, project: Project, run: names.RunName, watcher: Watcher) -> Facts:
    """Shows each step as its fact appears and takes the later ones, until nothing is left to do. Raises Unclear in the end."""
    interpreter, actor = where.interpreter(project.name), where.actor(project.name)
    seen = Seen()
    while True:
        try:
            walked = interpreter.run(walk(run, actor))
            seen.unclear = 0
        except Unclear:
            seen.unclear += 1
            if seen.unclear > 20:
                raise
        else:
            if watcher.show(walked.facts) or _is_running(walked):
                seen.changed = time.monotonic()
            if walked.step.state is State.FINISHED:
                watcher.clear()
                return walked.facts
            if watcher.live:
                watcher.below(_booting(walked.facts) or _newest_line(where, project, walked.facts))
        if time.monotonic() - seen.changed > PATIENCE_S:
            raise Unclear(f"{run} has not moved for {PATIENCE_S // 60} minutes", hint=f"dayfly show {run}")
        time.sleep(LOCAL_POLL_S if where.local else AWS_POLL_S)


def _is_running(walked: Walked) -> bool:
    return walked.step.state is State.RUNNING


def receipt_of(where: target.Target, project: Project, facts: Facts) -> dict[str, Any] | None:
    """The stored receipt of the newest attempt, or None."""
    if facts.attempt is None:
        return None
    key = names.attempt_key(facts.run, facts.attempt.number, "receipt")
    stored = where.interpreter(project.name).answer(calls.Get(key))
    return json.loads(stored.body) if stored else None


def _booting(facts: Facts) -> str:
    """How long a server has been booting, while nothing else is known of it; else empty."""
    attempt = facts.attempt
    if attempt is None or attempt.elected is None:
        return ""
    if attempt.started or attempt.ended or attempt.closed:
        return ""
    began = attempt.elected.launched
    return f"the server boots and prepares, {max(0, (datetime.now(UTC) - began).total_seconds()):.0f} s"


def _newest_line(where: target.Target, project: Project, facts: Facts) -> str:
    """The newest line of the job's log so far; empty when there is none."""
    attempt = facts.attempt
    if attempt is None or attempt.elected is None or attempt.started is None:
        return ""
    interpreter = where.interpreter(project.name)
    prefix = names.out_prefix(facts.run, attempt.number, attempt.intent.role_id, attempt.elected.server)
    try:
        pieces = interpreter.answer(calls.List(f"{prefix}log/"))
        pieces = names.log_pieces(prefix, pieces)
        stored = interpreter.answer(calls.Get(pieces[-1])) if pieces else None
    except DayflyError:
        return ""
    lines = stored.body.decode(errors="replace").strip().splitlines() if stored else []
    return lines[-1] if lines else ""


def _last_lines(facts: Facts) -> list[str]:
    ended = facts.attempt.ended if facts.attempt else None
    return list(ended.log.last) if ended else []
