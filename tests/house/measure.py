"""Measures of Python source: sizes, branches, docstrings, private names and import cycles.

Used by `scripts/figures` (the table) and by the tests of this folder (the limits). It reads text and prints nothing.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef
_PRIVATE = re.compile(r"_[A-Za-z]\w*")


@dataclass(frozen=True)
class Source:
    """One Python file: its dotted module name, text and syntax tree."""

    path: Path
    module: str
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        return self.text.count("\n")


def read_package(root: Path) -> list[Source]:
    """Return every Python file under `root`, the folder of an importable package, by path."""
    return [read_file(path, root.parent) for path in sorted(root.rglob("*.py")) if "__pycache__" not in path.parts]


def read_file(path: Path, top: Path) -> Source:
    """Parse one file; its module name is relative to `top`."""
    text = path.read_text(encoding="utf-8")
    parts = path.relative_to(top).with_suffix("").parts
    module = ".".join(part for part in parts if part != "__init__")
    return Source(path, module, text, ast.parse(text))


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function and method in the tree, nested ones included."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


def length(node: Function) -> int:
    """Lines of a function, from `def` to its last line."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def conditionals(tree: ast.AST) -> list[ast.IfExp]:
    """Every conditional expression (`a if condition else b`)."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.IfExp)]


def nested_conditionals(tree: ast.AST) -> list[ast.IfExp]:
    """Conditional expressions with another one inside."""
    return [node for node in conditionals(tree) if len(conditionals(node)) > 1]


def density(sources: Iterable[Source]) -> float:
    """Conditional expressions per 1,000 lines."""
    return _per_1000_lines(sources, lambda tree: len(conditionals(tree)))


def none_guard_density(sources: Iterable[Source]) -> float:
    """Comparisons with None per 1,000 lines."""
    return _per_1000_lines(sources, none_guards)


def _per_1000_lines(sources: Iterable[Source], count: Callable[[ast.Module], int]) -> float:
    found = lines = 0
    for source in sources:
        found += count(source.tree)
        lines += source.lines
    return 1000 * found / max(lines, 1)


def asserts(tree: ast.AST) -> int:
    """Number of assert statements."""
    return sum(isinstance(node, ast.Assert) for node in ast.walk(tree))


def none_guards(tree: ast.AST) -> int:
    """Number of comparisons `is None`, `is not None` and `case None`."""
    return sum(_compares_with_none(node) for node in ast.walk(tree))


def _compares_with_none(node: ast.AST) -> bool:
    if isinstance(node, ast.MatchSingleton):
        return node.value is None
    if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Is | ast.IsNot):
        return False
    right = node.comparators[0]
    return isinstance(right, ast.Constant) and right.value is None


def public_definitions(source: Source) -> list[ast.AST]:
    """The module and its public functions, methods and classes; nested functions do not count."""
    found: list[ast.AST] = [source.tree]
    todo: list[ast.Module | ast.ClassDef] = [source.tree]
    while todo:
        for node in todo.pop().body:
            if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
                found.append(node)
            if isinstance(node, ast.ClassDef):
                todo.append(node)
    return found


def has_docstring(node: ast.AST) -> bool:
    """Whether a module, class or function has a docstring."""
    assert isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    return ast.get_docstring(node) is not None


def private_names_defined(root: Path) -> set[str]:
    """Private names that a package assigns or defines anywhere, found by text: some files are for other Pythons."""
    found: set[str] = set()
    for path in root.rglob("*.py"):
        text = path.read_text(encoding="utf-8", errors="replace")
        found |= set(re.findall(r"^(?:async def |def |class )(_\w+)", text, re.MULTILINE))
        found |= set(re.findall(r"^(_[A-Za-z]\w*)\s*(?::[^=\n]+)?=", text, re.MULTILINE))
        found |= set(re.findall(r"self\.(_[a-z]\w*)\s*(?::[^=\n]+)?=", text))
    return found


def private_uses(tree: ast.AST, names: set[str]) -> Counter[str]:
    """How often each of these private names is reached for on something else than `self` and `cls`."""
    return Counter(
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and _PRIVATE.fullmatch(node.attr)
        and node.attr in names
        and not _is_self(node.value)
    )


def _is_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def imports(sources: Iterable[Source]) -> dict[str, set[str]]:
    """Which module imports which, among these; imports inside functions count, those for type checkers do not."""
    by_name = {source.module: source for source in sources}
    return {name: set(_imported(source, by_name)) - {name} for name, source in by_name.items()}


def _imported(source: Source, known: Mapping[str, object]) -> Iterator[str]:
    for node in _runtime_nodes(source.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in known:
                    yield inner
                elif node.module in known:
                    yield node.module


def _runtime_nodes(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield child
            yield from _runtime_nodes(child)


def cycles(graph: Mapping[str, set[str]]) -> list[set[str]]:
    """Groups of modules that import one another in a circle, largest first."""
    reach = {name: _reachable(graph, name) for name in graph}
    groups: list[set[str]] = []
    for name in graph:
        group = {other for other in reach[name] if name in reach[other]}
        if group and group not in groups:
            groups.append(group)
    return sorted(groups, key=len, reverse=True)


def _reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = list(graph[start])
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += graph[name]
    return seen
