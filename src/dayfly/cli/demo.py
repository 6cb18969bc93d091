"""`dayfly demo`: run the example job by a scheduled tick on this folder's local cloud; with `--break`, run it by hand with a fault.

The project is examples/pi, which the package contains. A copy with a short time limit is written to .dayfly/demo. demo_result.py
makes the last lines of its screen.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import click

import dayfly
from dayfly.cli import deploy, faults, launching, local_cloud, output, target, workspace
from dayfly.cli.demo_result import Result
from dayfly.cli.follow import receipt_of, watch
from dayfly.cli.live_view import LiveView
from dayfly.cli.options import guest_option, json_option
from dayfly.core import names
from dayfly.core.facts import Facts, NoAttempt
from dayfly.core.model import Project
from dayfly.errors import DayflyError, FileError
from dayfly.flows import calls, read
from dayfly.project.deploy.schedules import remove_schedules
from dayfly.project.file import config
from dayfly.project.runs import results
from dayfly.project.runs.details import out_prefix
from dayfly.project.screens.outcome import outcome_of

JOB = "pi"
_UTC = ZoneInfo("UTC")
_DELIVERY_S = 30
_NOT_COPIED = ("__pycache__", ".*", "tests", "dayfly.toml", "dist")
_SLOWER_IN_A_VM = 3

_FILE = """# Written by `dayfly demo` from the example, and written anew by each demo.
project = "pi-demo"
regions = ["eu-west-1"]

[jobs.pi]
command    = "pie {seconds} out/pi.txt"
schedule   = "* * * * *"
servers    = ["c8g.large"]
market     = "spot-first"
time_limit = "{limit}s"
outputs    = ["out/pi.txt", "out/pi.json"]
"""


@click.command("demo")
@click.option("--seconds", type=click.IntRange(1, 600), default=10, show_default=True, help="how long pi is computed")
@click.option(
    "--break",
    "fault",
    type=click.Choice(list(faults.FAULTS)),
    help="kill the agent, hang the job, panic the kernel or reboot, and see the server go (the last two: --guest vm)",
)
@guest_option
@json_option
def demo_command(seconds: int, fault: str | None, guest: str | None, as_json: bool) -> int:
    """Run the example job here: a scheduled tick, one server, a result, the server gone. Takes about a minute."""
    folder = Path.cwd()
    running = local_cloud.running(folder)
    if fault:  # refuse it before anything is started or built
        faults.refuse(fault, guest or _guest_of(running))
    match running:
        case local_cloud.LocalCloud() as cloud:
            local_cloud.require_guest(cloud, guest)
        case None:
            temporary = local_cloud.TemporaryCloud(
                folder, local_cloud.REGION, ticks=True, guest=guest or local_cloud.PROCESS
            )
            cloud = click.get_current_context().with_resource(temporary)
    demo = Demo(folder=folder, cloud=cloud, seconds=seconds, fault=fault, as_json=as_json)
    return demo.run()


def _guest_of(running: local_cloud.LocalCloud | None) -> str:
    return running.guests if running else local_cloud.PROCESS


@dataclass(frozen=True, kw_only=True)
class Demo:
    """One demo in a folder. `fault` is what `--break` names."""

    folder: Path
    cloud: local_cloud.LocalCloud
    seconds: int
    fault: str | None
    as_json: bool

    @property
    def home(self) -> Path:
        """The folder of the demo's project."""
        return self.folder / ".dayfly" / "demo"

    def run(self) -> int:
        """Run the job and print how it went. Returns the exit code: 0 if everything went as promised."""
        project = self._write_project()
        where = target.local(self.cloud, project.regions[0])
        if self.fault:
            facts = self._run_by_hand(where, project, self.fault)
        else:
            facts = self._run_by_schedule(where, project)
        result = self._result(where, project, facts)
        if self.as_json:
            output.document(result.document())
        else:
            output.line()
            output.lines(result.lines(self._next()))
        return 0 if result.good else 1

    def _write_project(self) -> Project:
        """Copy the example and write its dayfly.toml."""
        if self.home.exists():
            shutil.rmtree(self.home)
        shutil.copytree(_example(), self.home, ignore=shutil.ignore_patterns(*_NOT_COPIED))
        text = self._file()
        (self.home / workspace.FILE).write_text(text, encoding="utf-8")
        return config.read(text, zones=ZoneInfo, now=datetime.now(UTC), allow_short_margin=True)

    def _file(self) -> str:
        guest = self.cloud.guests
        if self.fault:
            return faults.file(self.fault, guest)
        # The command's time, a third more for a busy machine, and 30 s to load and save.
        limit = max(60, self.seconds * 4 // 3 + 30)
        if guest == local_cloud.VM:
            limit *= _SLOWER_IN_A_VM
        return _FILE.format(seconds=self.seconds, limit=limit)

    def _run_by_schedule(self, where: target.Target, project: Project) -> Facts:
        """Run the job by the schedule's next tick, then leave the project deployed without a schedule."""
        self._print_title(where, project, "every minute")
        deploy.quietly(where, project, home=self.home)
        run = names.RunName(JOB, _next_minute())
        view = LiveView(_UTC, as_json=self.as_json, tenths=True)
        waiting = f"waiting for the tick of {run.tick:%H:%M:%S} UTC"
        view.below(waiting)
        if not view.on_terminal:
            output.note(f"  {waiting}")
        _sleep_until(run.tick)
        _wait_for_claim(where, project, run)
        # The tick of the next minute would start a second server while the first is shown.
        where.interpreter(project.name).run(remove_schedules())
        facts = watch(where, project, run, view)
        # Without a schedule no later minute is reported as missed.
        by_hand = {name: replace(job, schedule=()) for name, job in project.jobs.items()}
        deploy.quietly(where, replace(project, jobs=by_hand), home=self.home)
        return facts

    def _run_by_hand(self, where: target.Target, project: Project, fault: str) -> Facts:
        """Run the job that breaks its server."""
        self._print_title(where, project, "by hand", f"; {faults.FAULTS[fault].words}")
        deploy.quietly(where, project, home=self.home)
        answer = launching.send(where, project.name, {"job": JOB})
        run = names.run_name(str(answer["run"]))
        return watch(where, project, run, LiveView(_UTC, as_json=self.as_json, tenths=True))

    def _print_title(self, where: target.Target, project: Project, how: str, fault: str = "") -> None:
        job = project.jobs[JOB]
        machine = self.cloud.machine
        if cores := self.cloud.facts.get("cores"):
            machine = f"{cores} cores, {machine}"
        text = f"{JOB}, {how}, on {job.servers[0]}{fault} (simulated by this machine: {machine})"
        target.announce(where, as_json=self.as_json)
        output.status(output.labelled("job", f"{text}, time limit {job.time_limit_s} s"), as_json=self.as_json)
        output.status("", as_json=self.as_json)
        if self.cloud.facts.get("accelerator") == "tcg":
            output.note(
                "  processors are emulated: a server takes tens of seconds to boot, its job runs several times slower"
            )

    def _result(self, where: target.Target, project: Project, facts: Facts) -> Result:
        outcome = outcome_of(facts, local=True)
        fetched = self._fetch(where, project, facts) if outcome.succeeded else None
        return Result(
            facts=facts,
            outcome=outcome,
            receipt=receipt_of(where, project, facts),
            folder=fetched,
            servers_left=_servers_left(where, project),
            fault=self.fault,
        )

    def _fetch(self, where: target.Target, project: Project, facts: Facts) -> Path | None:
        """Download the run's files, and return their folder relative to the demo's folder."""
        attempt = facts.attempt
        if isinstance(attempt, NoAttempt):
            return None
        to = Path(".dayfly/results") / str(facts.run)
        prefix = out_prefix(facts.run, attempt)
        with results.arriving(self.folder / to) as arrived:
            where.interpreter(project.name).run(results.fetch(attempt.outputs, arrived, prefix))
        return to

    def _next(self) -> str:
        if self.fault != "agent":
            return f"dayfly show {JOB} --local"
        if self.cloud.guests == local_cloud.VM:
            return "dayfly demo --break hang --guest vm"
        return "dayfly demo --break hang"


def _example() -> Path:
    """Return the folder of examples/pi, in the installed package or in a clone. Raises FileError if it is in neither."""
    package = Path(dayfly.__file__).parent
    for place in (package / "examples" / "pi", package.parents[1] / "examples" / "pi"):
        if (place / "pyproject.toml").is_file():
            return place
    raise FileError("the demo's project is not in this installation", hint="reinstall dayfly")


def _next_minute() -> datetime:
    return datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)


def _sleep_until(moment: datetime) -> None:
    while (left := (moment - datetime.now(UTC)).total_seconds()) > 0:
        time.sleep(min(left, 0.5))


def _wait_for_claim(where: target.Target, project: Project, run: names.RunName) -> None:
    """Wait until the tick was delivered. Raises DayflyError if it was not."""
    interpreter = where.interpreter(project.name)
    until = time.monotonic() + _DELIVERY_S
    while not interpreter.run(read.exists(names.claim_key(run))):
        if time.monotonic() > until:
            raise DayflyError(f"the tick of {names.utc_text(run.tick)} was not delivered within {_DELIVERY_S} s")
        time.sleep(0.1)


def _servers_left(where: target.Target, project: Project) -> int:
    servers = where.interpreter(project.name).answer(calls.ListServers())
    return sum(not server.gone for server in servers)
