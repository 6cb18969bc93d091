"""`dayfly run JOB`: start a run by hand through the launcher; with `--wait`, watch it to its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import click

from dayfly.cli import deploy, launching, lookup, output, target, workspace
from dayfly.cli.find import zone_of
from dayfly.cli.follow import follow
from dayfly.cli.options import guest_option, json_option, local_option, wait_option
from dayfly.core import names, texts
from dayfly.core.model import Deployed, Project
from dayfly.core.reasons import Source
from dayfly.errors import FileError, NotFoundError
from dayfly.project import formatting
from dayfly.project.deploy.versions import deployed
from dayfly.project.runs import references, ticks


@click.command("run")
@click.argument("job", metavar="JOB")
@wait_option
@click.option(
    "--env",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="set an environment variable for this run; its value is recorded",
)
@click.option("--publish", is_flag=True, help="update `latest` if the run succeeds")
@click.option(
    "--tick",
    "tick",
    metavar="TIME",
    help="run this missed or past tick: a date or a time in the job's zone, or UTC with Z",
)
@guest_option
@local_option
@json_option
def run_command(
    job: str,
    wait: bool,
    pairs: tuple[str, ...],
    publish: bool,
    tick: str | None,
    guest: str | None,
    use_local: bool,
    as_json: bool,
) -> int:
    """Run a job now, or one of its ticks that did not run."""
    env = _env(pairs)
    if publish and tick is not None:
        raise FileError("--publish is not needed with --tick: a tick updates `latest` if it is newer")
    project = workspace.read_project()
    job = references.known_job(job, project.jobs)
    where = target.for_run(project, use_local=use_local, wait=wait, guest=guest)
    target.announce(where, as_json=as_json)
    code = _code_line(where, project, job)
    if code and not as_json:
        output.line(output.labelled("code", code))
    event = {"job": job, "env": env, "publish": publish}
    words = f"by hand: {_latest_words(publish=publish)}"
    if tick is not None:
        event |= _tick(where, project, job, tick)
        words = "a tick of its schedule: `latest` is updated if it succeeds and is newer"
    answer = launching.send(where, project.name, event)
    run = names.run_name(str(answer["run"]))
    if not as_json:
        output.line(output.labelled("run", f"{run}, {words}"))
        output.line()
    if wait or answer.get("outcome"):  # it is over already when EC2 gave no server
        return follow(where, project, run, as_json=as_json)
    return _print_started(where, run, answer, as_json=as_json)


def _tick(where: target.Target, project: Project, job: str, text: str) -> dict[str, str]:
    """Return the fields of the event for a tick that runs later. Raises FileError, or NotFoundError with the nearest ticks."""
    reference = ticks.parse(job, text)
    with lookup.local_hints(use_local=where.is_local):
        found = ticks.find_tick(reference, zone_of(project, job), project.keep_s, ZoneInfo)
        run = where.interpreter(project.name).run(found)
    return {"tick": names.utc_text(run.tick), "source": Source.BACKFILL}


def _env(pairs: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise FileError(f"--env takes KEY=VALUE, not {pair!r}")
        fault = texts.variable_fault(key) or texts.text_fault(value)
        if fault:
            raise FileError(f"--env {texts.escaped(key)}: {fault}")
        found[key] = value
    return found


def _latest_words(*, publish: bool) -> str:
    if publish:
        return "`latest` is updated if it succeeds"
    return "`latest` stays as it is (--publish updates it)"


def _code_line(where: target.Target, project: Project, job: str) -> str:
    """Return which deployed code will run. On the local cloud, deploy the folder first and return an empty string."""
    if where.is_local:
        deploy.quietly(where, project)
        return ""
    there = where.interpreter(project.name).run(deployed(where.scope(project.name))).get(job)
    if not isinstance(there, Deployed):
        raise NotFoundError(f"{job} is not deployed", hint="dayfly deploy")
    since = f"as deployed {names.utc_text(there.effective_from)}"
    advice = "changes in your folder run only after a deploy, or with --local"
    if there.code is None or not there.code.commit:
        return f"{since}; {advice}"
    changes = " and changes" if there.code.dirty else ""
    return f"commit {there.code.commit[:7]}{changes}, {since}; {advice}"


def _print_started(where: target.Target, run: names.RunName, answer: Mapping[str, Any], *, as_json: bool) -> int:
    """Print the launcher's answer. Returns the exit code: 0 if the run starts."""
    starts = answer.get("decision") in ("run", "waiting")
    exit_code = 0 if starts else 1
    if as_json:
        output.document({"target": where.facts(), **answer})
        return exit_code
    if answer.get("decision") == "run":
        output.line(output.labelled("server", str(answer.get("server") or "none yet; the sweeper asks again")))
    else:
        output.line(output.labelled(str(answer.get("decision")), f"{run}: {answer.get('why')}"))
    output.line(output.labelled("next", formatting.dayfly("logs", run.job, "-f", local=where.is_local)))
    return exit_code
