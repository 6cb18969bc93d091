"""The invariants of the design, each in plain code, checked on a random world after every call.

`Broken` says which one, with its words. What is remembered here is only what the cloud itself no longer shows.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from dayfly.core import names
from dayfly.core.event import LaunchAt, Retry
from dayfly.flows import calls
from model.cloud import PROJECT, ROLE
from model.world_cloud import LOST_TAGS, WorldCloud

Change = tuple[str, bytes | None, bytes | None]
"""A key, with its object before and after a call; None where there is none."""
AFTER_DEADLINE = timedelta(minutes=7)


class Broken(AssertionError):
    """An invariant does not hold."""


def need(holds: object, words: str) -> None:
    if not holds:
        raise Broken(words)


@dataclass
class Invariants:
    """Checks one world. `skipping`: the jobs whose runs do not overlap. `sweeps_since`: sweeps run every 5 minutes since then."""

    cloud: WorldCloud
    skipping: frozenset[str]
    keep_s: int
    sweeps_since: datetime | None = None
    sent: dict[str, tuple[names.RunName, int]] = field(default_factory=dict)
    sent_to: dict[tuple[names.RunName, int], set[str]] = field(default_factory=lambda: defaultdict(set))
    ever_paused: set[str] = field(default_factory=set)
    ever_armed: set[str] = field(default_factory=set)
    armed_at: dict[str, int] = field(default_factory=dict)
    closed_at: dict[str, int] = field(default_factory=dict)
    removed: set[names.RunName] = field(default_factory=set)
    stored: dict[tuple[names.RunName, int], list[dict[str, Any]]] = field(default_factory=dict)
    """The requests of each attempt. A slow process may still send one when `keep` has removed the record."""
    heartbeats: list[datetime] = field(default_factory=list)
    number: int = 0
    ended: int = 0

    def check(self, call: calls.Call[Any], changes: list[Change]) -> None:
        """Check every invariant that this call, or what happened since the one before, can have broken."""
        self.number += 1
        match call:
            case calls.CreateFleet(request=request):
                self.requests_are_sent_as_stored(request)
            case calls.TerminateServer(server=server) | calls.Arm(server=server) | calls.Disarm(server=server):
                self.only_the_projects_servers_are_changed(server)
        for server in self.cloud.terminate_calls[self.ended :]:
            self.a_server_is_ended_for_a_reason(server)
        self.ended = len(self.cloud.terminate_calls)
        if isinstance(call, calls.Arm):
            self.ever_armed.add(call.server)
            self.armed_at.setdefault(call.server, self.number)
        for server in self.armed_at.keys() - self.cloud.kill_schedules.keys():
            del self.armed_at[server]
        for key, before, after in changes:
            self.changed(key, before, after)
        self.runs_do_not_overlap()
        self.no_server_outlives_its_deadline()

    def changed(self, key: str, before: bytes | None, after: bytes | None) -> None:
        """Check what the change of one object can break."""
        folder, last = key.split("/", 1)[0], key.rsplit("/", 1)[-1]
        if folder == "go" and last == "cancel.json" and after is not None:
            self.a_server_is_told_to_end_for_a_cancel(key.split("/")[1].removeprefix(f"{ROLE}:"))
        if folder == "go" and last == "go.json" and after is not None:
            self.one_server_runs_an_attempt(_json(after), key)
        if folder == "open" and before is not None and after is None:
            self.no_run_is_forgotten(_json(before))
        if folder == "slots" and before is not None:
            self.a_slot_is_freed_after_its_run(_json(before), after)
        if folder == "paused":
            self.ever_paused.add(last)
        if folder == "latest":
            self.latest_moves_forward_whole(before, after)
        if folder == "results" and last == "manifest.json":
            self.results_are_whole_behind_their_manifest(before, after)
        if folder == "done" and after is not None:
            self.a_marker_says_what_the_records_say(names.done_name(key))
        if folder == "heartbeat.json":
            self.heartbeats.append(datetime.fromisoformat(_json(after or b"")["at"]))
        if folder == "runs" and last == "claim.json" and after is None:
            self.only_old_runs_that_are_over_are_removed(_run_of(key))
        if folder == "runs" and after is not None:
            self.record_is_true(key, last, _json(after))

    def record_is_true(self, key: str, last: str, record: dict[str, Any]) -> None:
        if last == "intent.json":
            self.stored[_run_of(key), _attempt_of(key)] = list(record["requests"].values())
            self.an_unfinished_run_is_open(_run_of(key))
        if record.get("reason") == "paused":
            self.a_skipped_tick_was_paused(_run_of(key), record)
        if last == "backfill.json":
            self.a_second_claim_is_of_a_tick_that_did_not_run(_run_of(key), record)
        if last == "closed.json":
            self.closed_at[key] = self.number
            self.a_closed_outcome_is_true(_run_of(key), _attempt_of(key), record)
        if last.startswith("ask-"):
            self.stored[_run_of(key), _attempt_of(key)].append(record["request"])
            self.the_request_before_was_refused(_run_of(key), _attempt_of(key), record)
        if last == "spot-refused.json" or record.get("cause") == "refused":
            self.a_refusal_was_definite(_run_of(key), _attempt_of(key), last)

    # --- 1: at most one server ever runs the job of one attempt, and attempts of a run never overlap ---------------------

    def one_server_runs_an_attempt(self, go: dict[str, Any], key: str) -> None:
        """At most one server ever runs the job of one attempt. It is elected, and no job starts on an unarmed server."""
        server = key.split("/")[1].removeprefix(f"{ROLE}:")
        attempt = (names.run_name(go["run"]), go["attempt"])
        self.sent[server] = attempt
        self.sent_to[attempt].add(server)
        need(
            len(self.sent_to[attempt]) == 1, f"1: two servers were sent the job of {go['run']} attempt {go['attempt']}"
        )
        need(self.record(*attempt, "server").get("server") == server, f"1: {server} was sent a job, not elected")
        need(server in self.ever_armed, f"2: {server} was sent its job before it was armed")

    def runs_do_not_overlap(self) -> None:
        """Attempts of a run never overlap, and no two runs of a job with overlap = "skip" are alive with the job sent."""
        alive: dict[str, str] = {}
        for server in self.cloud.live():
            if server not in self.sent:
                continue
            run, attempt = self.sent[server]
            lock = str(run)
            if run.job in self.skipping:
                lock = run.job
            need(lock not in alive, f"1: {run} attempt {attempt} runs beside {alive.get(lock)}")
            alive[lock] = f"{run} attempt {attempt}"

    def requests_are_sent_as_stored(self, request: dict[str, Any]) -> None:
        """CreateFleet requests are sent as stored, never rebuilt: the same token on a repeat."""
        tags = {tag["Key"]: tag["Value"] for tag in request["TagSpecifications"][0]["Tags"]}
        run, attempt = names.run_name(tags[names.TAG_RUN]), int(tags[names.TAG_ATTEMPT])
        stored = self.stored.get((run, attempt), [])
        need(request in stored, f"1: a launch request of {run} attempt {attempt} is not the stored one")

    def a_slot_is_freed_after_its_run(self, slot: dict[str, Any], after: bytes | None) -> None:
        holder = names.run_name(slot["holder"])
        if after is not None and _json(after)["holder"] == slot["holder"]:
            return
        alive = [server for server in self.cloud.live() if self.sent.get(server, ("", 0))[0] == holder]
        need(not alive, f"1: the slot of {holder} was freed while {alive} may run its job")

    # --- 2: every server has left running within the bound ---------------------------------------------------------------

    def no_server_outlives_its_deadline(self) -> None:
        """No server of the project runs beyond its deadline + 7 min while sweeps run."""
        if self.sweeps_since is None:
            return
        for server in self.cloud.live():
            shown, life = self.cloud.servers[server], self.cloud.lives[server]
            late = self.cloud.now - max(life.deadline, self.sweeps_since) > AFTER_DEADLINE
            ends = shown.state == "shutting-down" or shown.project != PROJECT
            need(ends or not late, f"2: {server} is {shown.state} 7 min after {life.deadline}")

    def a_sweep_ended_what_was_due(self, due: list[str]) -> None:
        """A sweep that succeeded has ended every server that was past its deadline, or had bad tags, when it began.

        Not one that lost the project's tag meanwhile: dayfly may not end it.
        """
        for server in due:
            shown = self.cloud.servers[server]
            ends = shown.state in ("terminated", "shutting-down") or shown.project != PROJECT
            need(ends, f"2: a sweep left {server} {shown.state}, which had to end")

    # --- 3: a server that does not carry this project's tags is never ended, changed or counted --------------------------

    def only_the_projects_servers_are_changed(self, server: str) -> None:
        need(server in self.cloud.lives, f"3: {server} is not the project's, and was changed")

    def a_server_is_ended_for_a_reason(self, server: str) -> None:
        """A server within its deadline is ended only if it is surplus, stopped, cancelled, or its tags are bad."""
        shown, life = self.cloud.servers[server], self.cloud.lives[server]
        election = self.record(life.run, life.attempt, "server")
        intended = self.record(life.run, life.attempt, "intent")
        stored = f"{server} of {life.run} attempt {life.attempt}"
        reasons = (
            self.cloud.now >= life.deadline,
            bool(election) and election.get("server") != server,
            not intended,
            life.stopped,
            bool(self.record(life.run, life.attempt, "cancel")),
            any(tag not in shown.tags for tag in LOST_TAGS),
        )
        need(any(reasons), f"1: {stored} was ended without a reason")

    def a_server_is_told_to_end_for_a_cancel(self, server: str) -> None:
        """Only the server of a cancelled attempt is told to end its job."""
        life = self.cloud.lives[server]
        need(
            self.record(life.run, life.attempt, "cancel"), f"1: {server} was told to end, and nobody cancelled its run"
        )

    def foreign_servers_are_untouched(self) -> None:
        for server in self.cloud.servers.values():
            if server.id not in self.cloud.lives:
                need(server.state == "running" and server.project != PROJECT, f"3: {server.id} was changed")

    # --- 4: a run's recorded outcome is true -----------------------------------------------------------------------------

    def a_closed_outcome_is_true(self, run: names.RunName, attempt: int, closed: dict[str, Any]) -> None:
        """Nothing is closed while its server may be alive. The outcome is what the agent stored; unknown says so."""
        name, server = f"{run} attempt {attempt}", closed["server"]
        if server is None:
            need(closed["outcome"] in ("failed", "cancelled"), f"4: {name} without a server is {closed['outcome']}")
            return
        need(self.cloud.servers[server].gone, f"4: {name} was closed while {server} may be alive")
        stored = self.cloud.lives[server].outcome
        if not stored:
            need(closed["outcome"] in ("failed", "cancelled"), f"4: {name} reported no end and is {closed['outcome']}")
            return
        need(closed["outcome"] == stored, f"4: {name} ended as {stored} and was closed as {closed['outcome']}")
        if closed["outcome"] == "succeeded":
            outputs = names.out_prefix(run, attempt, ROLE, server) + "output/out/pi.txt"
            need(closed["exit"] == 0 and outputs in self.cloud.objects, f"4: {name} succeeded without its outputs")

    def a_refusal_was_definite(self, run: names.RunName, attempt: int, last: str) -> None:
        """Anything unknown says so: a refusal is recorded only after EC2 refused the request of that market."""
        intent = self.record(run, attempt, "intent")
        market = intent["markets"][0]
        if last == "server.json":
            market = intent["markets"][-1]
        for token in self.tokens(run, attempt, market):
            need(token in self.cloud.refused_tokens, f"4: {run} says that EC2 refused {market}, and it did not")

    def the_request_before_was_refused(self, run: names.RunName, attempt: int, ask: dict[str, Any]) -> None:
        """Another token is used only after EC2 refused the one before, and never for a pool that it refused."""
        *before, last = self.tokens(run, attempt, ask["market"])
        need(last == ask["request"]["ClientToken"], f"1: {run} stored its requests to EC2 out of order")
        need(set(before) <= self.cloud.refused_tokens, f"1: {run} asks again while EC2 may launch a server")

    def a_marker_says_what_the_records_say(self, done: names.DoneName) -> None:
        if done.run in self.removed:  # a slow process may write it again; `keep` comes back for it
            return
        said = self.record(done.run, done.attempt, "closed").get("outcome")
        if done.attempt == 0:
            said = self.claim(done.run).get("decision")
        need(said == done.outcome, f"4: the marker of {done.run} says {done.outcome}, its records {said}")

    # --- 5: `latest` moves forward whole, or stays; nothing removes what it points to ------------------------------------

    def latest_moves_forward_whole(self, before: bytes | None, after: bytes | None) -> None:
        need(after is not None, "5: `latest` was removed")
        new = _json(after or b"{}")
        run, old = names.run_name(new["run"]), _json(before or b"{}")
        need(
            self.record(run, new["attempt"], "closed").get("outcome") == "succeeded",
            f"5: `latest` names {run}, no success",
        )
        need(all(one["key"] in self.cloud.objects for one in new["outputs"]), f"5: `latest` names {run}, half visible")
        claim = self.second_claim(run) or self.claim(run)
        need(claim["source"] != "hand" or claim["publish"], f"5: {run} moved `latest` without being asked to")
        if old:
            forward = (run.tick, new["attempt"]) > (names.run_name(old["run"]).tick, old["attempt"])
            need(forward, f"5: `latest` moved from {old['run']} back to {run}")

    def results_are_whole_behind_their_manifest(self, before: bytes | None, after: bytes | None) -> None:
        if after is None:
            return
        new = _json(after)
        for file in new["files"]:
            body = self.cloud.objects.get(file["key"], b"")
            need(hashlib.sha256(body).hexdigest() == file["sha256"], f"5: a manifest names {file['key']}, half visible")
        if before is not None:
            old = _json(before)
            need((new["tick"], new["attempt"]) >= (old["tick"], old["attempt"]), "5: the newest result moved back")

    def only_old_runs_that_are_over_are_removed(self, run: names.RunName) -> None:
        """Nothing removes what `latest` points to, nor a run that may be alive, nor one younger than `keep`."""
        latest = _json(self.cloud.objects.get(names.latest_key(run.job), b"{}"))
        need(latest.get("run") != str(run), f"5: {run} was removed, and `latest` names it")
        alive = [server for server in self.cloud.live() if self.sent.get(server, ("", 0))[0] == run]
        need(not alive, f"5: {run} was removed while {alive} may run its job")
        need(
            run.tick.date() < (self.cloud.now - timedelta(seconds=self.keep_s)).date(),
            f"5: {run} was removed too early",
        )
        self.removed.add(run)
        for attempt in [attempt for attempt in self.sent_to if attempt[0] == run]:
            del self.sent_to[attempt]

    # --- 6: every expected tick ends as a claim with a decision ----------------------------------------------------------

    def an_unfinished_run_is_open(self, run: names.RunName) -> None:
        """`open` comes first, so that a sweep finds every unfinished run by one LIST."""
        need(names.open_key(run) in self.cloud.objects, f"6: {run} has an attempt and is not open")

    def a_skipped_tick_was_paused(self, run: names.RunName, claim: dict[str, Any]) -> None:
        need(run.job in self.ever_paused, f"6: {run} is skipped as paused, and nobody paused {run.job}")
        need(claim["source"] == "schedule", f"6: {run} was started by hand and is skipped as paused")

    def a_second_claim_is_of_a_tick_that_did_not_run(self, run: names.RunName, record: dict[str, Any]) -> None:
        """Every tick has one decision: a second claim says to run, and follows one that says not to."""
        need(record["decision"] == "run", f"6: the second claim of {run} says {record['decision']}")
        need(self.claim(run)["decision"] in ("missed", "skipped"), f"6: {run} was to run and has a second claim")
        need(not self.attempts(run), f"6: {run} has an attempt and then a second claim")

    def a_backfill_was_made(self, wanted: LaunchAt) -> None:
        """A backfill that is answered as made is the request of the run, claimed or open; else it says what holds it up."""
        run = names.RunName(wanted.job, wanted.tick)
        if run in self.removed:
            return
        opened = _json(self.cloud.objects.get(names.open_key(run), b"{}"))
        made = {each.get("request") for each in (opened, self.claim(run), self.second_claim(run))}
        need(wanted.request in made, f"6: backfill {wanted.request} of {run} was answered as made and is nowhere")

    def no_run_is_forgotten(self, opened: dict[str, Any]) -> None:
        """A run is forgotten only when it has a claim, and its attempts are closed, with receipt and marker."""
        run = names.run_name(opened["run"])
        if opened["removing"]:
            return
        numbers = self.attempts(run)
        need(self.claim(run), f"6: {run} is no longer open and has no claim")
        need(max(numbers, default=0) >= (opened["retry"] or 0), f"6: {run} is no longer open; its retry was forgotten")
        for number in numbers:
            need(self.record(run, number, "closed"), f"6: {run} attempt {number} is not closed and no longer open")
            need(self.record(run, number, "receipt"), f"6: {run} attempt {number} has no receipt and is no longer open")
            self.is_disarmed(run, number)
        marker = f"{names.done_prefix(run)}{max(numbers, default=0)}~"
        need(any(key.startswith(marker) for key in self.cloud.objects), f"6: {run} has no marker and is no longer open")

    def is_disarmed(self, run: names.RunName, number: int) -> None:
        """A kill schedule goes when its server is seen terminated and its attempt closed."""
        closed = self.record(run, number, "closed")
        server, key = closed["server"], names.attempt_key(run, number, "closed")
        if closed["terminated"] and server in self.armed_at:
            need(self.armed_at[server] > self.closed_at[key], f"2: {server} is gone and kept its kill schedule")

    def a_retry_was_made(self, wanted: Retry) -> None:
        """A retry that is answered as made is the request of an attempt, or of the open run."""
        if wanted.run in self.removed:
            return
        opened = _json(self.cloud.objects.get(names.open_key(wanted.run), b"{}"))
        requests = {self.record(wanted.run, number, "intent")["request"] for number in self.attempts(wanted.run)}
        made = wanted.request in {*requests, opened.get("request")}
        need(made, f"6: retry {wanted.request} of {wanted.run} was answered as made and is nowhere")

    # --- the records, as they are now ------------------------------------------------------------------------------------

    def record(self, run: names.RunName, attempt: int, name: str) -> dict[str, Any]:
        return _json(self.cloud.objects.get(names.attempt_key(run, attempt, name), b"{}"))

    def asks(self, run: names.RunName, attempt: int) -> list[dict[str, Any]]:
        """Return the requests that followed the first ones, in order."""
        found = (self.record(run, attempt, f"ask-{number}") for number in range(2, 30))
        return [ask["request"] for ask in found if ask]

    def tokens(self, run: names.RunName, attempt: int, market: str) -> list[str]:
        """Return the client tokens of all requests for this market, in order."""
        first = self.record(run, attempt, "intent")["requests"][market]
        sent = [first, *self.asks(run, attempt)]
        of_market = "TargetCapacitySpecification"
        return [each["ClientToken"] for each in sent if each[of_market] == first[of_market]]

    def claim(self, run: names.RunName) -> dict[str, Any]:
        return _json(self.cloud.objects.get(names.claim_key(run), b"{}"))

    def second_claim(self, run: names.RunName) -> dict[str, Any]:
        return _json(self.cloud.objects.get(names.backfill_key(run), b"{}"))

    def attempts(self, run: names.RunName) -> list[int]:
        return [number for number in range(1, 30) if names.attempt_key(run, number, "intent") in self.cloud.objects]


def _json(body: bytes) -> dict[str, Any]:
    return json.loads(body)


def _run_of(key: str) -> names.RunName:
    job, tick = key.split("/")[1:3]
    return names.RunName(job, names.utc_moment(tick))


def _attempt_of(key: str) -> int:
    return int(key.split("/")[3])
