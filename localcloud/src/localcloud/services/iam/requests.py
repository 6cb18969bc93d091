"""Where MiniStack's IAM falls short of AWS on the paths we need, and the questions our own services ask it.

MiniStack gathers the policies and evaluates them; what changes here is what it evaluates with: condition keys, who an
unsigned request is, and that the administrator's signature counts too. Policy variables are in variables.py, how a request
becomes a resource name in resources.py. No service's own behaviour lives here.
"""

import importlib
import json
import re
from collections.abc import Callable
from typing import Any

from localcloud.cloud.facts import Cloud
from localcloud.ministack import seams
from localcloud.services.iam import resources, roles, variables
from localcloud.services.s3 import rules as s3rules

_PASSED = re.compile(r"^/\d{4}-\d\d-\d\d/functions(/[^/]+/configuration)?/?$")


def install(cloud: Cloud) -> None:
    """Put everything below into MiniStack; once, before the first request."""
    app, evaluator = importlib.import_module("ministack.app"), seams.evaluator()
    _only_one_root(cloud, evaluator)
    variables.install(evaluator)
    seams.put(evaluator, "enforce", _enforce(evaluator))
    # Loopback has no third party: it is what TLS is to a client of AWS, so a policy that demands TLS is satisfied.
    seams.put(app, "pin_request_origin", lambda address, _: evaluator.pin_request_origin(address, True))
    actions = importlib.import_module("ministack.core.iam_actions")
    seams.put(actions, "s3_service_context", _s3_keys(actions.s3_service_context))
    seams.put(actions, "s3_additional_checks", _more_rights(actions.s3_additional_checks))
    seams.put(actions, "extract_resource_arn", resources.extract(actions.extract_resource_arn))
    app.SERVICE_HANDLERS["lambda"] = _lambda_roles(app.SERVICE_HANDLERS["lambda"])
    app.SERVICE_HANDLERS["s3"] = _bucket_policies(app.SERVICE_HANDLERS["s3"])


def pass_role(headers: Any, query: Any, role_arn: str, service: str) -> str | None:
    """Whether the caller of the present request may pass `role_arn` to `service`; the denial's text if not."""
    router = importlib.import_module("ministack.core.router")
    responses = importlib.import_module("ministack.core.responses")
    denied = seams.evaluator().enforce(
        router.extract_access_key_id(headers, query),
        "iam:PassRole",
        "iam",
        responses.get_region(),
        resource_arn=role_arn,
        service_context={"iam:passedtoservice": service},
    )
    if denied is None:
        return None
    who = getattr(denied, "principal_arn", "") or "The caller"
    return f"User: {who} is not authorized to perform: iam:PassRole on resource: {role_arn}"


def _only_one_root(cloud: Cloud, evaluator: Any) -> None:
    """The administrator's key alone is root, and only with a good signature; "test" and account ids are nobody."""

    def is_root(key: str) -> bool:
        return key == cloud.access_key

    seams.put(evaluator, "is_root_access_key", is_root)
    seams.put(seams.module("sts"), "is_root_access_key", is_root)
    # Asked where a signature's check would be left out, which happens for nobody here.
    seams.put(evaluator, "_is_root_key", lambda _: False)


def _enforce(evaluator: Any) -> Callable[..., Any]:
    judged = evaluator.enforce

    def enforce(
        access_key: str,
        action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, Any] | None = None,
    ) -> Any:
        if service == "s3" and not access_key and evaluator._anonymous.get():
            return _anonymous(evaluator, action, region, resource_arn, service_context or {})
        for arn in resources.several(resource_arn):
            denied = judged(access_key, action, service, region, resource_arn=arn, service_context=service_context)
            if denied is not None:
                return denied
        return None

    return enforce


def _anonymous(evaluator: Any, action: str, region: str, arn: str, keys: dict[str, Any]) -> Any:
    """An unsigned request to S3 may do what the bucket's policy gives to everybody, nothing else."""
    context = evaluator.EvalContext(
        principal_arn="anonymous",
        principal_type="Anonymous",
        principal_account="",
        action=action,
        resource_arn=arn,
        region=region,
        service_context={key.lower(): value for key, value in keys.items()},
    )
    found = evaluator._resource_policy("s3", arn)
    result = evaluator.evaluate_resource_policy(found[0] if found else None, context)
    result.principal_arn = "anonymous"
    return None if result.decision == "Allow" else result


def _s3_keys(known: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """MiniStack's S3 condition keys and those of conditional writes."""

    def keys(action: str, query: Any, path: str = "", headers: dict[str, str] | None = None) -> dict[str, Any]:
        found, said, asked = known(action, query, path, headers), headers or {}, query or {}
        if action in ("s3:PutObject", "s3:DeleteObject"):
            found |= {f"s3:{name}": said[name] for name in ("if-match", "if-none-match") if name in said}
        if action == "s3:PutObject":
            creates = not ("uploads" in asked or "partNumber" in asked)
            found["s3:ObjectCreationOperation"] = str(creates).lower()
        return found

    return keys


def _more_rights(known: Callable[..., list[tuple[str, str]]]) -> Callable[..., list[tuple[str, str]]]:
    """What a write needs beside s3:PutObject: tags their own right, If-Match the right to read.

    "S3 API Reference", PutObject, Permissions; "S3 User Guide", How to prevent object overwrites with conditional writes.
    """

    def rights(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> list[tuple[str, str]]:
        found = known(method, path, headers, body, query)
        _, _, key = path.lstrip("/").partition("/")
        arn = f"arn:aws:s3:::{path.lstrip('/')}"
        begins = method == "POST" and "uploads" in query
        writes = key != "" and s3rules.writes_object(method, query)
        if key and (begins or writes) and headers.get("x-amz-tagging"):
            found.append(("s3:PutObjectTagging", arn))
        if writes and "if-match" in headers:
            found.append(("s3:GetObject", arn))
        return found

    return rights


def _bucket_policies(handler: Any) -> Any:
    """Take no bucket policy that says nothing: S3 answers MalformedPolicy ("S3 API Reference", Error responses)."""

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        if method == "PUT" and "policy" in query and (reason := _wrong_policy(body)):
            text = f"<?xml version='1.0' encoding='utf-8'?><Error><Code>MalformedPolicy</Code><Message>{reason}</Message></Error>"
            return 400, {"Content-Type": "application/xml"}, text.encode()
        return await handler(method, path, headers, body, query)

    return handle


def _wrong_policy(body: bytes) -> str:
    """What keeps this from being a resource's policy; "" when nothing does."""
    try:
        said = json.loads(body)
    except ValueError:
        return "Policies must be valid JSON and the first byte must be '{'"
    statements = said.get("Statement") if isinstance(said, dict) else None
    statements = [statements] if isinstance(statements, dict) else statements
    if not isinstance(statements, list) or not all(isinstance(one, dict) for one in statements):
        return "Missing required field Statement"
    for one in statements:
        if one.get("Effect") not in ("Allow", "Deny"):
            return f"Invalid effect: {one.get('Effect')}".replace("<", "").replace("&", "")
        for field in ("Action", "Resource", "Principal"):
            if not ({field, f"Not{field}"} & one.keys()):
                return f"Missing required field {field}"
    return ""


def _lambda_roles(handler: Any) -> Any:
    """Judge iam:PassRole where a function is given a role, and take no role that Lambda may not assume."""

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        if method in ("POST", "PUT") and _PASSED.match(path):
            try:
                said = json.loads(body)
            except ValueError:
                said = {}
            role = said.get("Role") if isinstance(said, dict) else None
            denied = pass_role(headers, query, role, "lambda.amazonaws.com") if role else None
            if denied:
                text = json.dumps({"Message": denied, "__type": "AccessDeniedException"}).encode()
                return 403, {"Content-Type": "application/json", "x-amzn-errortype": "AccessDeniedException"}, text
            if role and not roles.trusts(role, "lambda.amazonaws.com"):
                code = "InvalidParameterValueException"
                told = "The role defined for the function cannot be assumed by Lambda."
                text = json.dumps({"Message": told, "__type": code}).encode()
                return 400, {"Content-Type": "application/json", "x-amzn-errortype": code}, text
        return await handler(method, path, headers, body, query)

    return handle
