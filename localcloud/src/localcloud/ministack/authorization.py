"""How MiniStack asks whether a request is authorized, and what it knows about the sender.

MiniStack verifies signatures, keeps identities and their policies, and derives a request's action, resource and keys.
`replace_evaluation` replaces its evaluation of policies.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from xml.sax.saxutils import escape

from localcloud.cloud.facts import Response
from localcloud.ministack.identities import carried_keys
from localcloud.ministack.requests import account, app, service

Keys = dict[str, Any]
"""Condition keys in lower case."""


@dataclass(frozen=True)
class BadCredentials:
    """A request whose signature or key is not valid."""

    code: str
    message: str
    original: Any
    """MiniStack's own object, which holds details for its answer."""


@dataclass(frozen=True)
class Denied:
    """A valid request that no policy allows, or that one denies (`explicit`)."""

    principal: str
    explicit: bool = False
    resource_policy_of: str = ""
    """The resource whose own policy denied the request, if that did."""


Refused = BadCredentials | Denied


@dataclass(frozen=True)
class Principal:
    """Who sent a request. `policies` and each of `limits` hold what `Evaluation.parse` returned for the documents.

    `policies` is None for the root of the account, which may do everything.
    """

    arn: str
    kind: str
    account: str
    policies: list[Any] | None
    limits: list[list[Any]]
    keys: Keys


@dataclass(frozen=True)
class Question:
    """What is to be decided, with what MiniStack knows of the request."""

    action: str
    resource: str
    region: str
    principal: str
    kind: str
    account: str
    source_address: str
    tls: bool
    keys: Keys


@dataclass(frozen=True)
class Verdict:
    """The answer to a question: "Allow", "Deny" or "ImplicitDeny", and the Sid of the statement that decided."""

    decision: str
    sid: str = ""


class Evaluation(Protocol):
    """An evaluation of policies."""

    def parse(self, document: Any) -> Any:
        """Return a document in the form that the methods below take. It is falsy for a document without statements."""
        ...

    def authorize(
        self, access_key: str, action: str, service: str, region: str, resource: str, keys: Keys
    ) -> Refused | None:
        """Authorize the current request; None allows it."""
        ...

    def by_identity(self, question: Question, policies: list[Any], limits: list[list[Any]]) -> Verdict:
        """Decide by policies of an identity."""
        ...

    def by_resource(self, question: Question, document: Any, service: str) -> Verdict:
        """Decide by a resource's policy for the principal, or for the service of AWS that calls."""
        ...

    def by_trust(self, question: Question, document: Any, caller: str) -> bool:
        """Decide whether `caller`, an ARN or an identity provider, may assume a role that has this trust policy."""
        ...


def replace_evaluation(evaluation: Evaluation) -> None:
    """Let MiniStack and its services decide by `evaluation` from now on."""
    evaluator = _evaluator()

    def enforce(
        access_key: str,
        action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: Keys | None = None,
    ) -> Any:
        keys = _lower(service_context or {})
        return _native(evaluation.authorize(access_key, action, service, region, resource_arn, keys))

    def evaluate(context: Any, policies: list[Any], *limits: list[Any]) -> Any:
        return _result(evaluation.by_identity(_question(context), policies, list(limits)), context)

    def evaluate_resource_policy(document: Any, context: Any, service: str | None = None) -> Any:
        return _result(evaluation.by_resource(_question(context), document, service or ""), context)

    def evaluate_trust_policy(document: Any, caller: str, context: Any) -> bool:
        return evaluation.by_trust(_question(context), document, caller)

    evaluator.parse_policy_document = evaluation.parse
    evaluator.enforce = enforce
    evaluator.evaluate = evaluate
    evaluator.evaluate_resource_policy = evaluate_resource_policy
    evaluator.evaluate_trust_policy = evaluate_trust_policy


def set_root_key(key: str) -> None:
    """Make `key` the only access key of the account's root. Its signature is verified like that of any other key."""
    evaluator = _evaluator()

    def is_root(access_key: str) -> bool:
        return access_key == key

    evaluator.is_root_access_key = is_root
    service("sts").is_root_access_key = is_root
    # Where this is true, MiniStack does not verify a signature.
    evaluator._is_root_key = lambda _: False


def treat_loopback_as_tls() -> None:
    """Let every request satisfy a policy that demands TLS: loopback has no third party that could listen."""
    evaluator = _evaluator()
    app().pin_request_origin = lambda address, _: evaluator.pin_request_origin(address, True)


def is_unsigned() -> bool:
    """Return whether the current request has no credentials at all."""
    found: bool = _evaluator()._anonymous.get()
    return found


def check_signed(action: str, service: str, resource: str) -> BadCredentials | None:
    """Refuse a request without credentials, unless AWS serves the action without."""
    if not is_unsigned() or _evaluator()._served_unsigned(service, action):
        return None
    message = _actions().anonymous_denial_message(service, action, resource)
    return _bad(_evaluator().AuthError("MissingAuthenticationToken", message))


def authenticate(access_key: str, service: str) -> BadCredentials | None:
    """Verify the signature of the current request, once; later calls in the same request look only at the key."""
    failure = _evaluator().check_credentials(access_key, service)
    if failure is None:
        return None
    return _bad(failure)


def principal(access_key: str) -> Principal | BadCredentials:
    """Return whom an access key belongs to, with the policies that apply to them."""
    found = _evaluator().resolve_principal(access_key, account())
    if isinstance(found, _evaluator().AuthError):
        return _bad(found)
    keys = _lower(found.keys) | carried_keys(access_key)
    return Principal(found.arn, found.type, found.account, found.policies, found.limits, keys)


def origin() -> tuple[str, bool]:
    """Return the address that the current request comes from, and whether it counts as sent by TLS."""
    address, tls = _evaluator()._request_origin.get()
    return str(address), bool(tls)


def resource_policy(service_name: str, action: str, resource: str, keys: Keys) -> tuple[Any, str | None] | None:
    """Return a resource's own policy and the account that owns it; None for a resource that keeps none.

    A request through an S3 access point has the access point's policy.
    """
    found: tuple[Any, str | None] | None = _evaluator()._resource_policy(service_name, resource)
    if service_name != "s3":
        return found
    if found is not None and "MultiRegionAccessPoint" in action:
        return None
    if found is None and "s3:dataaccesspointarn" in keys:
        found = service("s3").access_point_policy_for_arn(resource)
    return found


def resource_tags(resource: str) -> dict[str, str]:
    """Return the tags of a resource by its ARN; none for one that MiniStack does not know."""
    tagging = importlib.import_module("ministack.services.tagging")
    found: dict[str, str] | None = tagging.resource_tags(resource)
    return found or {}


def organization(account_id: str) -> str | None:
    """Return the id of the organization that an account belongs to."""
    found: str | None = _evaluator()._principal_org_id(account_id)
    return found


def wrap_resource(wrap: Callable[[Callable[..., str]], Callable[..., str]]) -> None:
    """Replace MiniStack's function for the ARN of a request's resource by `wrap(that function)`."""
    _actions().extract_resource_arn = wrap(_actions().extract_resource_arn)


def wrap_s3_keys(wrap: Callable[[Callable[..., Keys]], Callable[..., Keys]]) -> None:
    """Replace MiniStack's function for the condition keys of an S3 request by `wrap(that function)`."""
    _actions().s3_service_context = wrap(_actions().s3_service_context)


def wrap_s3_actions(wrap: Callable[[Callable[..., list[Any]]], Callable[..., list[Any]]]) -> None:
    """Replace MiniStack's function for the further (action, ARN) pairs of an S3 request by `wrap(that function)`."""
    _actions().s3_additional_checks = wrap(_actions().s3_additional_checks)


def add_service(service_name: str) -> None:
    """Authorize the requests of a service that MiniStack does not have, by actions such as "servicequotas:GetServiceQuota"."""
    _actions().SERVICE_TO_IAM_NAMESPACE[service_name] = service_name


def error(service_name: str, status: int, code: str, message: str) -> Response:
    """Return an error of a service that answers in the form of IAM, such as "sts"."""
    found: Response = service("iam")._error(status, code, escape(message), ns=service_name)
    return found


def _question(context: Any) -> Question:
    keys = {f"aws:requesttag/{name}": value for name, value in context.request_tags.items()}
    if context.tag_keys:
        keys["aws:tagkeys"] = context.tag_keys
    return Question(
        action=context.action,
        resource=context.resource_arn,
        region=context.region,
        principal=context.principal_arn,
        kind=context.principal_type,
        account=context.principal_account,
        source_address=context.source_ip,
        tls=context.secure_transport,
        keys=_lower(keys) | _lower(context.service_context) | _lower(context.principal_keys),
    )


def _native(refused: Refused | None) -> Any:
    """Return a refusal as MiniStack's callers of `enforce` expect it."""
    if refused is None:
        return None
    if isinstance(refused, BadCredentials):
        return refused.original
    decision = "Deny" if refused.explicit else "ImplicitDeny"
    return _evaluator().EvalResult(
        decision, principal_arn=refused.principal, resource_policy_arn=refused.resource_policy_of
    )


def _result(verdict: Verdict, context: Any) -> Any:
    return _evaluator().EvalResult(verdict.decision, principal_arn=context.principal_arn, matched_sid=verdict.sid)


def _bad(failure: Any) -> BadCredentials:
    return BadCredentials(failure.code, failure.message, failure)


def _lower(keys: Keys) -> Keys:
    return {key.lower(): value for key, value in keys.items()}


def _evaluator() -> Any:
    return importlib.import_module("ministack.core.iam_evaluator")


def _actions() -> Any:
    return importlib.import_module("ministack.core.iam_actions")
