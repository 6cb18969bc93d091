"""Fuzzes events, facts, files and tags, and prints counts by kind. Started by `make fuzz SEED=n` (scripts/fuzz).

    scripts/fuzz                            a new seed, all cases, also on a local cloud
    scripts/fuzz --seed 7 --only facts      only the facts of seed 7
    scripts/fuzz --seed 7 --case facts:12   one case, as a failure names it
    scripts/fuzz --no-cloud                 without the local cloud

Exits 1 at the first case that breaks what must hold, with the command that repeats it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable

from fuzz import events, facts, files, tags
from fuzz.cloud import check_cloud

KINDS: dict[str, tuple[int, Callable[[random.Random], str]]] = {
    "events": (300, events.check),
    "facts": (300, facts.check),
    "files": (200, files.check),
    "tags": (50, tags.check),
}
"""How many cases of each kind there are, and the function that checks one. It returns what became of it."""


def chance(seed: int, kind: str, number: int) -> random.Random:
    """Return the random generator of one case, which depends on nothing else."""
    return random.Random(f"{seed} {kind} {number}")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run(seed: int, kind: str, numbers: range) -> bool:
    """Check these cases of a kind and print what became of them. Returns whether all hold."""
    check, began, became = KINDS[kind][1], time.monotonic(), Counter[str]()
    for number in numbers:
        try:
            became[check(chance(seed, kind, number))] += 1
        except Exception as error:
            say(f"BROKEN {kind} {number}: {type(error).__name__}: {error}")
            say(f"repeat it: scripts/fuzz --seed {seed} --case {kind}:{number}")
            if len(numbers) == 1:
                raise
            return False
    counts = ", ".join(f"{what} {count}" for what, count in sorted(became.items()))
    say(f"{kind:7} {len(numbers):4} cases, {time.monotonic() - began:4.0f} s: {counts}")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Fuzz events, facts, files and tags.")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--only", choices=[*KINDS, "cloud"], help="only this kind")
    parser.add_argument("--case", metavar="KIND:NUMBER", help="one case, as a failure names it")
    parser.add_argument("--no-cloud", action="store_true", help="start no local cloud")
    asked = parser.parse_args()
    say(f"seed {asked.seed}")
    if asked.case:
        kind, _, number = asked.case.partition(":")
        return 0 if run(asked.seed, kind, range(int(number), int(number) + 1)) else 1
    for kind in KINDS:
        if asked.only in (None, kind) and not run(asked.seed, kind, range(KINDS[kind][0])):
            return 1
    if asked.only in (None, "cloud") and not asked.no_cloud:
        try:
            say(check_cloud(random.Random(f"{asked.seed} cloud")))
        except Exception as error:
            say(f"BROKEN cloud: {type(error).__name__}: {error}")
            say(f"repeat it: scripts/fuzz --seed {asked.seed} --only cloud")
            return 1
    say(f"seed {asked.seed}: all hold")
    return 0


if __name__ == "__main__":
    sys.exit(main())
