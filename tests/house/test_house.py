"""The house's own rules that no linter holds: headers, sizes, names, what the agent may import, no mocks."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for path in (ROOT / "src").rglob("*.py") if "__pycache__" not in path.parts)
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LINES_A_FILE = 400
LINES_A_FUNCTION = 60
BANNED = re.compile(r"(^|_)(util|utils|helper|helpers|manager|service|services|base|misc|common)(_|$)")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [path for path in SOURCES if path.name != "__init__.py"], ids=named)
def test_every_module_opens_with_what_lives_in_it(path):
    header = ast.get_docstring(ast.parse(path.read_text()))
    assert header, "no module docstring"
    assert len(header.split()) >= 6, f"the docstring says too little: {header!r}"


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_no_file_and_no_function_is_too_long(path):
    text = path.read_text()
    assert text.count("\n") <= LINES_A_FILE
    long = [
        f"{node.name}: {(node.end_lineno or 0) - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or 0) - node.lineno + 1 > LINES_A_FUNCTION
    ]
    assert not long


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_no_name_says_nothing(path):
    classes = [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
    snake = [path.stem, *(re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() for name in classes)]
    # localcloud speaks AWS's language, in which there are services.
    bad = [name for name in snake if BANNED.search(name) and not ("service" in name and "localcloud" in path.parts)]
    assert not bad


def test_the_agent_imports_the_standard_library_alone():
    agent = ROOT / "src/dayfly/remote/agent"
    own = {path.stem for path in agent.glob("*.py")}
    foreign = []
    for path in agent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                found = [node.module or ""]
            for name in found:
                if name.startswith("dayfly.remote.agent") or name in own:
                    continue
                if name.split(".")[0] not in sys.stdlib_module_names:
                    foreign.append(f"{path.name}: {name}")
    assert not foreign


def test_no_test_uses_a_mock():
    found = [
        named(path)
        for path in TESTS
        if path != Path(__file__) and re.search(r"unittest\.mock|\bMagicMock\b|mock\.patch|mocker\b", path.read_text())
    ]
    assert not found


def test_only_output_prints_for_the_cli():
    prints = [
        named(path)
        for path in SOURCES
        if "dayfly" in path.parts and path.name != "output.py" and "remote" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not prints


def test_no_lock_names_a_registry():
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert "http" not in lock.read_text(), lock.name
    assert not list(ROOT.glob("uv.lock"))


def test_the_localcloud_never_heard_of_dayfly():
    speaking = [named(path) for path in (ROOT / "src/localcloud").rglob("*.py") if "dayfly" in path.read_text().lower()]
    assert not speaking
