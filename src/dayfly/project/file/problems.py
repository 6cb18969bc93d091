"""What is wrong with a dayfly.toml, as values: each with its place, reason and remedies; and the refusal that holds all of them.

How lines are laid out on a screen is the caller's; the labels (`error`, `why`, `do`, `or`) are given here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dayfly.errors import FileError

Lines = tuple[tuple[str, str], ...]
"""(label, text) each."""


@dataclass(frozen=True, slots=True)
class Problem:
    """`path` is the key (`jobs.ingest.schedule`; empty: the file as a whole), `line` counts from 1, None: not known.

    `remedies` are alternatives, the best first.
    """

    path: str
    line: int | None
    message: str
    why: str = ""
    remedies: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = f" (line {self.line})" if self.line else ""
        if not self.path:
            return f"line {self.line}: {self.message}" if self.line else self.message
        return f"{self.path}{where}: {self.message}"

    def lines(self, label: str = "error") -> Lines:
        """What, why, do, or: in this order; what has no text is left out."""
        why = (("why", self.why),) if self.why else ()
        remedies = tuple(("or" if number else "do", remedy) for number, remedy in enumerate(self.remedies))
        return ((label, str(self)), *why, *remedies)


class Problems(FileError):
    """Everything that is wrong with one file, at once. Remedy: mend each; nothing was done."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        count = len(problems)
        super().__init__(
            f"{count} error{'s' if count > 1 else ''} in {file}; nothing was changed",
            lines=tuple(line for problem in problems for line in problem.lines()),
        )
        self.file = file
        self.problems = tuple(problems)
