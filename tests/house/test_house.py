"""Rules of the house that no linter holds: headers, sizes, branches, names, imports between tests, printing, locks."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from house import measure
from house.measure import Source

ROOT = Path(__file__).resolve().parents[2]
DAYFLY = measure.read_package(ROOT / "src/dayfly")
LOCALCLOUD = measure.read_package(ROOT / "localcloud/src/localcloud")
SOURCES = DAYFLY + LOCALCLOUD
TESTS = [
    measure.read_file(path, ROOT)
    for folder in ("tests", "localcloud/tests", "examples")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "build" not in path.parts
]
SCRIPTS = [
    measure.read_file(path, ROOT)
    for folder in ("scripts", "localcloud/scripts")
    for path in sorted((ROOT / folder).iterdir())
    if path.is_file() and path.read_text(encoding="utf-8").startswith("#!/usr/bin/env python")
]
EVERYTHING = SOURCES + TESTS + SCRIPTS
LINES_PER_FILE = 400
LINES_PER_FUNCTION = 50
CONDITIONALS_PER_1000_LINES = 6
CONDITIONALS_PER_1000_LINES_OF_A_FILE = 70
NONE_GUARDS_PER_1000_LINES = {"dayfly": 7.5, "localcloud": 15}
"""Comparisons with None. These numbers only go down: what may be absent is a type of its own, such as NotStored."""
BANNED = re.compile(r"(^|_)(util|utils|helper|helpers|manager|service|services|base|misc|common)(_|$)")


def named(source: Source) -> str:
    return str(source.path.relative_to(ROOT))


def test_every_module_opens_with_what_lives_in_it() -> None:
    silent = []
    for source in SOURCES:
        header = ast.get_docstring(source.tree) or ""
        if source.path.name != "__init__.py" and len(header.split()) < 6:
            silent.append(f"{named(source)}: {header!r}")
    assert silent == []


def test_files_are_short_enough() -> None:
    assert [named(source) for source in EVERYTHING if source.lines > LINES_PER_FILE] == []


def test_functions_are_short_enough() -> None:
    long = [
        f"{named(source)}: {node.name}: {measure.length(node)} lines"
        for source in SOURCES
        for node in measure.functions(source.tree)
        if measure.length(node) > LINES_PER_FUNCTION
    ]
    assert long == []


def test_conditional_expressions_are_not_nested() -> None:
    nested = [
        f"{named(source)}:{node.lineno}: {ast.unparse(node)}"
        for source in EVERYTHING
        for node in measure.nested_conditionals(source.tree)
    ]
    assert nested == []


def test_no_file_is_dense_with_conditional_expressions() -> None:
    dense = [
        f"{named(source)}: {len(measure.conditionals(source.tree))} in {source.lines} lines"
        for source in EVERYTHING
        if len(measure.conditionals(source.tree)) > max(3, CONDITIONALS_PER_1000_LINES_OF_A_FILE * source.lines / 1000)
    ]
    assert dense == []


@pytest.mark.parametrize(
    "package", [DAYFLY, LOCALCLOUD, TESTS, SCRIPTS], ids=["dayfly", "localcloud", "tests", "scripts"]
)
def test_conditional_expressions_are_rare(package: list[Source]) -> None:
    assert measure.density(package) <= CONDITIONALS_PER_1000_LINES


@pytest.mark.parametrize(("name", "package"), [("dayfly", DAYFLY), ("localcloud", LOCALCLOUD)])
def test_comparisons_with_none_are_rare(name: str, package: list[Source]) -> None:
    assert measure.none_guard_density(package) <= NONE_GUARDS_PER_1000_LINES[name]


def test_names_are_not_vague() -> None:
    assert [f"{named(source)}: {name}" for source in SOURCES for name in vague_names(source)] == []


def vague_names(source: Source) -> list[str]:
    classes = [node.name for node in ast.walk(source.tree) if isinstance(node, ast.ClassDef)]
    snake = [source.path.stem, *(re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() for name in classes)]
    vague = [name for name in snake if BANNED.search(name)]
    if source in LOCALCLOUD:
        return [name for name in vague if "service" not in name]  # AWS's own word
    return vague


def test_server_code_imports_only_the_standard_library() -> None:
    rooms = ("dayfly.remote.agent", "dayfly.remote.boot")
    foreign = [
        f"{named(source)}: {name}"
        for source in DAYFLY
        if source.module.startswith(rooms)
        for name in imported(source.tree)
        if not name.startswith(rooms) and name.split(".")[0] not in sys.stdlib_module_names
    ]
    assert any(source.module.startswith(rooms) for source in DAYFLY)
    assert foreign == []


def imported(tree: ast.AST) -> Iterator[str]:
    """Names of modules as the import statements give them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_no_test_imports_from_a_test_file() -> None:
    found = [
        f"{named(source)} imports {name}"
        for source in TESTS
        for name in imported_with_members(source.tree)
        if any(part.startswith("test_") for part in name.split("."))
    ]
    assert found == []


def imported_with_members(tree: ast.AST) -> Iterator[str]:
    """Yield what the import statements name: `a.b` for `import a.b` and for `from a import b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)


def test_localcloud_and_dayfly_do_not_import_each_other() -> None:
    """The whole stories of tests/system may compare the two."""
    localcloud = [*LOCALCLOUD, *(source for source in TESTS if source.module.startswith("localcloud."))]
    dayfly = [*DAYFLY, *(source for source in TESTS if not source.module.startswith(("localcloud.", "tests.system.")))]
    found = [
        f"{named(source)} imports {name}"
        for sources, other in ((localcloud, "dayfly"), (dayfly, "localcloud"))
        for source in sources
        for name in imported(source.tree)
        if name.split(".")[0] == other
    ]
    assert found == []


def test_localcloud_never_mentions_dayfly() -> None:
    assert [named(source) for source in LOCALCLOUD if "dayfly" in source.text.lower()] == []


def test_no_test_uses_mocks() -> None:
    mocks = re.compile(r"unittest\.mock|\bMagicMock\b|mock\.patch|mocker\b")
    found = [named(source) for source in TESTS if source.path != Path(__file__) and mocks.search(source.text)]
    assert found == []


def test_only_one_module_of_the_cli_prints() -> None:
    prints = [
        named(source)
        for source in DAYFLY
        if source.path.name != "output.py" and "remote" not in source.path.parts
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert prints == []


def test_locks_carry_hashes_and_no_registry() -> None:
    locks = [*(ROOT / "requirements").glob("*.txt"), *(ROOT / "localcloud/requirements").glob("*.txt")]
    assert len(locks) == 4
    for lock in locks:
        text = lock.read_text()
        assert "http" not in text, lock
        assert "--hash=sha256:" in text, lock
    assert list(ROOT.rglob("uv.lock")) == []


def test_both_locks_pin_the_same_versions() -> None:
    root, localcloud = (
        dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / path).read_text(), re.MULTILINE))
        for path in ("requirements/dev.txt", "localcloud/requirements/dev.txt")
    )
    assert localcloud
    assert {name: root.get(name) for name in localcloud} == localcloud
