"""A random world: jobs, people, launchers and sweepers that do anything at any time, with lost answers, crashes and time jumps.

Everything follows from the seed. The invariants are checked after every call; at the end sweeps alone must finish all runs.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from dayfly.core import names
from dayfly.core.event import LaunchAt, LaunchNow, LaunchRequest, Retry
from dayfly.core.intervals import NORMAL
from dayfly.core.reasons import Source
from dayfly.core.sweeper_event import ServerState
from dayfly.core.versions import write_version
from dayfly.errors import DayflyError
from dayfly.flows import calls
from dayfly.flows.closing import close_after
from dayfly.flows.launch import launch
from dayfly.flows.sweep import sweep_project
from dayfly.flows.undelivered import MAX_LOOKBACK
from dayfly.flows.walk import walk
from dayfly.project.deploy import plan
from dayfly.project.runs.cancel import cancel
from dayfly.project.runs.pauses import pause, resume
from model.cloud import START, acting_as, version
from model.invariants import Broken, Invariants, need
from model.job_history import JobHistory, expression
from model.stepper import Stepper
from model.world_cloud import LOST_TAGS, WorldCloud

DAY_S = 24 * 3600
ACTOR_LIVES = timedelta(minutes=15)
"""Lambda stops a function after this time."""
SHORT_JUMPS, LONG_JUMPS = (1, 5, 20, 70, 310, 700, 1000, 3700), (70, 310, 1000, 3700, 5 * 3600, 20 * 3600, 40 * 3600)
BUG = re.compile(r": (?!Unclear|Refused|NotFoundError)([A-Z]\w*(?:Error|Exception)): ")
"""An error in a part of a sweep that is no refusal of AWS."""


@dataclass
class Acting:
    """A process at work. `due`: the servers that had to end when it, a sweep, began."""

    stepper: Stepper
    since: datetime
    wanted: LaunchRequest | None = None
    due: list[str] = field(default_factory=list)
    sweeps: bool = False


class World:
    """One world. `play` runs it; `counted` says what happened in it."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.counted: Counter[str] = Counter()
        self.long = self.chance.random() < 0.4
        self.keep_s = DAY_S
        if not self.long:
            self.keep_s = 90 * DAY_S
        self.cloud = WorldCloud(
            chance=self.chance,
            losing=self.chance.choice([0, 0, 0.005, 0.02, 0.06]),
            shutdown_s=self.chance.choice([0, 0, 20, 40, 90]),
            forgets_tokens=self.chance.random() < 0.15,
            token_busy_s=self.chance.choice([0, 0, 5, 60]),
        )
        self.crashing = self.chance.choice([0, 0.002, 0.01, 0.03])
        self.jobs = [self._job(name) for name in ("pi", "tau")[: self.chance.choice([1, 1, 2])]]
        skipping = frozenset(job.name for job in self.jobs if job.settings["overlap"] == "skip")
        self.invariants = Invariants(self.cloud, skipping, self.keep_s)
        self.cloud.check = self.invariants.check
        self.delivered: set[names.RunName] = set()
        self.actors: list[Acting] = []
        for job in self.jobs:
            self._deploy(job, self._period())
        self.cloud.now = START + timedelta(seconds=1)
        self._add_foreign_servers()

    def _job(self, name: str) -> JobHistory:
        settings = {
            "name": name,
            "overlap": self.chance.choice(["skip", "skip", "allow"]),
            "market": self.chance.choice(["on-demand", "spot", "spot-first"]),
            "start_within_s": self.chance.choice([60, 600, 3600]),
            "results": self.chance.choice([None, "project"]),
            "time_limit_s": self.chance.choice([60, 60, 4 * 3600]),
        }
        return JobHistory(name, settings)

    def _period(self) -> int:
        if self.long:
            return self.chance.choice([6 * 60, 12 * 60])
        return self.chance.choice([5, 20, 60])

    def _add_foreign_servers(self) -> None:
        """Add servers that are not the project's: one of another project, one without tags, both with a bad deadline."""
        tags = {names.TAG_PROJECT: "other", names.TAG_RUN: f"pi@{names.utc_text(START)}", names.TAG_ATTEMPT: "1"}
        for number, each in enumerate((tags, {})):
            self.cloud.add_foreign(f"i-foreign{number}", each)

    # --- what people and time do -----------------------------------------------------------------------------------------

    def _deploy(self, job: JobHistory, period: int) -> None:
        """Deploy a new version of a job, in force from the next second on."""
        since = self.cloud.now.replace(microsecond=0) + timedelta(seconds=1)
        if job.periods and since <= job.periods[-1][0]:
            return
        changes = {**job.settings, "schedule": expression(period), "command": f"pie {self.chance.random()}"}
        new = version(since=since, **changes)
        self.cloud.objects[new.key] = write_version(new)
        job.periods.append((since, period))

    def _remove(self, job: JobHistory) -> None:
        since = self.cloud.now.replace(microsecond=0) + timedelta(seconds=1)
        if since > job.periods[-1][0]:
            gone = plan.removed(job.name, since, "ben")
            self.cloud.objects[gone.key] = write_version(gone)
            job.periods.append((since, 0))

    def _disturb(self) -> None:
        """Let something happen that no process of dayfly does."""
        cloud, chance = self.cloud, self.chance
        live = cloud.live()
        if live and chance.random() < 0.1:
            cloud.act(chance.choice(live))
        if live and chance.random() < 0.004:
            cloud.lose_tag(chance.choice(live), chance.choice(LOST_TAGS))
        if live and chance.random() < 0.004:
            cloud.terminate(chance.choice(live), "Server.SpotInstanceTermination")
        if chance.random() < 0.006:
            cloud.kill_schedules.pop(chance.choice([*cloud.kill_schedules, ""]), None)
        if chance.random() < 0.01:
            cloud.change_capacity()
        if chance.random() < 0.01:
            cloud.empty_replay = chance.random() < 0.5
        if chance.random() < 0.02:
            cloud.pass_time(chance.choice([1, 5, 30, 70]))
        if chance.random() < 0.004:
            self._deploy(chance.choice(self.jobs), self._period())
        if chance.random() < 0.001:
            self._remove(chance.choice(self.jobs))

    # --- processes -------------------------------------------------------------------------------------------------------

    def _start(self, flow: Any, wanted: LaunchRequest | None = None) -> None:
        self.counted["actors"] += 1
        self.actors.append(Acting(Stepper(self.cloud, flow), self.cloud.now, wanted))

    def _launch(self, wanted: LaunchRequest) -> None:
        self._start(launch(wanted, acting_as("launcher")), wanted)

    def _sweep(self) -> Acting:
        now, cloud = self.cloud.now, self.cloud
        due = [
            server.id
            for server in cloud.shown_servers(calls.ListServers())
            if cloud.lives[server.id].deadline <= now or any(tag not in server.tags for tag in LOST_TAGS)
        ]
        self._start(sweep_project(acting_as("sweeper"), self.keep_s))
        self.actors[-1].due, self.actors[-1].sweeps = due, True
        return self.actors[-1]

    def _deliver(self) -> None:
        """Deliver most of the ticks that became due, some of them twice, and perhaps an old one again."""
        for job in self.jobs:
            ticks = [names.RunName(job.name, tick) for tick in job.ticks(self.cloud.now)]
            new = [run for run in ticks if run not in self.delivered]
            self.delivered.update(new)
            if len(new) > 3:
                new = new[-2:]
            for run in [*new, *self.chance.sample(ticks, min(1, len(ticks)))]:
                for number in range(self.chance.choice([0, 1, 1, 2, 3])):
                    self._launch(LaunchAt(job=run.job, tick=run.tick, source="schedule", request=f"d{run}{number}"))

    def _announce(self) -> None:
        """Deliver EC2's events: late, twice, never, and some that are false."""
        events, self.cloud.events = self.cloud.events, []
        for event in events:
            for _ in range(self.chance.choice([0, 1, 1, 2])):
                self._start(close_after(event, acting_as("sweeper")))
        if self.chance.random() < 0.1:
            self.cloud.announce(self.chance.choice(list(self.cloud.servers)), self.chance.choice(list(ServerState)))

    def _people(self, focus: names.RunName) -> None:
        """Start runs by hand, retries, cancels and walks, most of them of one run."""
        chance = self.chance
        for _ in range(chance.choice([0, 1, 2, 3])):
            request = f"r{chance.randint(1, 5)}"
            what = chance.choice(
                ["now", "at", "pause", "later", "later", "retry", "retry", "retry", "cancel", "walk", "walk"]
            )
            if what == "now":
                self._launch(LaunchNow(job=focus.job, request=f"h{request}", publish=chance.random() < 0.5))
            elif what == "at":
                publish = chance.random() < 0.5
                self._launch(
                    LaunchAt(job=focus.job, tick=focus.tick, source="hand", request=f"b{request}", publish=publish)
                )
            elif what == "pause":
                self._start(chance.choice([pause(focus.job, "ben"), resume(focus.job), resume(focus.job)]))
            elif what == "later":
                self._launch(self._later(focus, request))
            elif what == "retry":
                self._launch(Retry(run=focus, request=f"{request}{focus}", same_code=chance.random() < 0.3))
            elif what == "cancel":
                self._start(cancel(focus, acting_as("cli:ben"), "ben", poll_s=5))
            else:
                self._start(walk(focus, acting_as("cli:ben")))

    def _later(self, focus: names.RunName, request: str) -> LaunchAt:
        """Return the request for a tick that a person runs later: the run in focus, or any tick that became due."""
        ticks = [
            focus.tick,
            *(tick for job in self.jobs if job.name == focus.job for tick in job.ticks(self.cloud.now)),
        ]
        tick = self.chance.choice([focus.tick, self.chance.choice(ticks)])
        return LaunchAt(job=focus.job, tick=tick, source=Source.BACKFILL, request=f"l{request}{tick}")

    def _focus(self) -> names.RunName:
        """Return a run that people look at: an old one or a new one, if there is any."""
        opened = [key.removeprefix(names.OPEN) for key in self.cloud.objects if key.startswith(names.OPEN)]
        if opened and self.chance.random() < 0.4:
            return names.run_name(self.chance.choice(opened))
        last = self.chance.choice(["/claim.json", "/1/intent.json", "/1/intent.json", "/1/closed.json"])
        keys = [key for key in self.cloud.objects if key.endswith(last)]
        if not keys:
            return names.RunName(self.jobs[0].name, START.replace(second=0))
        key = self.chance.choice([min(keys), max(keys), self.chance.choice(keys)])
        job, tick = key.split("/")[1:3]
        return names.RunName(job, names.utc_moment(tick))

    # --- the world's course ----------------------------------------------------------------------------------------------

    def play(self) -> Counter[str]:
        """Run the world to its end and return what happened in it. Raises Broken."""
        for _ in range(self.chance.randint(4, 12)):
            focus = self._focus()
            self._deliver()
            self._people(focus)
            self._announce()
            for _ in range(self.chance.choice([0, 1, 1, 2, 3])):
                self._sweep()
            self._interleave()
            if self.chance.random() < 0.5:
                self._act_all()
            self.cloud.pass_time(self._jump())
        self._finish()
        self.count()
        return self.counted

    def _jump(self) -> float:
        """Return for how many seconds nothing happens: often until just after a tick."""
        jumps, now = SHORT_JUMPS, self.cloud.now
        if self.long:
            jumps = LONG_JUMPS
        coming = [tick for tick in self.chance.choice(self.jobs).ticks(now + timedelta(days=1)) if tick > now]
        if coming and self.chance.random() < 0.6:
            return (coming[0] - now).total_seconds() + self.chance.choice([1, 5, 40])
        return self.chance.choice(jumps)

    def _interleave(self) -> None:
        """Run the processes in a random order, each for one call or for many. Some crash; some go on after the next time jump."""
        self.chance.shuffle(self.actors)
        until = self.chance.choice([30, 10_000, 10_000])
        while self.actors and until:
            until -= 1
            if self.cloud.events and self.chance.random() < 0.05:
                self._announce()
            one = self.chance.choice(self.actors)
            for _ in range(self.chance.choice([1, 1, 2, 4, 15, 60])):
                self._step(one)
                if one.stepper.over or one not in self.actors:
                    break

    def _step(self, one: Acting) -> None:
        self._disturb()
        if self.chance.random() < self.crashing or self.cloud.now - one.since > ACTOR_LIVES:
            self.counted["crashes"] += 1
            self.actors.remove(one)
            return
        asked = one.stepper.call
        one.stepper.step()
        if one.stepper.over:
            self.actors.remove(one)
            self._returned(one)
        match asked:
            case calls.Get(key=key) if key.endswith("/ended.json") and self.chance.random() < 0.3:
                # The worst moment for a server to store its end: a process has just seen that there is none.
                self.cloud.act(key.split(":")[-1].split("/")[0])

    def _returned(self, one: Acting) -> None:
        """Check how a process ended: with its answer, or with an error that dayfly raises on purpose."""
        error = one.stepper.error
        if isinstance(error, Broken):
            raise error
        if error is not None:
            need(isinstance(error, DayflyError) and not BUG.search(str(error)), f"an error of dayfly itself: {error!r}")
            return
        match one.wanted:
            case Retry():
                self.invariants.a_retry_was_made(one.wanted)
            case LaunchAt(source=Source.BACKFILL):
                self.invariants.a_backfill_was_made(one.wanted)
        if one.sweeps:
            self.invariants.a_sweep_ended_what_was_due(one.due)
        self.invariants.foreign_servers_are_untouched()

    def _act_all(self) -> None:
        for server in self.cloud.live():
            self.cloud.act(server)

    # --- the end ---------------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Sweep, without faults, until every run is over. Then a run by hand of each job must start, and end."""
        cloud = self.cloud
        self.actors.clear()
        cloud.losing, cloud.refuse, cloud.empty_replay, cloud.token_busy_s, cloud.full = 0, {}, False, 0, set()
        for job in self.jobs:
            self._deploy(job, 0)
        cloud.pass_time(2)
        self.invariants.sweeps_since = cloud.now
        self._sweep_until_quiet()
        self._every_expected_tick_has_a_claim()
        for job in self.jobs:
            self._run_by_hand(job)
        self._sweep_until_quiet()
        slots = [key for key in self.cloud.objects if key.startswith("slots/")]
        need(not slots, f"1: slots are held at the end: {slots}")

    def _run_by_hand(self, job: JobHistory) -> None:
        result = self.cloud.run(launch(LaunchNow(job=job.name, request=f"end {job.name}"), acting_as("launcher")))
        claim = result.facts.claim
        need(claim.decision == "run", f"1: at rest, a run by hand of {job.name} is {claim.decision}: {claim.why}")

    def _sweep_until_quiet(self) -> None:
        for _ in range(150):
            self._act_all()
            for server in self.cloud.live():  # dayfly may not end a server without its project's tag
                if not self.cloud.servers[server].project and self.cloud.lives[server].deadline < self.cloud.now:
                    self.cloud.terminate(server)
            self._step_through(self._sweep())
            if not self._left():
                return
            self.cloud.pass_time(300)
        raise Broken(f"6: not over after 150 sweeps: {self._left()}")

    def _step_through(self, one: Acting) -> None:
        while not one.stepper.over:
            one.stepper.step()
        need(one.stepper.error is None, f"a sweep without faults failed: {one.stepper.error!r}")
        self.actors.remove(one)
        self._returned(one)

    def _left(self) -> list[str]:
        cloud = self.cloud
        return [*cloud.live(), *(key for key in cloud.objects if key.startswith("open/"))]

    def _every_expected_tick_has_a_claim(self) -> None:
        """Every expected tick ends as a claim with a decision, and a marker; or `keep` removed the run."""
        for job in self.jobs:
            late = timedelta(seconds=job.settings["start_within_s"]) + NORMAL.delivery
            for tick in job.ticks(self.cloud.now):
                self.counted["ticks"] += 1
                run = names.RunName(job.name, tick)
                swept = any(tick + late < beat <= tick + MAX_LOOKBACK for beat in self.invariants.heartbeats)
                if run in self.invariants.removed or not swept:
                    continue
                need(self.invariants.claim(run), f"6: the tick {run} has no claim")
                marked = any(key.startswith(names.done_prefix(run)) for key in self.cloud.objects)
                need(marked, f"6: the tick {run} has a claim and no marker")

    def count(self) -> None:
        """Add up what happened in this world."""
        self.counted += Counter(
            {
                "worlds": 1,
                "calls": self.invariants.number,
                "answers lost": self.cloud.answers_lost,
                "removals": len(self.invariants.removed),
                "backfills": sum(key.endswith("/backfill.json") for key in self.cloud.objects),
                "retries": sum(attempt > 1 for _, attempt in self.invariants.sent.values()),
                "servers": len(self.cloud.lives),
            }
        )
