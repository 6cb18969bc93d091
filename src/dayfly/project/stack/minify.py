"""Minify Python source: the same program in fewer bytes, for Python 3.9 and later.

It removes docstrings, comments, annotations and the imports that are then unused, and shortens local and private names. Strings and
public names stay. It depends on nothing that the program does.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, product
from string import ascii_letters
from typing import cast

OLDEST_PYTHON = (3, 9)
_PRIVATE = re.compile(r"(?<!\w)_[A-Za-z]\w+")


def minify(sources: Mapping[str, str]) -> dict[str, str]:
    """Return the modules of one program, by name, minified together, so that a private name is the same in all of them.

    Sources must not look up private names as text (`getattr(x, "_name")`). Raises SyntaxError, and ValueError for what it cannot
    rename safely.
    """
    trees = {name: ast.parse(source, feature_version=OLDEST_PYTHON) for name, source in sources.items()}
    private = _private_names(trees.values(), "\n".join(sources.values()))
    calls = (node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.Call))
    keywords = {keyword.arg for call in calls for keyword in call.keywords}
    minified = {}
    for name, tree in trees.items():
        _Stripper().visit(tree)
        ast.fix_missing_locations(tree)
        _pack_imports(tree)
        for function in _outermost(tree.body):
            _shorten_locals(function, keywords, _globals(tree))
        text = re.sub(r"^(?:    )+", lambda found: "\t" * (len(found[0]) // 4), ast.unparse(tree), flags=re.MULTILINE)
        text = _PRIVATE.sub(lambda found: private.get(found[0], found[0]), re.sub(r"\n+", "\n", text))
        ast.parse(text, feature_version=OLDEST_PYTHON)
        minified[name] = text
    return minified


def _globals(tree: ast.Module) -> set[str]:
    """Return the names that a module binds at its top level."""
    found = {line.name for line in tree.body if isinstance(line, (ast.FunctionDef, ast.ClassDef))}
    for line in tree.body:
        if isinstance(line, (ast.Import, ast.ImportFrom)):
            found |= {(name.asname or name.name).split(".")[0] for name in line.names}
        elif isinstance(line, ast.Assign):
            found |= {target.id for target in line.targets if isinstance(target, ast.Name)}
    return found


class _Stripper(ast.NodeTransformer):
    """Removes docstrings and annotations. Turns f-strings into calls of format, which every Python unparses alike."""

    def visit(self, node: ast.AST) -> ast.AST | None:
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _is_docstring(line)] or [ast.Pass()]  # type: ignore[attr-defined]
        return super().visit(node)  # type: ignore[no-any-return]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        for line in node.body:
            if isinstance(line, ast.AnnAssign):
                line.annotation = ast.Name("int", ast.Load())  # a field needs an annotation; at run time any will do
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if isinstance(node.annotation, ast.Name) and node.annotation.id == "int" and isinstance(node.target, ast.Name):
            return self.generic_visit(node)  # a field of a class, see visit_ClassDef
        if node.value is None:
            return None
        return self.generic_visit(ast.Assign([node.target], node.value))

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.cause, ast.Name):  # the traceback shows the cause anyway
            node.cause = None
        return self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        if node.module == "__future__":
            return None
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        text = ""
        values: list[ast.expr] = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                text += _placeholder(part)
                values.append(cast(ast.expr, self.visit(part.value)))
            elif isinstance(part, ast.Constant):
                text += str(part.value).replace("{", "{{").replace("}", "}}")
        return ast.Call(ast.Attribute(ast.Constant(text), "format", ast.Load()), values, [])


def _placeholder(value: ast.FormattedValue) -> str:
    """Return what stands for the value in the text of format: `{}`, `{!r}`, `{:04d}`. Raises ValueError."""
    text = ""
    if value.conversion > 0:
        text += "!" + chr(value.conversion)
    if value.format_spec is not None:
        text += ":" + _constant(value.format_spec)
    return "{" + text + "}"


def _constant(spec: ast.expr) -> str:
    """Return the text of a format specification. Raises ValueError if it is computed."""
    text = ""
    for part in ast.walk(spec):
        if isinstance(part, ast.Constant):
            text += str(part.value)
        elif not isinstance(part, ast.JoinedStr):
            raise ValueError("a computed format specification")
    return text


def _is_docstring(line: ast.AST) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def _pack_imports(tree: ast.Module) -> None:
    """Join all plain imports in one line, and drop the imported names that are not used."""
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    plain = ast.Import([])
    rest: list[ast.stmt] = []
    for line in tree.body:
        if isinstance(line, ast.ImportFrom):
            line.names = [name for name in line.names if (name.asname or name.name) in used]
        if isinstance(line, ast.Import):
            plain.names += line.names
        elif not isinstance(line, ast.ImportFrom) or line.names:
            rest.append(line)
    if plain.names:
        rest.insert(0, plain)
    tree.body = rest


def _outermost(body: list[ast.stmt]) -> Iterator[ast.FunctionDef]:
    """Yield the functions and methods that are not inside another function."""
    for line in body:
        if isinstance(line, ast.FunctionDef):
            yield line
        elif isinstance(line, ast.ClassDef):
            yield from _outermost(line.body)


def _shorten_locals(function: ast.FunctionDef, keep: set[str | None], outside: set[str]) -> None:
    """Shorten all names that a function binds, closures included, in order of first use; but none in `keep`.

    Raises ValueError if it binds a name of `outside`, or uses `global` or `nonlocal`: scopes are not tracked.
    """
    bound: dict[str, str] = {}
    others: set[str | None] = set(keep)
    nodes = list(ast.walk(function))
    for node in nodes:
        for name in _bindings(node, function):
            bound.setdefault(name, name)
    if outside & set(bound) or any(isinstance(node, (ast.Global, ast.Nonlocal)) for node in nodes):
        raise ValueError(f"{function.name}: a local name hides a global one: {sorted(outside & set(bound))}")
    others |= {node.id for node in nodes if isinstance(node, ast.Name)} - set(bound)
    free = (name for name in _short_names() if name not in others)
    for name in bound:
        if name not in keep:
            bound[name] = next(free)
    for node in nodes:
        if isinstance(node, ast.Name):
            node.id = bound.get(node.id, node.id)
        elif isinstance(node, ast.arg):
            node.arg = bound[node.arg]
        elif node is not function and isinstance(node, (ast.ExceptHandler, ast.FunctionDef)) and node.name:
            node.name = bound[node.name]


def _bindings(node: ast.AST, function: ast.FunctionDef) -> Iterator[str]:
    """Yield the name that a node inside the function binds, if it binds one."""
    if isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif node is not function and isinstance(node, (ast.ExceptHandler, ast.FunctionDef)) and node.name:
        yield node.name


def _private_names(trees: Iterable[ast.Module], text: str) -> dict[str, str]:
    """Map each name with one leading underscore that the program defines to a short one, the shortest to the most frequent."""
    found: set[str] = set()
    for node in chain.from_iterable(ast.walk(tree) for tree in trees):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    count = Counter(_PRIVATE.findall(text))
    ordered = sorted((name for name in found if _PRIVATE.fullmatch(name)), key=lambda name: (-count[name], name))
    return dict(zip(ordered, ("_" + name for name in _short_names()), strict=False))


def _short_names() -> Iterator[str]:
    """Yield a, b, ..., aa, ab, ..., in this order."""
    return map("".join, chain(product(ascii_letters), product(ascii_letters, repeat=2)))
