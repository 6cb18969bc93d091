"""Authorizes requests to every service: finds the sender and the policies that apply, and lets the policies decide.

MiniStack asks here for each request (`Evaluation`), and services of localcloud ask for what they check themselves
(`authorize`, `pass_role`). How policies are read and decided is in policy.py.
"""

import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from localcloud.ministack import authorization as ministack
from localcloud.ministack import identities, requests
from localcloud.ministack.authorization import BadCredentials, Denied, Keys, Principal, Question, Refused, Verdict
from localcloud.services.iam import policy
from localcloud.services.iam.policy import Decision, Request
from localcloud.services.iam.resources import extract, several

_ALWAYS_ALLOWED = ("sts:GetCallerIdentity", "sts:GetSessionToken")
# A key's own policy must allow even the users and roles of its account.
_POLICY_REQUIRED = ("kms",)
_UNSIGNED_ALLOWED = ("execute-api:Invoke", "lambda:InvokeFunctionUrl")


def install(root_key: str) -> None:
    """Have MiniStack authorize requests here, with `root_key` as the administrator's key. Call it once, before any request."""
    ministack.set_root_key(root_key)
    ministack.replace_evaluation(evaluation)
    ministack.treat_loopback_as_tls()
    ministack.wrap_resource(extract)


def authorize(
    access_key: str, action: str, region: str, resource: str = "*", keys: Keys | None = None
) -> Refused | None:
    """Authorize an action (such as "ec2:RunInstances") of the current request; None allows it.

    `keys` are further condition keys, in any case.
    """
    return _authorize(access_key, action, action.partition(":")[0], region, resource, keys or {})


def _authorize(access_key: str, action: str, service: str, region: str, resource: str, keys: Keys) -> Refused | None:
    refused = ministack.authenticate(access_key, service)
    if refused or action in _ALWAYS_ALLOWED:
        return refused
    who = ministack.principal(access_key)
    if isinstance(who, BadCredentials):
        return who
    if who.policies is None:
        return None
    given = {key.lower(): value for key, value in keys.items()}
    if policy.mentions([who.policies], "aws:resourcetag/"):
        given = _tag_keys(resource) | given
    question = _question(who, action, resource, region, given)
    return _decide(question, who, service)


def pass_role(headers: Any, query: Any, role_arn: str, service: str) -> str | None:
    """Return why the sender of the current request may not pass `role_arn` to `service`; None when they may."""
    key = requests.access_key(headers, query)
    refused = authorize(key, "iam:PassRole", requests.region(), role_arn, {"iam:passedtoservice": service})
    if refused is None:
        return None
    who = refused.principal if isinstance(refused, Denied) else ""
    return f"User: {who or 'The caller'} is not authorized to perform: iam:PassRole on resource: {role_arn}"


def authorize_by_trust(access_key: str, role_arn: str, keys: Keys) -> BadCredentials | str | None:
    """Authorize sts:AssumeRole for the sender of the current request; return None or the ARN of who may not.

    The role's trust policy must allow it. The caller's own policies must too, unless the trust policy names the caller
    itself within its account ("IAM User Guide", Policy evaluation logic). The administrator has all permissions.
    """
    failure = ministack.authenticate(access_key, "sts")
    if failure is not None:
        return failure
    who = ministack.principal(access_key)
    if isinstance(who, BadCredentials):
        return who
    role = identities.role_by_arn(role_arn)
    if role is None:
        return who.arn
    request = _request(_question(who, "sts:AssumeRole", role_arn, requests.region(), keys))
    trust = policy.parse(role.get("AssumeRolePolicyDocument"))
    decision = Decision.ALLOW
    if who.policies is not None:
        decision, _ = policy.decide(request, who.policies, who.limits)
    same_account = who.account == role_arn.split(":")[4]
    decision, _ = policy.combine(request, decision, trust, who.arn, same_account, required=True, limits=who.limits)
    return None if decision is Decision.ALLOW else who.arn


def trusts(document: Any, service: str, role_arn: str, keys: Keys) -> bool:
    """Return whether a role's trust policy lets a service of AWS, such as "ec2.amazonaws.com", assume the role."""
    request = Request("sts:AssumeRole", role_arn, {"aws:sourceaccount": role_arn.split(":")[4], **keys})
    return _allows(
        policy.decide_by(request, policy.parse(document), lambda principal: policy.names_service(principal, service))
    )


def lets_service(document: Any, service: str, action: str, resource: str, keys: Keys) -> bool:
    """Return whether a resource's policy lets a service of AWS perform an action on the resource."""
    return _allows(policy.decide_for(Request(action, resource, keys), policy.parse(document), service, service))


class Evaluation:
    """Answers MiniStack's questions whether a request is authorized.

    Some actions are authorized by their own service, which then calls `authorize` itself.
    """

    def __init__(self) -> None:
        self._elsewhere: dict[str, frozenset[str]] = {}

    def leave_to_service(self, service: str, actions: Iterable[str]) -> None:
        """Only authenticate requests for these actions of a service, such as "RunInstances" of "ec2"."""
        self._elsewhere[service] = frozenset(actions)

    def parse(self, document: Any) -> policy.Policy:
        return policy.parse(document)

    def authorize(
        self, access_key: str, action: str, service: str, region: str, resource: str, keys: Keys
    ) -> Refused | None:
        if action.partition(":")[2] in self._elsewhere.get(service, ()):
            return ministack.authenticate(access_key, service)
        if service == "s3" and not access_key and ministack.is_unsigned():
            return _unsigned(action, region, resource, keys)
        unsigned = action not in _UNSIGNED_ALLOWED and ministack.check_signed(action, service, resource)
        if unsigned:
            return unsigned
        if service == "ec2":
            keys = keys | {"ec2:region": region}
        for arn in several(resource):
            refused = _authorize(access_key, action, service, region, arn, keys)
            if refused is not None:
                return refused
        return None

    def by_identity(self, question: Question, policies: list[Any], limits: list[list[Any]]) -> Verdict:
        return _verdict(policy.decide(_request(question), policies, limits))

    def by_resource(self, question: Question, document: Any, service: str) -> Verdict:
        return _verdict(policy.decide_for(_request(question), policy.parse(document), question.principal, service))

    def by_trust(self, question: Question, document: Any, caller: str) -> bool:
        request, found = _request(question), policy.parse(document)
        if question.action == "sts:AssumeRoleWithWebIdentity":
            return _allows(policy.decide_by(request, found, lambda principal: policy.names_provider(principal, caller)))
        return _allows(policy.decide_for(request, found, caller))


evaluation = Evaluation()


def _decide(question: Question, who: Principal, service: str) -> Refused | None:
    request = _request(question)
    decision, _ = policy.decide(request, who.policies or [], who.limits)
    denied_by_resource = False
    found = ministack.resource_policy(service, question.action, question.resource, question.keys)
    if found is not None:
        document, owner = found
        decision, denied_by_resource = policy.combine(
            request,
            decision,
            policy.parse(document),
            who.arn,
            same_account=owner in (None, who.account),
            required=service in _POLICY_REQUIRED,
            limits=who.limits,
        )
    if decision is Decision.ALLOW:
        return None
    denied = Denied(who.arn, explicit=decision is Decision.DENY)
    if denied_by_resource:
        return replace(denied, resource_policy_of=question.resource)
    return denied


def _unsigned(action: str, region: str, resource: str, keys: Keys) -> Denied | None:
    """Authorize an unsigned request to S3, which may do only what the bucket's policy gives to everybody."""
    anonymous = Principal("anonymous", "Anonymous", "", [], [], {})
    request = _request(_question(anonymous, action, resource, region, keys))
    found = ministack.resource_policy("s3", action, resource, keys)
    document = found[0] if found else None
    decision, _ = policy.decide_for(request, policy.parse(document), anonymous.arn)
    if decision is Decision.ALLOW:
        return None
    return Denied(anonymous.arn, decision is Decision.DENY)


def _tag_keys(resource: str) -> Keys:
    return {f"aws:resourcetag/{name}".lower(): value for name, value in ministack.resource_tags(resource).items()}


def _question(who: Principal, action: str, resource: str, region: str, keys: Keys) -> Question:
    address, tls = ministack.origin()
    return Question(action, resource, region, who.arn, who.kind, who.account, address, tls, keys | who.keys)


def _request(question: Question) -> Request:
    """Return the request with its global condition keys ("IAM User Guide", AWS global condition context keys)."""
    now = time.time()
    owner = _account_of(question.resource) or question.account
    keys = {
        **question.keys,
        "aws:principalarn": _principal_arn(question),
        "aws:principalaccount": question.account,
        "aws:principaltype": question.kind,
        "aws:currenttime": datetime.fromtimestamp(now, UTC).isoformat(),
        "aws:epochtime": str(int(now)),
        "aws:requestedregion": question.region,
        "aws:securetransport": str(question.tls).lower(),
        "aws:sourceip": question.source_address,
        "aws:resourceaccount": owner,
        "s3:resourceaccount": owner,
    }
    if organization := ministack.organization(question.account):
        keys.setdefault("aws:principalorgid", organization)
    return Request(question.action, question.resource, keys)


def _principal_arn(question: Question) -> str:
    """Return the ARN of the user or role that sends a request: a session's is that of its role, with its path."""
    if question.kind != "AssumedRole":
        return question.principal
    name = question.principal.split("/")[1]
    role = identities.role(name, question.account) or {}
    return str(role.get("Arn") or f"arn:aws:iam::{question.account}:role/{name}")


def _account_of(arn: str) -> str:
    """Return the account in an ARN; "" where it has none."""
    parts = arn.split(":", 5)
    if len(parts) == 6 and parts[4].isdigit():
        return parts[4]
    return ""


def _allows(found: tuple[Decision, policy.Statement | None]) -> bool:
    return found[0] is Decision.ALLOW


def _verdict(found: tuple[Decision, policy.Statement | None]) -> Verdict:
    decision, statement = found
    if statement is None:
        return Verdict(decision.value)
    return Verdict(decision.value, statement.sid)
