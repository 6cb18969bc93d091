"""The live view of a run: it prints each step once, when its fact is known. It is given the facts and calls no cloud.

On a terminal, the line below the steps shows the newest line of the job's log and is overwritten. Elsewhere each step is a line.
"""

from __future__ import annotations

import shutil
import sys
from datetime import tzinfo

from dayfly.cli import output
from dayfly.core.facts import Facts
from dayfly.project.screens.progress import format_step, step_lines

_OVERWRITE = "\r\033[K"
_INDENT = 16


class LiveView:
    """Prints the steps of one run. With `as_json` they go to stderr, so that stdout stays one document.

    `attempt` is the first attempt to show (a retry shows only its own); `tenths` adds tenths of a second.
    """

    def __init__(self, zone: tzinfo, *, as_json: bool, tenths: bool = False, attempt: int = 1) -> None:
        self._zone, self._tenths, self._attempt = zone, tenths, attempt
        self._as_json = as_json
        self._stream = sys.stderr if as_json else sys.stdout
        self._printed: set[tuple[int, str]] = set()
        self._below = ""

    @property
    def on_terminal(self) -> bool:
        """Whether a line can be overwritten."""
        return self._stream.isatty()

    def show(self, facts: Facts) -> int:
        """Print the steps that are new and return their number. A step whose fact arrives late is printed then."""
        found = step_lines(facts, attempt=self._attempt)
        new = [step for step in found if (step.attempt, step.name) not in self._printed]
        if new:
            self.clear()
        for step in new:
            self._printed.add((step.attempt, step.name))
            output.status(format_step(step, found[0].at, self._zone, tenths=self._tenths), as_json=self._as_json)
        return len(new)

    def below(self, text: str) -> None:
        """Put one line under the steps: the newest of the log, or what the run waits for. Only on a terminal."""
        if not self.on_terminal or text == self._below:
            return
        width = max(20, shutil.get_terminal_size().columns - _INDENT)
        printable = "".join(letter for letter in text if letter.isprintable())[:width]
        self._stream.write(f"{_OVERWRITE}{' ' * (_INDENT - 2)}| {printable}")
        self._stream.flush()
        self._below = text

    def clear(self) -> None:
        """Remove the line under the steps."""
        if self._below:
            self._stream.write(_OVERWRITE)
            self._stream.flush()
            self._below = ""
