"""The next step of a run whose slot another run holds."""

from __future__ import annotations

from datetime import UTC, datetime

from dayfly.core import advance, names
from dayfly.core.facts import NOT_STORED, Facts, WithEtag
from dayfly.core.records import Opened, Slot
from dayfly.core.step import Decide, Finished, FreeSlot, TakeSlot
from model.cloud import TICK, version

RUN = names.RunName("pi", TICK)
OTHER = names.RunName("pi", datetime(2026, 11, 24, 22, 40, tzinfo=UTC))


def facts(holder: names.RunName | None, opened: bool = True) -> Facts:
    slot = NOT_STORED
    if holder is not None:
        slot = WithEtag(record=Slot(holder=str(holder), attempt=0, at=TICK), etag="s")
    open_record = WithEtag(record=Opened(run=str(RUN), source="schedule", at=TICK, request="r"), etag="o")
    return Facts(run=RUN, opened=open_record if opened else NOT_STORED, slot=slot, versions=(version(),))


def test_a_free_slot_is_taken_before_the_decision():
    assert isinstance(advance.next_step(facts(None), TICK), TakeSlot)


def test_the_run_that_holds_the_slot_is_walked_first():
    found = advance.next_step(facts(OTHER), TICK)
    assert isinstance(found, Decide)
    assert found.claim.reason == "overlap"
    assert advance.blocking_run(facts(OTHER), found) == OTHER


def test_no_run_is_in_the_way_of_the_holder_itself():
    found = advance.next_step(facts(RUN), TICK)
    assert advance.blocking_run(facts(RUN), found) is None


def test_finished_run_has_freed_the_slot_it_no_longer_holds():
    done = Finished(reason="")
    assert advance.has_freed_slot(facts(OTHER), done)
    assert not advance.has_freed_slot(facts(RUN), done)
    assert not advance.has_freed_slot(facts(OTHER), advance.next_step(facts(OTHER), TICK))


def test_a_run_that_was_never_opened_gives_the_slot_back():
    assert isinstance(advance.next_step(facts(RUN, opened=False), TICK), FreeSlot)
