"""Look at what a deploy made: stack, functions, schedules, sweeper, dead letters, who is told, and what was left behind.

Each flow returns its findings and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dayfly.core import names
from dayfly.core.facts import Server
from dayfly.core.model import JobSchedule, Project
from dayfly.core.records import Heartbeat
from dayfly.core.sweep import LATEST_END, SWEEP_OVERDUE
from dayfly.core.ticks import Zones
from dayfly.flows import read
from dayfly.flows.calls import (
    CountDeadLetters,
    FindAlarms,
    FindStack,
    FindStrays,
    FindSubscriptions,
    Flow,
    GetSchedule,
    IsStopped,
    ListSchedules,
    ListServers,
    NoStack,
    Now,
    Stack,
    ask,
)
from dayfly.project import formatting
from dayfly.project.deploy import plan
from dayfly.project.deploy.scope import Scope
from dayfly.project.doctor.findings import Finding, Level, fail, ok, warn
from dayfly.project.stack.change import UPDATABLE, is_busy

Found = tuple[Finding, ...]

_LATER = "stack, schedules, sweeper, strays: after the first deploy"


def not_deployed() -> Finding:
    """Return the finding that there is nothing to look at yet."""
    return Finding(level=Level.LATER, subject=_LATER, text="")


def stack(scope: Scope, _project: Project) -> Flow[Found]:
    """Look whether the stack is whole and its functions may run."""
    found = yield from ask(FindStack(scope.stack))
    match found:
        case Stack(status=status) if is_busy(found):
            return (warn("stack", f"{scope.stack} is {status}: a deploy or destroy is under way"),)
        case Stack(status=status) if status not in UPDATABLE:
            return (fail("stack", f"{scope.stack} is {status}", "dayfly deploy", "dayfly destroy   (gives it up)"),)
        case NoStack():
            return (fail("stack", f"{scope.stack} does not exist", "dayfly deploy"),)
    stopped = []
    for function in (names.launcher_function(scope.project), names.sweeper_function(scope.project)):
        if (yield from ask(IsStopped(function))):
            stopped.append(function)
    if stopped:
        text = f"{' and '.join(stopped)} may not run (reserved concurrency 0): a destroy was cut off, or somebody stopped it"
        return (fail("stack", text, "dayfly deploy", "dayfly destroy   (finishes it)"),)
    return (ok("stack", f"{scope.stack} is {found.status}, its functions may run"),)


def schedules(_scope: Scope, project: Project, zones: Zones) -> Flow[Found]:
    """Compare the jobs' schedules with the file."""
    zone = {job.timezone: zones(job.timezone) for job in project.jobs.values()}
    wanted = plan.schedules(project.jobs, zone)
    existing = yield from ask(ListSchedules())
    found: list[Finding] = []
    for one in wanted:
        shown = yield from ask(GetSchedule(one.name))
        found += _schedule(one, shown)
    own = {one.name for one in wanted}
    for name in existing:
        if name not in own and not name.startswith((names.KILL_PREFIX, "dayfly-")):
            text = f"{name} starts runs of a job that the file does not have"
            found.append(warn("schedules", text, "dayfly deploy   (deletes it)"))
    if found:
        return tuple(found)
    if not wanted:
        return (ok("schedules", "no job has one"),)
    return (ok("schedules", f"{len(wanted)} of {len(wanted)} enabled, times as in the file"),)


def _schedule(one: JobSchedule, shown: Mapping[str, Any] | None) -> list[Finding]:
    if shown is None:
        return [fail("schedules", f"{one.name} does not exist: its ticks do not come", "dayfly deploy")]
    if shown.get("State") != "ENABLED":
        return [fail("schedules", f"{one.name} is {shown.get('State')}: its ticks do not come", "dayfly deploy")]
    there = (shown.get("ScheduleExpression"), shown.get("ScheduleExpressionTimezone"))
    if there != (one.expression, one.timezone):
        text = f"{one.name} is {there[0]} in {there[1]}; the file says {one.expression} in {one.timezone}"
        return [fail("schedules", text, "dayfly deploy")]
    return []


def sweeper(scope: Scope, _project: Project) -> Flow[Found]:
    """Look when the sweeper last finished, and at its alarms."""
    now = yield from ask(Now())
    beat = yield from read.record(Heartbeat, names.HEARTBEAT)
    found: list[Finding] = []
    match beat:
        case Heartbeat(at=at) if now - at <= SWEEP_OVERDUE:
            found.append(ok("sweeper", f"last sweep {formatting.duration_phrase(now - at)} ago"))
        case Heartbeat(at=at):
            logs = f"aws logs tail /dayfly/{scope.project}/sweeper --since 1h"
            text = f"no whole sweep for {formatting.duration(now - at)}: servers may outlive their deadlines"
            found.append(fail("sweeper", text, "dayfly deploy   (starts it again)", f"{logs}   (says why)"))
        case _:
            found.append(warn("sweeper", "no sweep yet: the first comes within 5 minutes of a deploy"))
    for alarm in (yield from ask(FindAlarms(scope.stack))):
        if not alarm.enabled:
            text = f"the alarm {alarm.name} may not send"
            found.append(fail("alarms", text, f"aws cloudwatch enable-alarm-actions --alarm-names {alarm.name}"))
        elif alarm.state == "ALARM":
            found.append(warn("alarms", f"{alarm.name} is in ALARM"))
    return tuple(found)


def dead_letters(scope: Scope, _project: Project) -> Flow[Found]:
    """Count the events that could not be handled."""
    queue = f"dayfly-{scope.project}-dead-letters"
    count = yield from ask(CountDeadLetters(queue))
    if not count:
        return (ok("dead letters", "none"),)
    read_it = f"aws sqs receive-message --queue-url $(aws sqs get-queue-url --queue-name {queue} --output text)"
    return (warn("dead letters", f"{formatting.number_of(count, 'event')} could not be handled", read_it),)


def told(scope: Scope, _project: Project) -> Flow[Found]:
    """Look who hears of failures, and whether the addresses are confirmed."""
    found = yield from ask(FindSubscriptions(f"dayfly-{scope.project}"))
    waiting = [each.address for each in found if not each.confirmed]
    if waiting:
        text = f"{', '.join(waiting)} has not confirmed the mail of AWS, and is told nothing"
        return (fail("notify", text, "open that mail (subject: AWS Notification - Subscription Confirmation)"),)
    if found:
        return (ok("notify", ", ".join(each.address for each in found)),)
    return ()


def strays(_scope: Scope, _project: Project) -> Flow[Found]:
    """Look for servers past their deadline, and for volumes that their server left."""
    now = yield from ask(Now())
    late = [server for server in (yield from ask(ListServers())) if _is_late(server, now)]
    found = [
        fail(
            "strays",
            f"{server.id} is past its deadline and {server.state}",
            f"aws ec2 terminate-instances --instance-ids {server.id}",
        )
        for server in late
    ]
    for volume in (yield from ask(FindStrays())):
        text = (
            f"{volume.id} ({volume.size_gb} GB, made {names.utc_text(volume.created)}): its server is gone, it is not"
        )
        found.append(fail("strays", text, f"aws ec2 delete-volume --volume-id {volume.id}"))
    return tuple(found) or (ok("strays", "no server past its deadline, no volume without a server"),)


def _is_late(server: Server, now: datetime) -> bool:
    """Return whether a server should be gone by now, whichever layer was to end it."""
    if server.gone or server.state == "shutting-down":
        return False
    return server.deadline is None or now > server.deadline + LATEST_END
