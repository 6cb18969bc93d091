"""Known bugs, as changes of the source text. Each must be caught by the random worlds, or by the test that it names.

A bug is planted in a copy of src in a temporary folder; another Python process runs the worlds with that copy. The old text
must occur exactly once, so that the table stays true when the code changes. Started by `make planted`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORLDS = 400


@dataclass(frozen=True)
class Bug:
    """A bug: its name, the file below src/dayfly, and what is written there instead of what. `test`: that catches it."""

    name: str
    file: str
    old: str
    new: str
    test: str = ""


BUGS = (
    Bug(
        "close early",
        "core/standing.py",
        "    if server.gone:\n",
        '    if server.gone or server.state == "shutting-down":\n',
    ),
    Bug(
        "no arm",
        "core/standing.py",
        "    return not armed and not server.gone and now < deadline\n",
        "    return False\n",
    ),
    Bug(
        "bucket read before EC2",
        "flows/gather.py",
        "    numbers = {attempt.number for attempt in attempts}\n",
        "    again = yield from ask(ListServers(run=str(run)))\n"
        "    for at, each in enumerate(attempts):\n"
        "        mine = tuple(one for one in again if one.attempt == each.number)\n"
        "        attempts[at] = replace(each, servers=mine or each.servers)\n"
        "    numbers = {attempt.number for attempt in attempts}\n",
        test="tests/flows/test_ends.py",
    ),
    Bug(
        "new token on a repeat",
        "flows/steps.py",
        "    match (yield from ask(calls.CreateFleet(found.request))):\n",
        '    rebuilt = {**found.request, "ClientToken": now.isoformat()}\n'
        "    match (yield from ask(calls.CreateFleet(rebuilt))):\n",
    ),
    Bug(
        "a launch in progress is a refusal",
        "core/refusals.py",
        '_IN_PROGRESS = {"IdempotentCallInProgress"}\n',
        "_IN_PROGRESS: set[str] = set()\n",
    ),
    Bug(
        "pools that EC2 did not try are not asked",
        "core/refusals.py",
        "    if not tried or not left:\n",
        "    if not tried or left:\n",
        test="tests/flows/test_pools.py",
    ),
    Bug(
        "a second token while the first may launch",
        "core/refusals.py",
        "    if not all(error.type and error.subnet for error in errors):\n        return ()\n",
        "    if in_progress(errors):\n        return tuple(overrides)\n",
        test="tests/core/test_election.py",
    ),
    Bug(
        "slot freed without its etag",
        "flows/steps.py",
        "calls.Delete(names.slot_key(facts.run.job), found.slot.etag)",
        "calls.Delete(names.slot_key(facts.run.job))",
    ),
    Bug(
        "run forgotten without its etag",
        "flows/steps.py",
        "    if (yield from ask(calls.Delete(names.open_key(facts.run), found.opened.etag))):\n",
        "    if (yield from ask(calls.Delete(names.open_key(facts.run)))):\n",
    ),
    Bug(
        "`latest` always moved",
        "core/effects.py",
        "            return (facts.run.tick, attempt.number) > (run_name(current.run).tick, current.attempt)\n",
        "            return current.run != str(facts.run)\n",
    ),
    Bug(
        "no disarm",
        "core/effects.py",
        "    return sorted(disarmable & attempt.armed)\n",
        "    return []\n",
    ),
    Bug(
        "blind sweep: EC2 is not asked",
        "flows/sweep.py",
        "    servers = yield from ask(ListServers())\n",
        "    servers: tuple[Server, ...] = ()\n",
    ),
    Bug(
        "blind sweep: what the bucket does not know is ended",
        "core/sweep.py",
        "    if isinstance(intent, NotStored) and now - server.launched > intervals.without_intent:\n",
        "    if isinstance(election, NotStored):\n",
    ),
    Bug(
        "unclear answer read as refused",
        "flows/steps.py",
        "    match (yield from ask(calls.CreateFleet(found.request))):\n",
        "    try:\n"
        "        answer = yield from ask(calls.CreateFleet(found.request))\n"
        "    except Unclear:\n"
        "        answer = RefusedLaunch(errors=())\n"
        "    match answer:\n",
    ),
    Bug(
        "carried facts trusted over a lost election",
        "flows/steps.py",
        "def _elect(found: Elect, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Taken]:\n"
        "    if (yield from _write(facts, found, found.record)):\n",
        "def _elect(found: Elect, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Taken]:\n"
        "    yield from _write(facts, found, found.record)\n"
        "    if found:\n",
    ),
    Bug(
        "carried facts trusted over a lost slot",
        "flows/steps.py",
        "    if (yield from ask(calls.PutNew(names.slot_key(facts.run.job), encode(slot)))):\n",
        "    yield from ask(calls.PutNew(names.slot_key(facts.run.job), encode(slot)))\n    if slot:\n",
    ),
    Bug(
        "carried facts trusted over a lost intent",
        "flows/steps.py",
        "    if (yield from _write(facts, found, intent)):\n",
        "    yield from _write(facts, found, intent)\n    if intent:\n",
    ),
    Bug(
        "claimed without `open`",
        "flows/launch.py",
        "    if (yield from ask(PutNew(names.open_key(run), encode(opened)))):\n",
        "    if opened:\n",
    ),
    Bug(
        "a retry's lost write is ignored",
        "flows/launch.py",
        "    if claim.asked_for(facts, number) != wanted.request:\n",
        "    if False:\n",
    ),
    Bug(
        "keep without its mark",
        "flows/retention.py",
        "    return (yield from ask(PutNew(names.open_key(run), encode(removal_mark(run, now)))))\n",
        "    yield from ask(PutNew(names.open_key(run), encode(removal_mark(run, now))))\n    return True\n",
    ),
    Bug(
        "a retry of a removed job takes no slot",
        "core/effects.py",
        "    rules: Deployed | NotStored | Unreadable = facts.version(key)\n",
        "    rules: Deployed | NotStored | Unreadable = NotStored()\n",
        test="tests/flows/test_retry.py",
    ),
    Bug(
        "a tick run later takes no turn",
        "core/advance.py",
        "        if facts.asked_for_later and facts.holder != str(facts.run):\n",
        "        if False:\n",
        test="tests/flows/test_backfill.py",
    ),
    Bug(
        "a cancel waits for ever",
        "core/standing.py",
        "        case Cancel(at=at), Started() if now - at >= intervals.after_cancel:\n",
        "        case Cancel(at=at), Started() if at > now:\n",
        test="tests/flows/test_cancel.py",
    ),
    Bug(
        "the second claim does not count",
        "flows/read.py",
        "    for key in (names.backfill_key(run), names.claim_key(run)):\n",
        "    for key in (names.claim_key(run),):\n",
    ),
)


def occurrences(bug: Bug) -> int:
    """Return how often the text that the bug replaces occurs in its file."""
    return (ROOT / "src/dayfly" / bug.file).read_text(encoding="utf-8").count(bug.old)


def caught_by(bug: Bug) -> str:
    """Plant the bug in a copy of src and return the violation that it causes there; empty if nothing catches it."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src"
        shutil.copytree(ROOT / "src/dayfly", source / "dayfly", ignore=shutil.ignore_patterns("__pycache__"))
        file = source / "dayfly" / bug.file
        file.write_text(file.read_text(encoding="utf-8").replace(bug.old, bug.new), encoding="utf-8")
        if not bug.test:
            return _python(source, "-m", "model.worlds", "--worlds", str(WORLDS))
        given = ("-q", "-x", "-p", "no:cacheprovider", "-o", f"pythonpath={source} tests", "--no-header", "--tb=no")
        return _python(source, "-m", "pytest", *given, bug.test)


def _python(source: Path, *arguments: str) -> str:
    """Run Python with this source. Return the last line that says what failed; empty if nothing did."""
    paths = os.pathsep.join((str(source), str(ROOT / "tests")))
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(("seed ", "FAILED "))]
    if done.returncode and not lines:
        raise RuntimeError(f"neither worlds nor tests ran: {done.stderr[-500:]}")
    return "".join(lines[-1:])


def main() -> int:
    """Print what catches each bug. Return 1 if one is not caught."""
    missed = 0
    for bug in BUGS:
        start = time.monotonic()
        found = caught_by(bug)
        missed += not found
        sys.stdout.write(f"{bug.name}: {found or 'NOT CAUGHT'} ({time.monotonic() - start:.0f} s)\n")
        sys.stdout.flush()
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
