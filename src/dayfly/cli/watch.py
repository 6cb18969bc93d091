"""The live view of a run: each step printed once as its fact is known. Nothing is asked of the cloud here: facts are given.

On a terminal the newest line of the job's log may stand below and is written over; without one there is one line per step.
"""

from __future__ import annotations

import shutil
import sys
from datetime import tzinfo
from typing import TextIO

from dayfly.cli import say
from dayfly.core.facts import Facts
from dayfly.project.screens.live import step_line, steps

_OVER = "\r\033[K"


class Watcher:
    """Draws one run. With `as_json` all of it goes to stderr, so that stdout stays one document.

    `attempt`: from which attempt on (a retry shows its own); `tenths`: the demo's picture.
    """

    def __init__(self, zone: tzinfo, *, as_json: bool, tenths: bool = False, attempt: int = 1) -> None:
        self._zone, self._tenths, self._attempt = zone, tenths, attempt
        self._stream: TextIO = sys.stderr if as_json else sys.stdout
        self._line = say.note if as_json else say.answer
        self._seen: set[tuple[int, str]] = set()
        self._below = ""

    @property
    def live(self) -> bool:
        """Whether a line may be written over."""
        return self._stream.isatty()

    def show(self, facts: Facts) -> int:
        """Prints what is new; how many lines. A fact that comes late is printed when it comes."""
        found = steps(facts, attempt=self._attempt)
        new = [line for line in found if (line.attempt, line.name) not in self._seen]
        if new:
            self.clear()
        for line in new:
            self._seen.add((line.attempt, line.name))
            self._line(step_line(line, found[0].at, self._zone, tenths=self._tenths))
        return len(new)

    def below(self, text: str) -> None:
        """The newest line of the log (or what is waited for), under the steps; only on a terminal."""
        if not self.live or text == self._below:
            return
        room = max(20, shutil.get_terminal_size().columns - 16)
        plain = "".join(letter for letter in text if letter.isprintable())[:room]
        self._stream.write(f"{_OVER}              | {plain}")
        self._stream.flush()
        self._below = text

    def clear(self) -> None:
        """Takes the line below away."""
        if self._below:
            self._stream.write(_OVER)
            self._stream.flush()
            self._below = ""
