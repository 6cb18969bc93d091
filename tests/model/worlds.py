"""Runs many random worlds and says what happened in them. Started by `make worlds` (scripts/worlds) and for each planted bug."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import dataclass, field

from model.world import World

COUNTED = (
    "worlds",
    "calls",
    "answers lost",
    "crashes",
    "actors",
    "ticks",
    "servers",
    "retries",
    "backfills",
    "removals",
)


@dataclass
class Found:
    """What some worlds showed: how often which things happened, and the first violation, empty if there is none."""

    counted: Counter[str] = field(default_factory=Counter)
    violation: str = ""


def run(worlds: int, seed: int) -> Found:
    """Run this many worlds, with this seed and the following ones, up to the first violation."""
    found = Found()
    for each in range(seed, seed + worlds):
        world = World(each)
        try:
            world.play()
        except Exception as error:
            world.count()
            found.violation = f"seed {each}, world {each - seed + 1}: {type(error).__name__}: {error}"
        found.counted += world.counted
        if found.violation:
            break
    return found


def main() -> int:
    """Print what happened. Return 1 after a violation."""
    parser = argparse.ArgumentParser(prog="scripts/worlds", description="Random worlds on the model cloud.")
    parser.add_argument("--worlds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    found = run(given.worlds, given.seed)
    counted = ", ".join(f"{found.counted[name]:,} {name}" for name in COUNTED)
    sys.stdout.write(f"{counted}, {int(bool(found.violation))} violations\n")
    if found.violation:
        sys.stdout.write(f"{found.violation}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
