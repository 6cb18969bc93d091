"""Find the line of each key in a TOML text. tomllib, which reads the values, does not report lines.

The text must be valid TOML, that is, tomllib has accepted it. Nothing is validated here.
"""

from __future__ import annotations

import bisect
import re
import tomllib

Path = tuple[str | int, ...]
"""The keys from the top table down to a value; an element of an array has its index in place of a key."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SCALAR = re.compile(r"[^,\]}#\r\n]+")
_STRINGS = (
    re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}', re.DOTALL),
    re.compile(r"'''(?:[^']|'(?!''))*'{3,5}", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)


def find(text: str) -> dict[Path, int]:
    """Return the line, counted from 1, of every table, key and array element, by path. Raises ValueError for text that is not TOML."""
    return _Scanner(text).run()


class _Scanner:
    """Walks over the text once. `at` is the offset of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.ends = [found.start() for found in re.finditer("\n", text)]
        self.found: dict[Path, int] = {}
        self.counts: dict[Path, int] = {}

    def run(self) -> dict[Path, int]:
        table: Path = ()
        self.skip(_BLANK)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)
            self.skip(_BLANK)
        return self.found

    def skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        if not found:
            raise ValueError(f"line {self.line()}: not TOML")
        self.at = found.end()
        return found.group()

    def line(self) -> int:
        return bisect.bisect_left(self.ends, self.at) + 1

    def note(self, path: Path) -> None:
        for length in range(1, len(path) + 1):
            self.found.setdefault(path[:length], self.line())

    def expect(self, sign: str) -> None:
        if not self.text.startswith(sign, self.at):
            raise ValueError(f"line {self.line()}: not TOML")
        self.at += len(sign)

    def header(self) -> Path:
        is_array = self.text.startswith("[[", self.at)
        self.expect("[[" if is_array else "[")
        path: Path = ()
        for key in self.keys():
            path = self.inside(path)
            path = (*path, key)
        if is_array:
            self.counts[path] = self.counts.get(path, -1) + 1
            path = self.inside(path)
        self.note(path)
        self.expect("]]" if is_array else "]")
        return path if is_array else self.inside(path)

    def inside(self, path: Path) -> Path:
        """Return the path; for an array of tables, the path of its newest element."""
        if path in self.counts:
            return (*path, self.counts[path])
        return path

    def pair(self, table: Path) -> None:
        path = (*table, *self.keys())
        self.note(path)
        self.expect("=")
        self.skip(_SPACE)
        self.value(path)

    def keys(self) -> list[str]:
        """Read a key, which may be dotted, and the space around it. Returns its parts."""
        parts = []
        while True:
            self.skip(_SPACE)
            if self.text[self.at] in "\"'":
                parts.append(str(tomllib.loads(f"key = {self.string()}")["key"]))
            else:
                parts.append(self.skip(_BARE))
            self.skip(_SPACE)
            if self.text[self.at] != ".":
                return parts
            self.at += 1

    def string(self) -> str:
        for pattern in _STRINGS:
            if pattern.match(self.text, self.at):
                return self.skip(pattern)
        raise ValueError(f"line {self.line()}: not TOML")

    def value(self, path: Path) -> None:
        match self.text[self.at : self.at + 1]:
            case '"' | "'":
                self.string()
            case "[":
                self.array(path)
            case "{":
                self.inline(path)
            case _:
                self.skip(_SCALAR)

    def array(self, path: Path) -> None:
        self.expect("[")
        self.skip(_BLANK)
        number = 0
        while not self.text.startswith("]", self.at):
            self.note((*path, number))
            self.value((*path, number))
            number += 1
            self.comma()
        self.expect("]")

    def inline(self, path: Path) -> None:
        self.expect("{")
        self.skip(_BLANK)
        while not self.text.startswith("}", self.at):
            self.pair(path)
            self.comma()
        self.expect("}")

    def comma(self) -> None:
        self.skip(_BLANK)
        if self.text.startswith(",", self.at):
            self.at += 1
            self.skip(_BLANK)
