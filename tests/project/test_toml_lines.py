"""toml_lines finds the keys that tomllib finds, each with its line."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dayfly.project.file import toml_lines

DIFFICULT = '''\
# [not.a.table]
a = 1   # b = 2
"quoted key" = """
c = 3
\\""" [d]
"""
lit = \'\'\'
[e]
''q'' \'\'\'
dotted . "x.y" . z = 'a # b = c'

[t]   # [u]
list = [
  1, # x = 1
  "],", [2, 3],
  { k = "}", l = { m = [ ] } },
]
when = 2026-11-24T01:30:00Z
neg = -1.5e3

[t.sub."é"]
v = "\\"]"
[[arr]]
n = 1
[arr.in]
m = 1
[[arr]]
n = 2
  [[arr.deep]]
  o = """""two quotes"""""
[ spaced . out ]
w = true'''


def paths(value: Any, path: toml_lines.Path = ()) -> set[toml_lines.Path]:
    """Return the path of every key and list item inside `value`."""
    found = set()
    for key, part in parts(value):
        found |= {(*path, key)} | paths(part, (*path, key))
    return found


def parts(value: Any) -> list[tuple[Any, Any]]:
    """Return the members of a table by key, those of a list by position, none of another value."""
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, list):
        return list(enumerate(value))
    return []


def test_every_key_of_a_difficult_text_is_found() -> None:
    assert set(toml_lines.find(DIFFICULT)) == paths(tomllib.loads(DIFFICULT))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 2),
        (("quoted key",), 3),
        (("lit",), 7),
        (("dotted", "x.y", "z"), 10),
        (("t",), 12),
        (("t", "list", 1), 15),
        (("t", "list", 3, "l", "m"), 16),
        (("t", "neg"), 19),
        (("t", "sub", "é", "v"), 22),
        (("arr", 1, "n"), 28),
        (("arr", 1, "deep", 0, "o"), 30),
        (("spaced", "out", "w"), 32),
    ],
)
def test_key_has_its_line(path: toml_lines.Path, line: int) -> None:
    assert toml_lines.find(DIFFICULT)[path] == line


def written(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{written(key)} = {written(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list):
        return "[\n" + ",\n".join(written(part) for part in value) + "]"
    if isinstance(value, str):
        return '"' + "".join(escaped(sign) for sign in value) + '"'
    return str(value).lower()


def escaped(sign: str) -> str:
    if ord(sign) < 32 or sign in '"\\\x7f':
        return f"\\U{ord(sign):08x}"
    return sign


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
VALUES = st.recursive(
    st.one_of(st.integers(-9, 9), st.booleans(), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_any_document_has_the_keys_that_tomllib_finds(document: dict[str, Any]) -> None:
    text = "\n".join(f"{written(key)} = {written(value)}" for key, value in document.items())
    assert set(toml_lines.find(text)) == paths(tomllib.loads(text))
