"""How many digits next: a growing row of whole results, the last as large as the time left allows.

Runs in a process of its own (FLINT does not stop for a signal) and tells its parent by lines of JSON: of each result
`{"result": PATH, ...}`, or `{"checked": [...]}` when more of the last one was checked; at last one line of `end` (time,
memory or disk), `wrong` or `failed`. The parent keeps the clock and the names of files; this side may be killed at any
moment.
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
GROWTH = 1.23  # seconds grow with digits to this power, at least: measured from 1 to 60 million digits
STEEPEST = 1.35
LAST_SHARE = 0.9  # of the time left, for the last result: what remains is for estimates that fail
LAST_SHARE_BUSY = 0.65  # the same where others want the cores too: their load comes and goes
BUSY = 0.82  # a share below this means a busy machine: nearer steps, so that losing the last result loses less
WRITE_SHARE = 0.85  # of the time left once the last number is computed, for writing it
PROBE_SHARE, PROBE_SHARE_BUSY = 0.08, 0.25  # of the time left, for a result that shows how fast this machine is
LAST_REACH, LAST_REACH_BUSY = 12, 4  # the last result is at most so many times larger than what was measured
PROBE_REACH = 64
WORTH = 1.15  # a result that is not so much larger is not worth its time
SECOND_SHARE = 0.05  # of the time left, for the second formula
SECOND_COST = 5  # the second formula is about so many times slower
KEPT = 5_000_000  # digits of a result that the next one is compared with
LARGEST = 10**13  # digits; more than any machine has room for


@dataclass(slots=True)
class Pace:
    """What one part of a result costs here and now, as measured: (digits, seconds) of each so far."""

    measured: list[tuple[int, float]] = field(default_factory=list)

    def add(self, digits: int, seconds: float) -> None:
        """One more measurement."""
        self.measured.append((digits, max(seconds, 1e-4)))

    @property
    def power(self) -> float:
        """The power of digits that seconds grow with, from the last two measurements where they lie far enough apart."""
        if len(self.measured) < 2:
            return GROWTH
        (d0, s0), (d1, s1) = self.measured[-2:]
        if d1 < 4 * d0:
            return GROWTH
        return min(STEEPEST, max(GROWTH, log2(s1 / s0) / log2(d1 / d0)))

    def seconds(self, digits: int) -> float:
        """Seconds that `digits` should take."""
        known, took = self.measured[-1]
        return float(took * (digits / known) ** self.power)


def most_digits(paces: tuple[Pace, ...], seconds: float) -> int:
    """The most digits whose parts, one after the other, should take no longer than `seconds`; 0 for no time."""
    low, high = 0, LARGEST
    while high - low > 1 + low // 1000:
        middle = (low + high) // 2
        if sum(pace.seconds(middle) for pace in paces) <= seconds:
            low = middle
        else:
            high = middle
    return low


def last_share(elapsed: float, queued: float) -> float:
    """The share of the time left that the last result may plan for, where we waited `queued` of `elapsed` seconds."""
    return max(LAST_SHARE_BUSY, LAST_SHARE - queued / max(elapsed, 1e-3))


def next_size(paces: tuple[Pace, ...], best: int, left: float, room_for: int, share: float) -> tuple[int, bool]:
    """Digits of the next result with `left` seconds to go (0: none is worth it), and whether it is to be the last.

    `share` is how much of `left` the last result may plan for; `room_for` the most digits there is room for.
    """
    full = min(most_digits(paces, share * left), room_for)
    if full < WORTH * best:
        return 0, True
    reach, probe = (LAST_REACH_BUSY, PROBE_SHARE_BUSY) if share < BUSY else (LAST_REACH, PROBE_SHARE)
    if full <= reach * best:
        return full, True
    return max(min(most_digits(paces, probe * left), PROBE_REACH * best), 2 * best), False


class Search:
    """One search: `deadline` in seconds of time.monotonic(), results in `folder`, `tell` gets each line."""

    def __init__(
        self, folder: Path, stem: str, cores: int, deadline: float, tell: Callable[[dict[str, object]], None]
    ) -> None:
        self.folder, self.stem, self.cores, self.deadline, self.tell = folder, stem, cores, deadline, tell
        self.computing, self.writing = Pace(), Pace()
        self.best = 0
        self.compared = 0
        self.began = time.monotonic()
        self.second = b""
        self.before = b""
        self.parent = os.getppid()

    def run(self) -> None:
        """All results that fit, each told as soon as it is on the disk and checked. Raises WrongDigits, OSError."""
        size, end = FIRST, "time"
        while size and os.getppid() == self.parent:
            self.make(size)
            size, end = self._next()
        self.tell({"end": end})

    def _next(self) -> tuple[int, str]:
        """Digits of the next result (0: none) and what would hold it back."""
        paces = (self.computing, self.writing)
        limit, reason = room.largest(self.folder)
        share = last_share(time.monotonic() - self.began, clock.queued())
        size, last = next_size(paces, self.best, self._left(), limit, share)
        if size and last:
            self.ask_second()
            size, _ = next_size(paces, self.best, self._left(), limit, share)
        return size, reason if most_digits(paces, share * self._left()) > limit else "time"

    def _left(self) -> float:
        return self.deadline - time.monotonic()

    def ask_second(self) -> None:
        """Confirm the first digits by the second formula, as many as a small share of the time is enough for."""
        share = SECOND_SHARE * self._left() / SECOND_COST
        size = min(most_digits((self.computing,), share), digits_in(self.before))
        if size > digits_in(self.second):
            self.second = compute.second_opinion(size, self.cores).encode()
            self.compare(self.before)
            self.tell({"checked": self._checked(self.best)})

    def make(self, size: int) -> None:
        """One result of `size` digits, or of fewer where the time left is too short to write them. Raises WrongDigits."""
        began = time.monotonic()
        fraction = compute.fraction_of_pi(size, self.cores)
        computed = time.monotonic()
        self.computing.add(size, computed - began)
        if self.best:
            # If the number took longer than it should have, a shorter file of it is still in time.
            size = min(size, most_digits((self.writing,), WRITE_SHARE * self._left()))
            if size < WORTH * self.best:
                return
        path = self.folder / f"{self.stem}.{size}.part"
        digest = text.write_checked(path, fraction, size, self.cores)
        self.writing.add(size, time.monotonic() - computed)
        with path.open("rb") as file:
            start = file.read(len(text.HEAD) + min(size, KEPT))
        self.compare(start)
        self.compared = digits_in(self.before)
        told = {"result": str(path), "digits": size, "sha256": digest, "method": compute.METHOD}
        self.tell({**told, "checked": self._checked(size)})
        self.before, self.best = start, size

    def compare(self, start: bytes) -> None:
        """Raise WrongDigits unless a result that begins with `start` agrees with what is known so far."""
        for other, name in ((self.before, "an earlier result"), (self.second, compute.SECOND)):
            if not start.startswith(other):
                raise text.WrongDigits(f"{name} disagrees within the first {digits_in(other):,} digits")

    def _checked(self, size: int) -> list[dict[str, object]]:
        """What was checked of this result and how far: each entry is true of digits `from` to `to`, of no more."""
        found = [
            (size, "the file, read back and parsed, is the number that was computed"),
            (size, "the digits in the file add up, modulo 2**61 - 1, to the binary fraction they were cut from"),
            (self.compared, "the same digits as an earlier computation at a lower precision"),
            (digits_in(self.second), f"confirmed by a second formula: {compute.SECOND}"),
        ]
        return [{"what": what, "from": 1, "to": to} for to, what in found if to]


def digits_in(start: bytes) -> int:
    return max(0, len(start) - len(text.HEAD))


def search(folder: Path, stem: str, cores: int, deadline: float, pipe: int) -> None:
    """Run a search that writes its lines to `pipe`; a wrong digit or a disk that says no becomes a line too."""

    def tell(line: dict[str, object]) -> None:
        os.write(pipe, json.dumps(line).encode() + b"\n")

    try:
        Search(folder, stem, cores, deadline, tell).run()
    except (text.WrongDigits, compute.Unclear) as error:
        tell({"wrong": str(error)})
    except OSError as error:
        tell({"failed": str(error)})
    except MemoryError:
        tell({"end": "memory"})
