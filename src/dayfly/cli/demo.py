"""`dayfly demo`: the main job, by a scheduled tick, on a local cloud of this folder; or the same with something broken.

The project it runs travels in the package (examples/pi); a copy with a short time limit is laid under .dayfly/demo.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

import dayfly
from dayfly.cli import deploy, faults, launching, local_cloud, output, target, workspace
from dayfly.cli.follow import receipt_of, watch
from dayfly.cli.live_view import LiveView
from dayfly.cli.options import guest_option, json_option
from dayfly.core import names
from dayfly.core.facts import Facts
from dayfly.core.model import Project
from dayfly.errors import DayflyError, FileError
from dayfly.flows import calls
from dayfly.project.deploy.deploy import Prepared
from dayfly.project.deploy.schedules import remove_schedules
from dayfly.project.file import config
from dayfly.project.runs import results
from dayfly.project.runs.details import out_prefix
from dayfly.project.screens.outcome import outcome_lines, outcome_of

JOB = "pi"
BOUND_S = 7 * 60
"""The promise: gone by the deadline, at the very latest 7 minutes after."""


@click.command("demo")
@click.option("--seconds", type=click.IntRange(1, 600), default=10, show_default=True, help="how long pi is computed")
@click.option(
    "--break",
    "broken",
    type=click.Choice(list(faults.FAULTS)),
    help="kill the agent, hang the job, panic the kernel, reboot, and see the server go (the last two: --guest vm)",
)
@guest_option
@json_option
def demo_command(seconds: int, broken: str | None, guest: str | None, as_json: bool) -> int:
    """Run the main job here: a scheduled tick, one server, a result, the server gone. About a minute."""
    folder = Path.cwd()
    running = local_cloud.running(folder)
    if broken:  # before anything is started or built
        faults.refuse(broken, guest or (running.guests if running else local_cloud.PROCESS))
    cloud = local_cloud.require_guest(running, guest) or click.get_current_context().with_resource(
        local_cloud.Held(folder, local_cloud.REGION, ticks=True, guest=guest or local_cloud.PROCESS)
    )
    shown = Demo(folder=folder, seconds=seconds, broken=broken, guest=cloud.guests, as_json=as_json)
    project = shown.project()
    where = target.local(cloud, project.regions[0])
    return shown.break_it(where, project) if broken else shown.run(where, project)


@dataclass(frozen=True, kw_only=True)
class Demo:
    """One demo in a folder."""

    folder: Path
    seconds: int
    broken: str | None
    guest: str
    as_json: bool

    @property
    def home(self) -> Path:
        """The demo's project."""
        return self.folder / ".dayfly" / "demo"

    def project(self) -> Project:
        """Lays the example's copy down, and reads it."""
        source = _example()
        if self.home.exists():
            shutil.rmtree(self.home)
        shutil.copytree(
            source, self.home, ignore=shutil.ignore_patterns("__pycache__", ".*", "tests", "dayfly.toml", "dist")
        )
        text = self._file()
        (self.home / workspace.FILE).write_text(text, encoding="utf-8")
        return config.read(text, zones=ZoneInfo, now=datetime.now(UTC), allow_short_margin=True)

    def _file(self) -> str:
        if self.broken:
            return faults.file(self.broken, self.guest)
        # The command's own time, a third more for a busy machine, and room to load and save; emulated, all of it takes longer.
        limit = max(60, self.seconds * 4 // 3 + 30)
        return _FILE.format(seconds=self.seconds, limit=limit * (3 if self.guest == local_cloud.VM else 1))

    def run(self, where: target.Target, project: Project) -> int:
        """The whole path, by the schedule."""
        self._title(where, project, f"every minute, on {project.jobs[JOB].servers[0]}")
        prepared = self._deploy(where, project)
        run = names.RunName(JOB, _next_tick(prepared))
        view = LiveView(ZoneInfo("UTC"), as_json=self.as_json, tenths=True)
        view.below(f"waiting for the tick of {names.utc_text(run.tick)[11:19]} UTC")
        if not view.on_terminal:
            output.note(f"  waiting for the tick of {names.utc_text(run.tick)[11:19]} UTC")
        _sleep_until(run.tick)
        # Only this tick: the next minute's would start a second server while the first is looked at.
        _wait_for_claim(where, project, run)
        where.interpreter(project.name).run(remove_schedules())
        facts = watch(where, project, run, view)
        # From now on by hand only: what is looked at later must not call each later minute missed.
        by_hand = {name: replace(job, schedule=()) for name, job in project.jobs.items()}
        self._deploy(where, replace(project, jobs=by_hand))
        return self._tell(where, project, facts)

    def break_it(self, where: target.Target, project: Project) -> int:
        """The same path with something broken; exit 0 when the server went as promised."""
        what = faults.FAULTS[str(self.broken)].words
        self._title(where, project, f"by hand, on {project.jobs[JOB].servers[0]}; {what}")
        self._deploy(where, project)
        answer = launching.send(where, project.name, {"job": JOB})
        run = names.run_name(str(answer["run"]))
        facts = watch(where, project, run, LiveView(ZoneInfo("UTC"), as_json=self.as_json, tenths=True))
        return self._tell(where, project, facts)

    def _title(self, where: target.Target, project: Project, how: str) -> None:
        assert where.local is not None
        job = project.jobs[JOB]
        cores = where.local.facts.get("cores")
        played = f"played by this machine: {f'{cores} cores, ' if cores else ''}{where.local.machine}"
        target.announce(where, as_json=self.as_json)
        line = output.labelled("job", f"{JOB}, {how} ({played}), time limit {job.time_limit_s} s")
        (output.note if self.as_json else output.line)(line)
        (output.note if self.as_json else output.line)("")
        if where.local.facts.get("accelerator") == "tcg":
            output.note(
                "  processors are emulated here: a server boots in tens of seconds, and its job runs several times slower"
            )

    def _deploy(self, where: target.Target, project: Project) -> Prepared:
        return deploy.quietly(where, project, home=self.home)

    def _tell(self, where: target.Target, project: Project, facts: Facts) -> int:
        receipt = receipt_of(where, project, facts)
        end = outcome_of(facts, local=True)
        left = _servers_left(where, project)
        attempt = facts.attempt
        fetched = self._fetch(where, project, facts) if end.succeeded else None
        digits = _digits(fetched)
        as_promised = left == 0 and _in_time(facts) and (not self.broken or _broke(self.broken, facts))
        code = (0 if as_promised else 1) if self.broken else (0 if end.succeeded and left == 0 and digits else 1)
        if self.as_json:
            output.document(_document(facts, receipt, fetched, digits, left, as_promised if self.broken else None))
            return code
        output.line()
        if end.succeeded and fetched is not None:
            output.line(_labelled("succeeded", _words(digits, facts)))
            output.line(_labelled("result", str(fetched / "out/pi.txt")))
        else:
            output.lines(
                line
                for line in outcome_lines(facts, ZoneInfo("UTC"), receipt, local=True)
                if not line.startswith(("next", "ended by"))
            )
        if self.broken and attempt is not None and attempt.closed is not None:
            verdict = "as promised" if as_promised else "NOT as promised"
            gone_by = f"gone by {attempt.intent.deadline:%H:%M:%S} at the latest"
            output.line(_labelled("ended by", f"{attempt.closed.ended_by}; {verdict}: {gone_by}"))
        output.line(_labelled("servers left", str(left)))
        output.line(_labelled("next", self._next()))
        return code

    def _next(self) -> str:
        again = " --guest vm" if self.guest == local_cloud.VM else ""
        return f"dayfly demo --break hang{again}" if self.broken == "agent" else f"dayfly show {JOB} --local"

    def _fetch(self, where: target.Target, project: Project, facts: Facts) -> Path:
        assert facts.attempt is not None
        assert facts.attempt.ended is not None
        to = Path(".dayfly/results") / str(facts.run)
        prefix = out_prefix(facts.run, facts.attempt) or ""
        with results.arriving(self.folder / to) as folder:
            where.interpreter(project.name).run(results.fetch(facts.attempt.ended.outputs, folder, prefix))
        return to


_FILE = """# Written by `dayfly demo` from the example; changed ones are laid anew each time.
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


def _example() -> Path:
    """examples/pi: in the installed package, or beside it in a clone. Raises FileError when it is in neither."""
    package = Path(dayfly.__file__).parent
    for place in (package / "examples" / "pi", package.parents[1] / "examples" / "pi"):
        if (place / "pyproject.toml").is_file():
            return place
    raise FileError("the demo's project is not in this installation", hint="reinstall dayfly")


def _next_tick(prepared: Prepared) -> datetime:
    """The first whole minute at which what was deployed is in force and the schedule is there."""
    now = datetime.now(UTC)
    assert prepared.plan.schedules
    return now.replace(second=0, microsecond=0) + timedelta(minutes=1)


def _sleep_until(moment: datetime) -> None:
    while (left := (moment - datetime.now(UTC)).total_seconds()) > 0:
        time.sleep(min(left, 0.5))


def _wait_for_claim(where: target.Target, project: Project, run: names.RunName) -> None:
    interpreter = where.interpreter(project.name)
    until = time.monotonic() + 30
    while interpreter.answer(calls.Get(names.claim_key(run))) is None:
        if time.monotonic() > until:
            raise DayflyError(f"the tick of {names.utc_text(run.tick)} was not delivered within 30 s")
        time.sleep(0.1)


def _labelled(label: str, text: str) -> str:
    return output.labelled(label, text, width=13)


def _servers_left(where: target.Target, project: Project) -> int:
    servers = where.interpreter(project.name).answer(calls.Servers())
    return sum(not server.gone for server in servers)


def _in_time(facts: Facts) -> bool:
    attempt = facts.attempt
    if attempt is None or attempt.closed is None:
        return False
    gone = attempt.closed.gone or attempt.closed.at
    return gone <= attempt.intent.deadline + timedelta(seconds=BOUND_S)


def _broke(way: str, facts: Facts) -> bool:
    closed = facts.attempt.closed if facts.attempt else None
    return closed is not None and faults.happened(way, closed.ended_by)


def _digits(fetched: Path | None) -> int | None:
    """The digits counted in the file itself; None when it is not one whole line that begins with `3.`"""
    if fetched is None:
        return None
    with (fetched / "out/pi.txt").open("rb") as file:
        body = file.read()
    whole = body.startswith(b"3.") and body.endswith(b"\n") and body[2:-1].isdigit()
    return len(body) - 3 if whole else None


def _words(digits: int | None, facts: Facts) -> str:
    """What pie itself said last, which names what it checked and never more."""
    ended = facts.attempt.ended if facts.attempt else None
    said = ended.log.last[-1] if ended and ended.log.last else ""
    if digits is None:
        return "but out/pi.txt is not a whole file of digits"
    return said if said.startswith(f"{digits:,} digits") else f"{digits:,} digits of pi"


def _document(
    facts: Facts,
    receipt: dict[str, Any] | None,
    fetched: Path | None,
    digits: int | None,
    left: int,
    promised: bool | None,
) -> dict[str, Any]:
    end = outcome_of(facts, local=True)
    times = dict((receipt or {}).get("times") or {})
    server = dict((receipt or {}).get("server") or {})
    document: dict[str, Any] = {
        **end.document(),
        "digits": digits,
        "result": str(fetched / "out/pi.txt") if fetched else None,
        "receipt": receipt,
        "tick": {"at": names.utc_text(facts.run.tick), "source": facts.claim.source if facts.claim else None},
        "times": {name: times.get(name) for name in _TIMES},
        "server": {
            "id": server.get("id"),
            "type": server.get("type"),
            "life_s": _between(times, "server_started", "server_gone"),
            "job_s": _between(times, "job_started", "job_ended"),
        },
        "servers_left": left,
    }
    if promised is not None:
        document |= {"ended_by": server.get("ended_by"), "as_promised": promised}
    return document


_TIMES = ("tick", "claimed", "server_started", "job_started", "job_ended", "stored", "server_gone")


def _between(times: dict[str, Any], start: str, end: str) -> float | None:
    if not times.get(start) or not times.get(end):
        return None
    spent = datetime.fromisoformat(times[end]) - datetime.fromisoformat(times[start])
    return round(spent.total_seconds(), 1)
