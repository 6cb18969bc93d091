"""Policy variables, as IAM replaces them before it compares a statement with a request.

A statement one of whose variables has no value matches nothing ("IAM User Guide", IAM policy elements: Variables and tags);
what a variable stands for is taken letter by letter, wildcards in it included; documents of version 2008-10-17, which is
meant where none is said ("IAM JSON policy elements: Version"), have no variables. What keys a request has is iam.py's.
"""

import contextvars
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from localcloud.ministack import seams

_WITH_VARIABLES = "2012-10-17"
_PLAIN = "_localcloud_plain"
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_LITERALS = ("*", "?", "$")
# Stand for the letters * and ? where a pattern is compared: two code points that no text has.
_AS_LETTERS = str.maketrans("*?", "\ufdd0\ufdd1")
_PATTERN = {"*": ".*", "?": "."} | {chr(mark): re.escape(chr(letter)) for letter, mark in _AS_LETTERS.items()}
_MOST_PATTERNS = 4096
_version: contextvars.ContextVar[str | None] = contextvars.ContextVar("localcloud_policy_version", default=None)

Value = Callable[[str], Any]


def install(evaluator: Any) -> None:
    """Put this into MiniStack's evaluator; once, before the first request."""
    seams.put(evaluator, "_first_match", _first_match(evaluator))
    seams.put(evaluator, "_fnmatch_compile", _compiled())
    seams.put(evaluator, "parse_policy_document", _parsed(evaluator.parse_policy_document))
    seams.put(evaluator, "evaluate_resource_policy", _with_version(evaluator.evaluate_resource_policy))


def expand(text: str, value: Value, pattern: bool = False) -> str | None:
    """Replace `${key}` and `${key, 'default'}` by the request's values; None when one is missing.

    For a `pattern`, wildcards in what is put in are written as letters.
    """
    missing = False

    def one(found: "re.Match[str]") -> str:
        nonlocal missing
        key, _, default = (part.strip() for part in found[1].partition(","))
        known = key if key in _LITERALS else value(key)
        if not isinstance(known, str):
            missing = missing or not default
            known = default.strip("'")
        return known.translate(_AS_LETTERS) if pattern else known

    expanded = _VARIABLE.sub(one, text)
    return None if missing else expanded


def _first_match(evaluator: Any) -> Callable[..., Any]:
    """The first statement of an effect that fits, its policy variables replaced by the request's values."""

    def first_match(context: Any, statements: list[Any], effect: str) -> Any:
        for statement in statements:
            if statement.effect != effect or not evaluator._action_matches(
                context.action, statement.actions, statement.not_actions
            ):
                continue
            filled = _filled(statement, lambda key: evaluator._resolve_condition_key(key, context))
            if (
                filled is not None
                and evaluator._resource_matches(context.resource_arn, filled.resources, filled.not_resources)
                and evaluator._conditions_met(filled.conditions, context)
            ):
                return statement
        return None

    return first_match


def _filled(statement: Any, value: Value) -> Any:
    """The statement without variables; None when the request lacks a value for one."""
    texts = [*statement.resources, *statement.not_resources, json.dumps(statement.conditions)]
    if getattr(statement, _PLAIN, False) or not any("${" in text for text in texts):
        return statement
    resources = [expand(text, value, pattern=True) for text in statement.resources]
    others = [expand(text, value, pattern=True) for text in statement.not_resources]
    conditions = {
        operator: {key: _wanted(operator, wanted, value) for key, wanted in keys.items()}
        for operator, keys in statement.conditions.items()
        if isinstance(keys, dict)
    }
    listed = [resources, others, *(wanted for keys in conditions.values() for wanted in keys.values())]
    if any(text is None for texts in listed for text in texts):
        return None
    return replace(statement, resources=resources, not_resources=others, conditions=conditions)


def _wanted(operator: str, wanted: Any, value: Value) -> list[str | None]:
    """The values of a condition, replaced; operators that compare patterns get them as such."""
    pattern = "like" in operator.lower() or "arn" in operator.lower()
    return [expand(_text(one), value, pattern) for one in (wanted if isinstance(wanted, list) else [wanted])]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _compiled() -> Callable[[str, bool], "re.Pattern[str]"]:
    """The expression of a pattern: * and ? stand for any letters, line ends included, and for the whole text only."""
    known: dict[tuple[str, bool], re.Pattern[str]] = {}

    def compiled(pattern: str, ignore_case: bool) -> "re.Pattern[str]":
        found = known.get((pattern, ignore_case))
        if found is None:
            text = "".join(_PATTERN.get(letter) or re.escape(letter) for letter in pattern)
            found = re.compile(rf"{text}\Z", re.DOTALL | (re.IGNORECASE if ignore_case else 0))
            if len(known) < _MOST_PATTERNS:
                known[pattern, ignore_case] = found
        return found

    return compiled


def _parsed(parse: Callable[[Any], list[Any]]) -> Callable[[Any], list[Any]]:
    """The statements of a document, those of an old version marked."""

    def parsed(document: Any) -> list[Any]:
        statements = parse(document)
        if (_version.get() or _said(document)) != _WITH_VARIABLES:
            for statement in statements:
                setattr(statement, _PLAIN, True)
        return statements

    return parsed


def _with_version(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    """MiniStack takes the statements that name the caller out of a resource's policy, and leaves its version behind."""

    def evaluated(document: Any, *more: Any, **named: Any) -> Any:
        token = _version.set(_said(document))
        try:
            return evaluate(document, *more, **named)
        finally:
            _version.reset(token)

    return evaluated


def _said(document: Any) -> str:
    """The version of a policy's document, "2008-10-17" where it says none."""
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except ValueError:
            document = None
    said = document.get("Version") if isinstance(document, dict) else None
    return said if isinstance(said, str) else "2008-10-17"
