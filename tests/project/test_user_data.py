"""User data is constant, small and has the two parts that cloud-init runs; the minifier keeps a program's behavior."""

from __future__ import annotations

import ast
import email
import gzip
from pathlib import Path

import pytest

from dayfly.project.stack import user_data
from dayfly.project.stack.minify import minify

AGENT = Path(__file__).parents[2] / "src" / "dayfly" / "remote" / "agent"
BOOTHOOK = (AGENT / "boothook.sh").read_text()
SOURCES = {path.name: path.read_text() for path in AGENT.glob("*.py")}


def test_user_data_is_constant_and_at_most_12_kib() -> None:
    sent = user_data.build(BOOTHOOK, SOURCES)
    assert len(sent) <= 12 * 1024
    assert sent == user_data.build(BOOTHOOK, dict(reversed(SOURCES.items())))
    assert sent[4:8] == b"\0\0\0\0"  # no time in the gzip header


def test_boothook_comes_before_the_script() -> None:
    message = email.message_from_bytes(gzip.decompress(user_data.build(BOOTHOOK, SOURCES)))
    parts = [part for part in message.walk() if not part.is_multipart()]
    assert [part.get_content_type() for part in parts] == ["text/cloud-boothook", "text/x-shellscript"]
    assert all(part.get_payload().startswith("#!/bin/sh\n") for part in parts)


def test_user_data_that_is_too_long_is_refused() -> None:
    noise = "\n".join(f"x{n} = {hash((n, 'noise'))}" for n in range(2000))
    with pytest.raises(ValueError, match="the limit is 12288"):
        user_data.build(BOOTHOOK, {**SOURCES, "noise.py": noise})


@pytest.mark.parametrize("boothook", ["#!/bin/sh\n", "#!/bin/sh\n#agent#\n#agent#\n"])
def test_boothook_needs_exactly_one_placeholder(boothook: str) -> None:
    with pytest.raises(ValueError, match="#agent#"):
        user_data.build(boothook, SOURCES)


def test_file_name_that_is_not_a_module_is_refused() -> None:
    with pytest.raises(ValueError, match="not file names of modules"):
        user_data.build(BOOTHOOK, {"../x.py": ""})


def run(source: str) -> dict[str, object]:
    found: dict[str, object] = {}
    exec(compile(minify({"m.py": source})["m.py"], "m.py", "exec"), found)  # noqa: S102 - the program under test
    return found


PROGRAM = '''
"""About."""
from __future__ import annotations
from typing import Any, NamedTuple
import os

_TABLE: dict[str, int] = {"_TABLEAU": 1}


class Pair(NamedTuple):
    """Two."""

    left: int
    right: str | None = None


class Thing:
    """Says."""

    def __init__(self, value: int) -> None:
        self._value = value
        self.seen: list[int] = []

    def _double(self, *, by: int = 2) -> int:
        """Twice."""
        return self._value * by

    def words(self, name: str) -> str:
        total: int = self._double(by=3)
        try:
            raise ValueError("x")
        except ValueError as problem:
            text = f"{name!r} {{}} {total:04d} {problem} 50%"
        inner = lambda step: step + total
        return text + str([inner(one) for one in (1, 2)]) + "".join(_TABLE) + "    "


RESULT = Thing(7).words(name="n")
EMPTY = f"plain {{x}}"
'''


def test_minified_program_does_the_same() -> None:
    full: dict[str, object] = {}
    exec(compile(PROGRAM, "m.py", "exec"), full)  # noqa: S102 - the program under test
    minified = run(PROGRAM)
    assert minified["RESULT"] == full["RESULT"] == "'n' {} 0021 x 50%[22, 23]_TABLEAU    "
    assert minified["EMPTY"] == full["EMPTY"]
    assert minified["Pair"](1) == (1, None)  # type: ignore[operator]


def test_minified_program_has_no_docstrings_or_f_strings() -> None:
    minified = minify({"m.py": PROGRAM})["m.py"]
    assert "About" not in minified
    assert "Twice" not in minified
    assert "annotations" not in minified
    assert "problem" not in minified
    assert not any(isinstance(node, ast.JoinedStr) for node in ast.walk(ast.parse(minified)))
    assert len(minified) < 0.75 * len(PROGRAM)


def test_private_name_is_shortened_alike_in_all_modules() -> None:
    minified = minify({"a.py": "class A:\n    _held_thing = 1\n", "b.py": "def f(x):\n    return x._held_thing\n"})
    name = minified["a.py"].split("\n")[1].split()[0]
    assert name != "_held_thing"
    assert f".{name}" in minified["b.py"]


def test_local_that_hides_a_global_is_refused() -> None:
    with pytest.raises(ValueError, match="hides a global"):
        minify({"m.py": "import os\ndef f():\n    return [os for os in (1,)] + [os.sep]\n"})


def test_syntax_newer_than_python_3_9_is_refused() -> None:
    with pytest.raises(SyntaxError):
        minify({"m.py": "match 1:\n    case 1:\n        pass\n"})


def test_minified_agent_parses_as_python_3_9() -> None:
    for text in minify(SOURCES).values():
        ast.parse(text, feature_version=(3, 9))
