"""IAM policies: a document read into statements, and a request decided by them. Pure: values in, a decision out.

The order of decisions follows "IAM User Guide", Policy evaluation logic, for one account without service control policies.
Who sent a request, which policies apply to them, and what keys the request has does not belong here.
"""

import enum
import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from localcloud.services.iam.conditions import Operator, holds, parse_operator
from localcloud.services.iam.patterns import expand, matches

_WITH_VARIABLES = "2012-10-17"
_ACCOUNT = re.compile(r"\d{12}|arn:aws[a-z-]*:iam::\d{12}:root")
_SELF = re.compile(r"arn:aws[a-z-]*:(iam::\d{12}:user|sts::\d{12}:assumed-role)/.+")


class Decision(enum.Enum):
    """The decision of policies about a request."""

    ALLOW = "Allow"
    DENY = "Deny"
    """A statement denies it."""
    NOTHING = "ImplicitDeny"
    """No statement allows it."""


@dataclass(frozen=True)
class Request:
    """An action on a resource; `keys` are its condition keys in lower case, each a text or a list of texts."""

    action: str
    resource: str
    keys: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Condition:
    """One operator, one key and the values that the policy gives for it."""

    how: Operator
    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Statement:
    """One statement; `variables` says whether it has any, `principal` is what the document has."""

    sid: str
    effect: str
    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    not_resources: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    principal: Any = None
    variables: bool = True


Policy = tuple[Statement, ...]
Layer = Sequence[Policy]
"""Policies that work together, such as all policies of a role, or its boundary."""


class Grant(enum.IntEnum):
    """How closely the principal of a statement names a caller."""

    NONE = 0
    ACCOUNT = 1
    """By its account. The account's identity policies must then allow the request too."""
    CALLER = 2
    """By role, or everybody."""
    SELF = 3
    """By the ARN of the user or session itself: boundaries and session policies do not limit that."""


def parse(document: Any) -> Policy:
    """Read a document, JSON text or already parsed; what cannot be read has no statements."""
    if isinstance(document, str):
        return _parsed(document)
    if not isinstance(document, dict):
        return ()
    # A document that names no version is of the old one, which has no variables.
    variables = document.get("Version") == _WITH_VARIABLES
    statements = _listed(document.get("Statement"))
    return tuple(_statement(one, variables) for one in statements if isinstance(one, dict) and _has_effect(one))


@functools.lru_cache(maxsize=1024)
def _parsed(text: str) -> Policy:
    """Read a document's text; the same documents are read at every request."""
    try:
        document = json.loads(text)
    except ValueError:
        return ()
    return () if isinstance(document, str) else parse(document)


def decide(request: Request, policies: Layer, limits: Iterable[Layer] = ()) -> tuple[Decision, Statement | None]:
    """Return the decision of identity policies and the statement that made it.

    A deny anywhere wins. An allow counts when each of `limits` (a boundary, session policies) allows it too.
    """
    limits = list(limits)
    for layer in (policies, *limits):
        if denied := first(request, layer, "Deny"):
            return Decision.DENY, denied
    allowed = first(request, policies, "Allow")
    if allowed and allowed_by_all(request, limits):
        return Decision.ALLOW, allowed
    return Decision.NOTHING, None


def allowed_by_all(request: Request, limits: Iterable[Layer]) -> bool:
    """Return whether each of the limits has a statement that allows the request."""
    return all(first(request, layer, "Allow") is not None for layer in limits)


def decide_for(
    request: Request, policy: Policy, caller: str, service: str = "", least: Grant = Grant.ACCOUNT
) -> tuple[Decision, Statement | None]:
    """Return the decision of a resource's own policy for a caller's ARN, or for the AWS service that calls.

    Only statements that name the caller at least as closely as `least` count.
    """
    return decide_by(request, policy, lambda principal: grant(principal, caller, service) >= least)


def decide_by(request: Request, policy: Policy, names: Callable[[Any], bool]) -> tuple[Decision, Statement | None]:
    """Return the decision of the statements whose Principal `names` accepts."""
    return decide(request, [tuple(one for one in policy if names(one.principal))])


def combine(
    request: Request,
    identity: Decision,
    policy: Policy,
    caller: str,
    same_account: bool,
    required: bool = False,
    limits: Iterable[Layer] = (),
) -> tuple[Decision, bool]:
    """Join the decision of identity policies with a resource's own policy; also whether the resource's policy denied.

    Within an account an allow of either is enough, unless the resource's policy is `required` (a KMS key's). Across
    accounts both must allow.
    """
    if identity is Decision.DENY:
        return identity, False
    resource, _ = decide_for(request, policy, caller)
    if resource is Decision.DENY:
        return resource, True
    if identity is Decision.ALLOW:
        delegated = same_account and not required
        if delegated or resource is Decision.ALLOW:
            return identity, False
        return Decision.NOTHING, False
    if same_account and resource is Decision.ALLOW and _granted(request, policy, caller, limits):
        return Decision.ALLOW, False
    return Decision.NOTHING, False


def _granted(request: Request, policy: Policy, caller: str, limits: Iterable[Layer]) -> bool:
    """Return whether the resource's policy alone is enough: it names the caller, within its limits or by its own ARN."""
    if decide_for(request, policy, caller, least=Grant.CALLER)[0] is not Decision.ALLOW:
        return False
    if allowed_by_all(request, limits):
        return True
    return decide_for(request, policy, caller, least=Grant.SELF)[0] is Decision.ALLOW


def first(request: Request, layer: Layer, effect: str) -> Statement | None:
    """Return the first statement of that effect that applies to the request."""
    return next((one for policy in layer for one in policy if one.effect == effect and applies(one, request)), None)


def applies(statement: Statement, request: Request) -> bool:
    """Return whether action, resource and all conditions fit; a variable without value makes a statement fit nothing."""
    if not _chosen(request.action, statement.actions, statement.not_actions, ignore_case=True):
        return False
    filled = _filled(statement, request.keys)
    if filled is None or not _chosen(request.resource, filled.resources, filled.not_resources):
        return False
    return all(holds(one.how, request.keys.get(one.key), one.values) for one in filled.conditions)


def mentions(layers: Iterable[Layer], prefix: str) -> bool:
    """Return whether a condition of the layers uses a key that begins with `prefix` (lower case)."""
    statements = (one for layer in layers for policy in layer for one in policy)
    return any(condition.key.startswith(prefix) for one in statements for condition in one.conditions)


def grant(principal: Any, caller: str, service: str = "") -> Grant:
    """Return how closely the Principal of a statement names the caller, an ARN, or the AWS service that calls."""
    if principal == "*":
        return Grant.CALLER
    if isinstance(principal, str):
        return _grant(principal, caller)
    if not isinstance(principal, dict):
        return Grant.NONE
    if service and names_service(principal, service):
        return Grant.CALLER
    return max((_grant(one, caller) for one in texts(principal.get("AWS"))), default=Grant.NONE)


def names_service(principal: Any, service: str) -> bool:
    """Return whether a Principal names a service of AWS, such as "ec2.amazonaws.com"."""
    return _names("Service", principal, service)


def names_provider(principal: Any, provider: str) -> bool:
    """Return whether a Principal names an identity provider."""
    return _names("Federated", principal, provider)


def _names(kind: str, principal: Any, wanted: str) -> bool:
    if principal == "*":
        return True
    return isinstance(principal, dict) and wanted.lower() in (one.lower() for one in texts(principal.get(kind)))


def _grant(named: str, caller: str) -> Grant:
    """Return how closely one AWS principal names the caller."""
    if named == "*":
        return Grant.CALLER
    if named == caller and _SELF.fullmatch(caller):
        return Grant.SELF
    if _ACCOUNT.fullmatch(named):
        account = named.removesuffix(":root").rpartition(":")[2]
        return Grant.ACCOUNT if f":{account}:" in caller else Grant.NONE
    if named == caller or named == _role_of(named, caller):
        return Grant.CALLER
    return Grant.NONE


def _role_of(named: str, caller: str) -> str:
    """Return `named` when it is the role whose session the caller is, whatever the role's path; else ""."""
    _, _, session = caller.partition(":assumed-role/")
    if not session or ":role/" not in named:
        return ""
    same_name = named.rpartition("/")[2] == session.partition("/")[0]
    return named if same_name and named.split(":")[4] == caller.split(":")[4] else ""


def _chosen(text: str, wanted: Sequence[str], unwanted: Sequence[str], ignore_case: bool = False) -> bool:
    """Return whether a text is one of an element's (Action) or none of its opposite's (NotAction)."""
    if wanted:
        return any(matches(one, text, ignore_case) for one in wanted)
    return not any(matches(one, text, ignore_case) for one in unwanted)


def _filled(statement: Statement, keys: Mapping[str, Any]) -> Statement | None:
    """Return the statement with the request's values for its variables; None when one has no value."""
    if not statement.variables:
        return statement
    resources = [expand(text, keys, pattern=True) for text in statement.resources]
    others = [expand(text, keys, pattern=True) for text in statement.not_resources]
    wanted = [_expanded(one, keys) for one in statement.conditions]
    if None in resources or None in others or None in wanted:
        return None
    return Statement(
        sid=statement.sid,
        effect=statement.effect,
        resources=tuple(text for text in resources if text is not None),
        not_resources=tuple(text for text in others if text is not None),
        conditions=tuple(one for one in wanted if one is not None),
    )


def _expanded(condition: Condition, keys: Mapping[str, Any]) -> Condition | None:
    values = [expand(text, keys, condition.how.takes_patterns) for text in condition.values]
    if None in values:
        return None
    return Condition(condition.how, condition.key, tuple(text for text in values if text is not None))


def _statement(found: dict[str, Any], variables: bool) -> Statement:
    elements = [found.get(name) for name in ("Resource", "NotResource", "Condition")]
    return Statement(
        sid=str(found.get("Sid", "")),
        effect=found["Effect"],
        actions=texts(found.get("Action")),
        not_actions=texts(found.get("NotAction")),
        resources=texts(found.get("Resource")),
        not_resources=texts(found.get("NotResource")),
        conditions=tuple(_conditions(found.get("Condition"))),
        principal=found.get("Principal"),
        variables=variables and "${" in json.dumps(elements),
    )


def _conditions(found: Any) -> Iterable[Condition]:
    if not isinstance(found, dict):
        return
    for how, keys in found.items():
        if not isinstance(keys, dict):
            continue
        for key, values in keys.items():
            yield Condition(parse_operator(how), key.lower(), texts(values))


def _has_effect(found: dict[str, Any]) -> bool:
    return found.get("Effect") in ("Allow", "Deny")


def _listed(found: Any) -> list[Any]:
    if isinstance(found, list):
        return found
    return [found]


def texts(found: Any) -> tuple[str, ...]:
    """Return one value or several as texts; booleans as JSON writes them."""
    if found is None:
        return ()
    return tuple(_text(one) for one in _listed(found))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
