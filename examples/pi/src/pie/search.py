"""Compute ever larger results, the last as large as the remaining time allows, and choose their sizes.

Runs in its own process (FLINT does not stop for a signal) and reports to its parent in lines of JSON: `{"result": PATH, ...}`
for each result, `{"checked": [...]}` when more of the last one was checked, and at the end one line with `end` (time, memory
or disk), `wrong` or `failed`. The parent watches the clock and names the files; this process may be killed at any moment.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import log2
from pathlib import Path

from pie import clock, compute, room, text

FIRST = 20_000  # digits of the first result
MIN_POWER = 1.23  # time grows with digits to at least this power; measured from 1 to 60 million digits
MAX_POWER = 1.35  # and to at most this power
LAST_SHARE = 0.9  # of the remaining time, for the last result; the rest covers wrong estimates
LAST_SHARE_BUSY = 0.65  # the same when other programs compete for the cores, since their load varies
BUSY = 0.82  # a share below this means a busy machine: smaller steps, so that losing the last result costs less
WRITE_SHARE = 0.85  # of the time remaining after the last number is computed, for writing it
PROBE_SHARE, PROBE_SHARE_BUSY = 0.08, 0.25  # of the remaining time, for a result that shows how fast this machine is
LAST_REACH, LAST_REACH_BUSY = 12, 4  # the last result is at most this many times larger than the largest measured
PROBE_REACH = 64
MIN_GROWTH = 1.15  # a result must have this many times the digits of the last one to be worth its time
SECOND_SHARE = 0.05  # of the remaining time, for the second formula
SECOND_COST = 5  # the second formula is about this many times slower
KEPT = 5_000_000  # digits of a result that the next one is compared with
LARGEST = 10**13  # digits; more than fit into any machine


@dataclass(slots=True)
class Pace:
    """How long one part of a result takes on this machine, from measurements (digits, seconds)."""

    measured: list[tuple[int, float]] = field(default_factory=list)

    def add(self, digits: int, seconds: float) -> None:
        """Add a measurement."""
        self.measured.append((digits, max(seconds, 1e-4)))

    @property
    def power(self) -> float:
        """The power of digits with which time grows, from the last two measurements if they are far enough apart."""
        if len(self.measured) < 2:
            return MIN_POWER
        (d0, s0), (d1, s1) = self.measured[-2:]
        if d1 < 4 * d0:
            return MIN_POWER
        return min(MAX_POWER, max(MIN_POWER, log2(s1 / s0) / log2(d1 / d0)))

    def seconds(self, digits: int) -> float:
        """Return the seconds that `digits` should take."""
        known, took = self.measured[-1]
        return float(took * (digits / known) ** self.power)


def most_digits(paces: tuple[Pace, ...], seconds: float) -> int:
    """Return the most digits whose parts together should take at most `seconds`; 0 for no time."""
    low, high = 0, LARGEST
    while high - low > 1 + low // 1000:
        middle = (low + high) // 2
        if sum(pace.seconds(middle) for pace in paces) <= seconds:
            low = middle
        else:
            high = middle
    return low


def last_share(elapsed: float, queued: float) -> float:
    """Return the share of the remaining time for the last result, given `queued` of `elapsed` seconds waited for a core."""
    return max(LAST_SHARE_BUSY, LAST_SHARE - queued / max(elapsed, 1e-3))


def next_size(paces: tuple[Pace, ...], best: int, left: float, room_for: int, share: float) -> tuple[int, bool]:
    """Return the digits of the next result with `left` seconds to go (0: none is worth it), and whether it is the last.

    `share` is the part of `left` that the last result may use; `room_for` the most digits that fit.
    """
    full = min(most_digits(paces, share * left), room_for)
    if full < MIN_GROWTH * best:
        return 0, True
    reach, probe = LAST_REACH, PROBE_SHARE
    if share < BUSY:
        reach, probe = LAST_REACH_BUSY, PROBE_SHARE_BUSY
    if full <= reach * best:
        return full, True
    return max(min(most_digits(paces, probe * left), PROBE_REACH * best), 2 * best), False


class Search:
    """One search: `deadline` in seconds of time.monotonic(), results in `folder`, `report` gets each line."""

    def __init__(
        self, folder: Path, stem: str, cores: int, deadline: float, report: Callable[[dict[str, object]], None]
    ) -> None:
        self.folder, self.stem, self.cores, self.deadline, self.report = folder, stem, cores, deadline, report
        self.computing, self.writing = Pace(), Pace()
        self.best = 0  # digits of the last result
        self.compared = 0  # digits of the last result that an earlier one had too
        self.began = time.monotonic()
        self.second = b""  # `3.` and the digits by the second formula
        self.before = b""  # how the last result begins
        self.parent = os.getppid()

    def run(self) -> None:
        """Compute all results that fit, and report each when it is on disk and checked. Raises WrongDigits, OSError."""
        size, end = FIRST, "time"
        while size and os.getppid() == self.parent:
            self.make(size)
            size, end = self._next()
        self.report({"end": end})

    def _next(self) -> tuple[int, str]:
        """Return the digits of the next result (0: none) and what limits it."""
        paces = (self.computing, self.writing)
        limit, reason = room.largest(self.folder)
        share = last_share(time.monotonic() - self.began, clock.queued())
        size, last = next_size(paces, self.best, self._left(), limit, share)
        if size and last:
            self.confirm_by_second()
            size, _ = next_size(paces, self.best, self._left(), limit, share)
        if most_digits(paces, share * self._left()) > limit:
            return size, reason
        return size, "time"

    def _left(self) -> float:
        return self.deadline - time.monotonic()

    def confirm_by_second(self) -> None:
        """Confirm the first digits by the second formula, as many as a small share of the time allows."""
        share = SECOND_SHARE * self._left() / SECOND_COST
        size = min(most_digits((self.computing,), share), digits_in(self.before))
        if size > digits_in(self.second):
            self.second = compute.second_opinion(size, self.cores).encode()
            self.compare(self.before)
            self.report({"checked": self._checked(self.best)})

    def make(self, size: int) -> None:
        """Compute a result of `size` digits, or of fewer if the time to write them is too short. Raises WrongDigits."""
        began = time.monotonic()
        fraction = compute.fraction_of_pi(size, self.cores)
        computed = time.monotonic()
        self.computing.add(size, computed - began)
        if self.best:
            # If the number took longer than planned, a shorter file of it is still in time.
            size = min(size, most_digits((self.writing,), WRITE_SHARE * self._left()))
            if size < MIN_GROWTH * self.best:
                return
        path = self.folder / f"{self.stem}.{size}.part"
        digest = text.write_checked(path, fraction, size, self.cores)
        self.writing.add(size, time.monotonic() - computed)
        with path.open("rb") as file:
            start = file.read(len(text.HEAD) + min(size, KEPT))
        self.compare(start)
        self.compared = digits_in(self.before)
        line = {"result": str(path), "digits": size, "sha256": digest, "method": compute.METHOD}
        self.report({**line, "checked": self._checked(size)})
        self.before, self.best = start, size

    def compare(self, start: bytes) -> None:
        """Raise WrongDigits unless a result that begins with `start` agrees with earlier results and the second formula."""
        for other, name in ((self.before, "an earlier result"), (self.second, compute.SECOND)):
            if not start.startswith(other):
                raise text.WrongDigits(f"{name} disagrees within the first {digits_in(other):,} digits")

    def _checked(self, size: int) -> list[dict[str, object]]:
        """Return what was checked of this result and how far; each entry holds for digits `from` to `to` only."""
        found = [
            (size, "the file, read back and parsed, is the number that was computed"),
            (size, "the digits in the file add up, modulo 2**61 - 1, to the binary fraction they were cut from"),
            (self.compared, "the same digits as an earlier computation at a lower precision"),
            (digits_in(self.second), f"confirmed by a second formula: {compute.SECOND}"),
        ]
        return [{"what": what, "from": 1, "to": to} for to, what in found if to]


def digits_in(start: bytes) -> int:
    """Return how many digits follow `3.`."""
    return max(0, len(start) - len(text.HEAD))


def search(folder: Path, stem: str, cores: int, deadline: float, pipe: int) -> None:
    """Run a search that writes its lines to `pipe`; a wrong digit or a disk error becomes a line too."""

    def report(line: dict[str, object]) -> None:
        os.write(pipe, json.dumps(line).encode() + b"\n")

    try:
        Search(folder, stem, cores, deadline, report).run()
    except (text.WrongDigits, compute.Unclear) as error:
        report({"wrong": str(error)})
    except OSError as error:
        report({"failed": str(error)})
    except MemoryError:
        report({"end": "memory"})
