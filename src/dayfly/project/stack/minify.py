"""Python source made small for travel: the same program, as text for Python 3.9 and later.

Goes: docstrings, comments, annotations, imports that are then unused. Local names and private names become short. Strings
and public names stay. It knows nothing of what the program does.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, product
from string import ascii_letters
from typing import cast

OLDEST = (3, 9)
_PRIVATE = re.compile(r"(?<!\w)_[A-Za-z]\w+")


def shrink(sources: Mapping[str, str]) -> dict[str, str]:
    """Modules of one program, by any name, all at once: a private name is shortened alike in all of them.

    Not for sources that reach names as text (`getattr(x, "_name")`). Raises SyntaxError.
    """
    trees = {name: ast.parse(source, feature_version=OLDEST) for name, source in sources.items()}
    private = _private_names(trees.values(), "\n".join(sources.values()))
    calls = (place for tree in trees.values() for place in ast.walk(tree) if isinstance(place, ast.Call))
    keywords = {word.arg for call in calls for word in call.keywords}
    small = {}
    for name, tree in trees.items():
        _Bare().visit(tree)
        ast.fix_missing_locations(tree)
        _pack_imports(tree)
        for function in _outermost(tree.body):
            _shorten_locals(function, keywords, _globals(tree))
        text = re.sub(r"^(?:    )+", lambda found: "\t" * (len(found[0]) // 4), ast.unparse(tree), flags=re.MULTILINE)
        text = _PRIVATE.sub(lambda found: private.get(found[0], found[0]), re.sub(r"\n+", "\n", text))
        ast.parse(text, feature_version=OLDEST)
        small[name] = text
    return small


def _globals(tree: ast.Module) -> set[str]:
    """Names bound at the top of a module."""
    found = {line.name for line in tree.body if isinstance(line, (ast.FunctionDef, ast.ClassDef))}
    for line in tree.body:
        if isinstance(line, (ast.Import, ast.ImportFrom)):
            found |= {(name.asname or name.name).split(".")[0] for name in line.names}
        elif isinstance(line, ast.Assign):
            found |= {target.id for target in line.targets if isinstance(target, ast.Name)}
    return found


class _Bare(ast.NodeTransformer):
    """Without docstrings and annotations; f-strings become calls of format, whose text is the same for every Python."""

    def visit(self, node: ast.AST) -> ast.AST | None:
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _is_text(line)] or [ast.Pass()]  # type: ignore[attr-defined]
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
                line.annotation = ast.Name("int", ast.Load())  # fields need one; which does not matter at run time
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        field = (
            isinstance(node.annotation, ast.Name) and node.annotation.id == "int" and isinstance(node.target, ast.Name)
        )
        if field:
            return self.generic_visit(node)
        return None if node.value is None else self.generic_visit(ast.Assign([node.target], node.value))

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.cause, ast.Name):  # the traceback shows it all the same
            node.cause = None
        return self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return None if node.module == "__future__" else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        text = ""
        values: list[ast.expr] = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                spec = _constant(part.format_spec)
                text += "{" + ("!" + chr(part.conversion) if part.conversion > 0 else "") + (spec and ":" + spec) + "}"
                values.append(cast(ast.expr, self.visit(part.value)))
            elif isinstance(part, ast.Constant):
                text += str(part.value).replace("{", "{{").replace("}", "}}")
        return ast.Call(ast.Attribute(ast.Constant(text), "format", ast.Load()), values, [])


def _constant(spec: ast.expr | None) -> str:
    """The text of a format's specification. Raises ValueError where values stand in it."""
    parts = spec.values if isinstance(spec, ast.JoinedStr) else []
    if not all(isinstance(part, ast.Constant) for part in parts):
        raise ValueError("a format whose specification is computed")
    return "".join(str(part.value) for part in parts if isinstance(part, ast.Constant))


def _is_text(line: ast.AST) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def _pack_imports(tree: ast.Module) -> None:
    """One line for all plain imports; names that are not used are not imported."""
    used = {place.id for place in ast.walk(tree) if isinstance(place, ast.Name)}
    plain = ast.Import([])
    rest: list[ast.stmt] = []
    for line in tree.body:
        if isinstance(line, ast.ImportFrom):
            line.names = [name for name in line.names if (name.asname or name.name) in used]
        if isinstance(line, ast.Import):
            plain.names += line.names
        elif not isinstance(line, ast.ImportFrom) or line.names:
            rest.append(line)
    tree.body = [plain, *rest] if plain.names else rest


def _outermost(body: list[ast.stmt]) -> Iterator[ast.FunctionDef]:
    for line in body:
        if isinstance(line, ast.FunctionDef):
            yield line
        elif isinstance(line, ast.ClassDef):
            yield from _outermost(line.body)


def _shorten_locals(function: ast.FunctionDef, keep: set[str | None], outside: set[str]) -> None:
    """All names bound in it, closures included, in order of their first use; never one that any call uses as keyword.

    Raises ValueError for what this simple view of scopes would get wrong.
    """
    bound: dict[str, str] = {}
    others: set[str | None] = set(keep)
    places = list(ast.walk(function))
    for place in places:
        for name in _bindings(place, function):
            bound.setdefault(name, name)
    if outside & set(bound) or any(isinstance(place, (ast.Global, ast.Nonlocal)) for place in places):
        raise ValueError(f"{function.name}: a local name hides a global one: {sorted(outside & set(bound))}")
    others |= {place.id for place in places if isinstance(place, ast.Name)} - set(bound)
    free = (name for name in _short_names() if name not in others)
    for name in bound:
        if name not in keep:
            bound[name] = next(free)
    for place in places:
        if isinstance(place, ast.Name):
            place.id = bound.get(place.id, place.id)
        elif isinstance(place, ast.arg):
            place.arg = bound[place.arg]
        elif (isinstance(place, ast.ExceptHandler) and place.name) or (
            isinstance(place, ast.FunctionDef) and place is not function
        ):
            place.name = bound[str(place.name)]


def _bindings(place: ast.AST, function: ast.FunctionDef) -> Iterator[str]:
    if isinstance(place, ast.arg):
        yield place.arg
    elif isinstance(place, ast.Name) and isinstance(place.ctx, ast.Store):
        yield place.id
    elif (isinstance(place, ast.ExceptHandler) and place.name) or (
        isinstance(place, ast.FunctionDef) and place is not function
    ):
        yield str(place.name)


def _private_names(trees: Iterable[ast.Module], text: str) -> dict[str, str]:
    """Every name with one leading underscore that the program itself defines, and its short form: the shortest for the commonest."""
    found: set[str] = set()
    for place in chain.from_iterable(ast.walk(tree) for tree in trees):
        if isinstance(place, (ast.FunctionDef, ast.ClassDef)):
            found.add(place.name)
        elif isinstance(place, ast.Attribute) and isinstance(place.ctx, ast.Store):
            found.add(place.attr)
        elif isinstance(place, ast.Name) and isinstance(place.ctx, ast.Store):
            found.add(place.id)
    count = Counter(_PRIVATE.findall(text))
    mine = sorted((name for name in found if _PRIVATE.fullmatch(name)), key=lambda name: (-count[name], name))
    return dict(zip(mine, ("_" + name for name in _short_names()), strict=False))


def _short_names() -> Iterator[str]:
    return map("".join, chain(product(ascii_letters), product(ascii_letters, repeat=2)))
