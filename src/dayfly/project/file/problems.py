"""A problem of a dayfly.toml, with its place, reason and remedies; and the exception that holds all problems of a file.

The labels of their lines (`error`, `why`, `do`, `or`) are chosen here. The caller lays the lines out on a screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dayfly.core import texts
from dayfly.errors import FileError

Lines = tuple[tuple[str, str], ...]
"""Lines of a message, each as (label, text)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem. `path` names the key (`jobs.ingest.schedule`), or is empty for the whole file.

    `line` counts from 1; None means unknown. `remedies` are alternatives, the best first.
    """

    path: str
    line: int | None
    message: str
    why: str = ""
    remedies: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.path and self.line:
            return f"{self.path} (line {self.line}): {self.message}"
        if self.path:
            return f"{self.path}: {self.message}"
        if self.line:
            return f"line {self.line}: {self.message}"
        return self.message

    def lines(self, label: str = "error") -> Lines:
        """Return the message, labelled `label`; then the reason (`why`) and the remedies (`do`, `or`), if there are any."""
        found = [(label, str(self))]
        if self.why:
            found.append(("why", self.why))
        labels = ("do", *["or"] * len(self.remedies))
        found += zip(labels, self.remedies, strict=False)
        return tuple((name, texts.escaped(words)) for name, words in found)


class Problems(FileError):
    """All problems of one file. Nothing was changed. Remedy: fix each of them."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        count = len(problems)
        super().__init__(
            f"{count} error{'s' if count > 1 else ''} in {file}; nothing was changed",
            lines=tuple(line for problem in problems for line in problem.lines()),
        )
        self.file = file
        self.problems = tuple(problems)
