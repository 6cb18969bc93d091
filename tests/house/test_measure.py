"""The measures count what they say they count."""

from __future__ import annotations

import ast
from pathlib import Path

from house import figures, measure

TEXT = '''"""A module that counts."""
def long(value):
    """Has a docstring."""
    if value is not None:
        return 1 if value else (2 if value == "" else 3)
    assert value is None
    match value:
        case None:
            return 4
    return thing._hidden + self._hidden
'''


def package(folder: Path, **files: str) -> list[measure.Source]:
    root = folder / "thing"
    root.mkdir()
    for name, text in files.items():
        (root / f"{name}.py").write_text(text)
    return measure.read_package(root)


def test_branches_asserts_and_guards_are_counted() -> None:
    tree = ast.parse(TEXT)
    assert len(measure.conditionals(tree)) == 2
    assert len(measure.nested_conditionals(tree)) == 1
    assert measure.asserts(tree) == 1
    assert measure.none_guards(tree) == 3
    assert [measure.length(node) for node in measure.functions(tree)] == [9]


def test_private_uses_leave_out_self() -> None:
    assert measure.private_uses(ast.parse(TEXT), {"_hidden"}) == {"_hidden": 1}


def test_cycles_are_found_through_function_imports(tmp_path: Path) -> None:
    sources = package(
        tmp_path,
        __init__="",
        a="from thing import b",
        b="def late():\n    from thing.c import name\n",
        c="import thing.a",
        d="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from thing import e\n",
        e="import thing.d",
    )
    assert measure.cycles(measure.imports(sources)) == [{"thing.a", "thing.b", "thing.c"}]


def test_table_has_a_row_per_room_and_package() -> None:
    text = figures.table(figures.ROOT)
    for name in ("dayfly/core", "dayfly/flows", "**dayfly, all**", "localcloud/ec2", "**localcloud, all**"):
        assert f"| {name} |" in text
