"""The invariants hold in random worlds, after every call; model/invariants.py has them, one function each.

`make worlds N=1000 SEED=1` runs more worlds than these.
"""

from __future__ import annotations

import pytest

from model import planted, worlds
from model.world import World

SEEDS = range(1, 151, 10)


@pytest.mark.parametrize("seed", SEEDS)
def test_invariants_hold_in_random_worlds(seed):
    assert worlds.run(10, seed).violation == ""


def test_worlds_reach_missed_ticks_retries_and_removals():
    counted = worlds.run(40, 1000).counted
    assert all(counted[name] for name in worlds.COUNTED)


def test_world_follows_from_its_seed():
    assert World(7).play() == World(7).play()


def test_violation_names_its_seed(monkeypatch):
    """A world in which EC2 ends a server and nobody may close its run: the sweeps at the end do not finish it."""
    monkeypatch.setattr(World, "_left", lambda _self: ["a run that is never over"])
    found = worlds.run(3, 5)
    assert found.violation.startswith("seed 5, world 1: Broken: 6: not over")
    assert found.counted["worlds"] == 1


@pytest.mark.parametrize("bug", planted.BUGS, ids=lambda bug: bug.name)
def test_text_of_a_planted_bug_occurs_once(bug):
    assert planted.occurrences(bug) == 1
