"""User data: constant, small, of the two parts cloud-init runs; and the shrinking of what travels in it."""

from __future__ import annotations

import ast
import email
import gzip
from pathlib import Path

import pytest

from dayfly.project.stack import user_data
from dayfly.project.stack.minify import shrink

AGENT = Path(__file__).parents[2] / "src" / "dayfly" / "remote" / "agent"
BOOTHOOK = (AGENT / "boothook.sh").read_text()
SOURCES = {path.name: path.read_text() for path in AGENT.glob("*.py")}


def test_user_data_is_constant_and_below_12_kib() -> None:
    sent = user_data.build(BOOTHOOK, SOURCES)
    assert len(sent) <= 12 * 1024
    assert sent == user_data.build(BOOTHOOK, dict(reversed(SOURCES.items())))
    assert sent[4:8] == b"\0\0\0\0"  # no time in the gzip header


def test_its_parts_are_the_boothook_first_and_then_the_script() -> None:
    message = email.message_from_bytes(gzip.decompress(user_data.build(BOOTHOOK, SOURCES)))
    parts = [part for part in message.walk() if not part.is_multipart()]
    assert [part.get_content_type() for part in parts] == ["text/cloud-boothook", "text/x-shellscript"]
    assert all(part.get_payload().startswith("#!/bin/sh\n") for part in parts)


def test_user_data_that_would_be_too_long_is_refused() -> None:
    noise = "\n".join(f"x{n} = {hash((n, 'noise'))}" for n in range(2000))
    with pytest.raises(ValueError, match="at most 12288"):
        user_data.build(BOOTHOOK, {**SOURCES, "noise.py": noise})


@pytest.mark.parametrize("boothook", ["#!/bin/sh\n", "#!/bin/sh\n#agent#\n#agent#\n"])
def test_a_boothook_without_its_one_mark_is_refused(boothook: str) -> None:
    with pytest.raises(ValueError, match="#agent#"):
        user_data.build(boothook, SOURCES)


def test_a_name_that_is_no_module_is_refused() -> None:
    with pytest.raises(ValueError, match="not names of modules"):
        user_data.build(BOOTHOOK, {"../x.py": ""})


def run(source: str) -> dict[str, object]:
    found: dict[str, object] = {}
    exec(compile(shrink({"m.py": source})["m.py"], "m.py", "exec"), found)  # noqa: S102 - the program under test
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


def test_a_shrunk_program_does_the_same() -> None:
    full: dict[str, object] = {}
    exec(compile(PROGRAM, "m.py", "exec"), full)  # noqa: S102 - the program under test
    small = run(PROGRAM)
    assert small["RESULT"] == full["RESULT"] == "'n' {} 0021 x 50%[22, 23]_TABLEAU    "
    assert small["EMPTY"] == full["EMPTY"]
    assert small["Pair"](1) == (1, None)  # type: ignore[operator]


def test_a_shrunk_program_holds_no_words_for_people_and_no_f_strings() -> None:
    small = shrink({"m.py": PROGRAM})["m.py"]
    assert "About" not in small
    assert "Twice" not in small
    assert "annotations" not in small
    assert "problem" not in small
    assert not any(isinstance(place, ast.JoinedStr) for place in ast.walk(ast.parse(small)))
    assert len(small) < 0.75 * len(PROGRAM)


def test_a_private_name_is_the_same_in_all_modules() -> None:
    small = shrink({"a.py": "class A:\n    _held_thing = 1\n", "b.py": "def f(x):\n    return x._held_thing\n"})
    name = small["a.py"].split("\n")[1].split()[0]
    assert name != "_held_thing"
    assert f".{name}" in small["b.py"]


def test_a_local_that_hides_a_global_is_refused_for_it_would_be_renamed_wrongly() -> None:
    with pytest.raises(ValueError, match="hides a global"):
        shrink({"m.py": "import os\ndef f():\n    return [os for os in (1,)] + [os.sep]\n"})


def test_what_python_3_9_can_not_read_is_refused() -> None:
    with pytest.raises(SyntaxError):
        shrink({"m.py": "match 1:\n    case 1:\n        pass\n"})


def test_the_agent_itself_shrinks_to_what_python_3_9_reads() -> None:
    for text in shrink(SOURCES).values():
        ast.parse(text, feature_version=(3, 9))
