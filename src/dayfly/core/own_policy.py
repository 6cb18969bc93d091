"""What the policy that a user writes for a job may not say. Pure; the file is read in project/file/policy_file.py.

An action is accepted only if a row of ACCEPTED covers all that its wildcards match: what is not known to be harmless is refused. So no
accepted policy can launch, keep, change or retag a server, pass or take a role, change IAM, functions, stacks or schedules, or reach what
a dayfly project has in the account. Conditions only narrow a statement, so they are not relied upon, except where noted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dayfly.core import names, texts

Path = tuple[str | int, ...]

_TABLE = {
    "aoss": "APIAccessAll",
    "appconfig": "GetLatestConfiguration StartConfigurationSession",
    "athena": "BatchGet* GetDatabase GetDataCatalog GetNamedQuery GetQuery* GetTableMetadata GetWorkGroup List* StartQueryExecution "
    "StopQueryExecution *PreparedStatement",
    "bedrock": "Get* InvokeModel* List*",
    "cloudwatch": "Describe* Get* List* PutMetricData",
    "codeartifact": "Describe* Get* List* ReadFromRepository",
    "comprehend": "BatchDetect* Detect*",
    "dynamodb": "BatchGetItem BatchWriteItem ConditionCheckItem DeleteItem Describe* Get* List* PartiQL* PutItem Query Scan UpdateItem",
    "ec2": "Describe*",
    "ecr": "BatchCheckLayerAvailability BatchGet* CompleteLayerUpload Describe* Get* InitiateLayerUpload List* PutImage UploadLayerPart",
    "es": "Describe* ESHttp* List*",
    "events": "PutEvents",
    "execute-api": "Invoke",
    "firehose": "Describe* List* PutRecord PutRecordBatch",
    "glue": "BatchCreatePartition BatchDeletePartition BatchGet* BatchUpdatePartition CreateDatabase CreatePartition CreateTable "
    "DeletePartition DeleteTable Get* List* SearchTables UpdatePartition UpdateTable",
    "kafka-cluster": "*",
    "kinesis": "Describe* Get* List* PutRecord PutRecords SubscribeToShard",
    "kms": "Decrypt DescribeKey Encrypt GenerateDataKey* GenerateRandom GetPublicKey ReEncrypt* Sign Verify",
    "lakeformation": "GetDataAccess",
    "lambda": "InvokeFunction",
    "logs": "CreateLogGroup CreateLogStream Describe* Filter* Get* List* PutLogEvents StartQuery StopQuery",
    "rds-data": "*",
    "rds-db": "connect",
    "redshift": "Describe* GetClusterCredentials*",
    "redshift-data": "*",
    "redshift-serverless": "GetCredentials GetWorkgroup List*",
    "rekognition": "Detect* RecognizeCelebrities",
    "s3": "AbortMultipartUpload DeleteObject* Get* List* PutObject* RestoreObject",
    "sagemaker": "InvokeEndpoint*",
    "secretsmanager": "DescribeSecret GetSecretValue List*",
    "ses": "SendEmail SendRawEmail SendTemplatedEmail",
    "sns": "Publish",
    "sqs": "ChangeMessageVisibility DeleteMessage Get* List* ReceiveMessage SendMessage",
    "ssm": "DescribeParameters GetParameter*",
    "sts": "GetCallerIdentity",
    "textract": "AnalyzeDocument DetectDocumentText",
    "timestream": "Describe* List* Select* WriteRecords",
    "translate": "TranslateText",
    "xray": "PutTelemetryRecords PutTraceSegments",
}
ACCEPTED: Mapping[str, tuple[str, ...]] = {service: tuple(actions.split()) for service, actions in _TABLE.items()}
"""The actions that a policy may allow, by service. A `*` stands at one end only, so what a pattern covers can be told from its letters."""

_WHY = {
    "*": "it covers launching servers and changing roles",
    "autoscaling": "it could launch and keep servers",
    "cloudformation": "it could change the project's stack",
    "ec2": "it could launch a server, keep it beyond its deadline, or change its tags; only ec2:Describe... is accepted",
    "iam": "it could pass a role to a server, or change what a role may do",
    "lambda": "it could change the functions that end servers; only lambda:InvokeFunction is accepted",
    "scheduler": "it could delete the schedules that end servers, or start runs",
    "ssm": "it could run commands on servers; only ssm:GetParameter... is accepted",
    "sts": "it could take another role; only sts:GetCallerIdentity is accepted",
    "tag": "it could change the tags by which servers are ended",
}
_NOT_KNOWN = "dayfly accepts only actions that it knows to reach no server, no role and nothing of a project"


def _in_account(service: str, resource: str) -> tuple[str, ...]:
    """Return patterns of this resource in every account and region. The name of a region has 9 to 15 characters."""
    return tuple(f"arn:aws:{service}:{'?' * length}:{'?' * 12}:{resource}" for length in range(9, 16))


PROTECTED: Mapping[str, tuple[str, ...]] = {
    "lambda": _in_account("lambda", "function:dayfly-*"),
    "logs": _in_account("logs", "log-group:/dayfly/*"),
    "s3": (f"arn:aws:s3:::dayfly-?*-{'?' * 12}-?*",),
    "sns": _in_account("sns", "dayfly-*"),
    "sqs": _in_account("sqs", "dayfly-*"),
}
"""What dayfly projects have, by the service of the actions that reach it."""
_BUCKETS = re.compile(r"arn:[a-z*?-]+:s3:::.+")
_WITHOUT_RESOURCE = ("s3:listallmybuckets",)

_OPERATORS = {
    f"{prefix}{operator}{suffix}".lower()
    for prefix in ("", "ForAllValues:", "ForAnyValue:")
    for suffix in ("", "IfExists")
    for operator in (
        *("StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike"),
        *("StringNotLike", "NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals"),
        *("NumericGreaterThan", "NumericGreaterThanEquals", "DateEquals", "DateNotEquals", "DateLessThan"),
        *("DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals", "Bool", "BinaryEquals", "IpAddress"),
        *("NotIpAddress", "ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike", "Null"),
    )
}
_CONDITION_KEY = re.compile(r"[a-z0-9-]+:[A-Za-z0-9/_.+=@:-]+")
_ACTION = re.compile(r"(\*|[a-z0-9-]+):([A-Za-z0-9*?]+)|\*")
_SID = re.compile(r"[A-Za-z0-9]{0,100}")
_VARIABLE = re.compile(r"\$\{[^}]*\}?")
_KEYS = ("Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition")


@dataclass(frozen=True)
class Refusal:
    """One reason why a policy is refused. `path`: to the part of the document that it is about."""

    path: Path
    message: str
    why: str = ""
    remedies: tuple[str, ...] = field(default=())


def refusals(policy: Any) -> list[Refusal]:
    """Return why this policy document is refused; empty if it is accepted."""
    if not isinstance(policy, Mapping):
        return [Refusal((), "is not a policy document", remedies=('{"Version": "2012-10-17", "Statement": [...]}',))]
    found = [Refusal((key,), f'unknown element "{key}"') for key in policy if key not in ("Version", "Id", "Statement")]
    if policy.get("Version") != "2012-10-17":
        found.append(Refusal(("Version",), 'Version is not "2012-10-17"', remedies=('"Version": "2012-10-17"',)))
    if "Id" in policy:
        found += _text(("Id",), policy["Id"])
    statements = policy.get("Statement")
    if isinstance(statements, Mapping):
        return [*found, *_statement(("Statement",), statements)]
    if not isinstance(statements, list) or not statements:
        return [*found, Refusal(("Statement",), "Statement is not a list of statements")]
    for number, each in enumerate(statements):
        found += _statement(("Statement", number), each)
    return found


def _statement(path: Path, statement: Any) -> Iterator[Refusal]:
    if not isinstance(statement, Mapping):
        yield Refusal(path, "is not a statement")
        return
    yield from (_unknown(path, key) for key in statement if key not in _KEYS)
    if not _SID.fullmatch(str(statement.get("Sid", ""))):
        yield Refusal((*path, "Sid"), "Sid has more than letters and digits")
    for key in ("Action", "NotAction", "Resource", "NotResource"):
        if key in statement:
            yield from _texts((*path, key), statement[key])
    yield from _condition((*path, "Condition"), statement.get("Condition", {}))
    match statement.get("Effect"):
        case "Allow":
            yield from _allow(path, statement)
        case "Deny":
            pass
        case _:
            yield Refusal((*path, "Effect"), 'Effect is neither "Allow" nor "Deny"')


def _unknown(path: Path, key: str) -> Refusal:
    if key in ("Principal", "NotPrincipal"):
        return Refusal((*path, key), f"{key} has no place in the policy of a role", remedies=("remove it",))
    return Refusal((*path, key), f'unknown element "{key}"')


def _allow(path: Path, statement: Mapping[str, Any]) -> Iterator[Refusal]:
    for key, positive in (("NotAction", "Action"), ("NotResource", "Resource")):
        if key in statement:
            why = "it allows everything that it does not name"
            yield Refusal((*path, key), f"Allow with {key}", why, (f"name what the job needs, in {positive}",))
        elif positive not in statement:
            yield Refusal(path, f"the statement has no {positive}")
    actions = list(_strings((*path, "Action"), statement.get("Action", [])))
    for place, action in actions:
        yield from _action(place, action)
    services = {action.lower().partition(":")[0] for _, action in actions if action.lower() not in _WITHOUT_RESOURCE}
    for place, resource in _strings((*path, "Resource"), statement.get("Resource", [])):
        yield from _resource(place, resource, services)
    if any(covers(action.lower(), "cloudwatch:putmetricdata") for _, action in actions):
        yield from _namespace(path, statement.get("Condition", {}))


def _action(path: Path, action: str) -> Iterator[Refusal]:
    found = _ACTION.fullmatch(action.lower())
    if found is None:
        yield Refusal(path, f'"{action}" is not an action like "athena:StartQueryExecution"')
        return
    service, name = found[1] or "*", found[2] or "*"
    if any(_includes(accepted.lower(), name) for accepted in ACCEPTED.get(service, ())):
        return
    accepted = [f"{service}:{each}" for each in ACCEPTED.get(service, ())]
    remedies = (f"what is accepted: {', '.join(accepted)}",) if accepted else ()
    yield Refusal(path, f'"{action}" is refused', _WHY.get(service, _NOT_KNOWN), remedies)


def _resource(path: Path, resource: str, services: set[str]) -> Iterator[Refusal]:
    for service in sorted(services):
        if any(overlaps(resource, pattern) for pattern in PROTECTED.get(service, ())):
            why = "a job that reaches it could change other runs, or hide that something failed"
            message = f'"{resource}" covers what dayfly projects have in {service}'
            yield Refusal(path, message, why, ("name the resources that the job needs",))
        elif service == "s3" and not _BUCKETS.fullmatch(resource):
            yield Refusal(path, f'"{resource}" is no bucket or object', remedies=('"arn:aws:s3:::BUCKET/PREFIX/*"',))


def _namespace(path: Path, condition: Any) -> Iterator[Refusal]:
    """Refuse to write the metric by which the alarm knows that sweeps work."""
    equal = condition.get("StringEquals", {}) if isinstance(condition, Mapping) else {}
    values = _values(equal.get("cloudwatch:namespace", [])) if isinstance(equal, Mapping) else []
    if not values or any("$" in str(each) or str(each).lower() == names.METRIC_NAMESPACE for each in values):
        why = f"it could write the metric in {names.METRIC_NAMESPACE} that shows that sweeps work"
        remedy = '"Condition": {"StringEquals": {"cloudwatch:namespace": "YOURS"}}'
        yield Refusal(path, "cloudwatch:PutMetricData without a namespace", why, (remedy,))


def _condition(path: Path, condition: Any) -> Iterator[Refusal]:
    """Refuse what is no condition: CloudFormation would take some of it for a function of its own."""
    if not isinstance(condition, Mapping):
        yield Refusal(path, "Condition is not an object")
        return
    for operator, tests in condition.items():
        if operator.lower() not in _OPERATORS or not isinstance(tests, Mapping):
            yield Refusal((*path, operator), f'"{operator}" is no operator with an object of keys')
            continue
        for key, values in tests.items():
            if not _CONDITION_KEY.fullmatch(key):
                yield Refusal((*path, operator, key), f'"{key}" is no condition key')
            for place, value in _each((*path, operator, key), values):
                if not isinstance(value, bool | int | float):
                    yield from _text(place, value)


def _texts(path: Path, value: Any) -> Iterator[Refusal]:
    for place, each in _each(path, value):
        yield from _text(place, each)


def _text(path: Path, value: Any) -> Iterator[Refusal]:
    if not isinstance(value, str) or not value:
        yield Refusal(path, f"{str(value)[:40]!r} is not a filled string")
        return
    fault = texts.text_fault(value)
    if fault:
        yield Refusal(path, f"a string {fault}")
    elif "{{" in value:
        yield Refusal(path, "a string has {{, which CloudFormation replaces")


def _values(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _each(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, list):
        yield from (((*path, number), each) for number, each in enumerate(value))
    else:
        yield path, value


def _strings(path: Path, value: Any) -> Iterator[tuple[Path, str]]:
    """Return the strings of a value; what else it has is refused elsewhere."""
    yield from ((place, each) for place, each in _each(path, value) if isinstance(each, str))


def _includes(accepted: str, pattern: str) -> bool:
    """Return whether `accepted`, which has a `*` at one end at most, matches all that `pattern` can match."""
    if accepted == "*":
        return True
    if accepted.endswith("*"):
        return re.split(r"[*?]", pattern, maxsplit=1)[0].startswith(accepted[:-1])
    if accepted.startswith("*"):
        return re.split(r"[*?]", pattern)[-1].endswith(accepted[1:])
    return pattern == accepted


def covers(pattern: str, text: str) -> bool:
    """Return whether an IAM pattern, with `*` and `?`, matches a text."""
    return overlaps(pattern, text)


def overlaps(one: str, other: str) -> bool:
    """Return whether some text matches both patterns. A policy variable can become any text. Case is ignored."""
    left, right = (_VARIABLE.sub("*", each.lower()) for each in (one, other))
    reached = {0}
    for sign in left:
        reached = _after(sign, _skipping(reached, right), right)
    return len(right) in _skipping(reached, right)


def _skipping(places: set[int], pattern: str) -> set[int]:
    """Return the places, and those behind a `*` that matches nothing."""
    found = set(places)
    for place in sorted(places):
        while pattern[place : place + 1] == "*":
            place += 1
            found.add(place)
    return found


def _after(sign: str, places: set[int], pattern: str) -> set[int]:
    """Return the places in `pattern` after this sign of the other pattern."""
    if sign == "*":
        return set(range(min(places, default=len(pattern) + 1), len(pattern) + 1))
    found = set()
    for place in places:
        match pattern[place : place + 1]:
            case "*":
                found.add(place)
            case "":
                pass
            case other if "?" in (sign, other) or sign == other:
                found.add(place + 1)
    return found
