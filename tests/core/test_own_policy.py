"""What a user's policy may not say. No accepted policy allows what could reach a server, a role or a project."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dayfly.core import own_policy
from dayfly.core.own_policy import refusals

BUCKET = "dayfly-lake-123456789012-eu-west-1"
HERE = "eu-west-1:123456789012"
ATTACKS = (
    *((f"ec2:{action}", f"arn:aws:ec2:{HERE}:instance/i-0123") for action in ("RunInstances", "StartInstances", "CreateTags")),
    *((f"ec2:{action}", f"arn:aws:ec2:{HERE}:instance/i-0123") for action in ("DeleteTags", "ModifyInstanceAttribute")),
    *((f"ec2:{action}", "*") for action in ("CreateFleet", "RequestSpotInstances", "ModifyInstanceMetadataOptions")),
    *((f"iam:{action}", "arn:aws:iam::123456789012:role/dayfly-lake-ServerRole-1") for action in ("PassRole", "PutRolePolicy")),
    ("sts:AssumeRole", "arn:aws:iam::123456789012:role/admin"),
    ("sts:GetFederationToken", "*"),
    ("scheduler:DeleteSchedule", f"arn:aws:scheduler:{HERE}:schedule/dayfly-lake/kill-i-0123"),
    ("events:DisableRule", f"arn:aws:events:{HERE}:rule/dayfly-lake-state-changes"),
    ("lambda:UpdateFunctionCode", f"arn:aws:lambda:{HERE}:function:dayfly-lake-sweeper"),
    ("lambda:InvokeFunction", f"arn:aws:lambda:{HERE}:function:dayfly-lake-launcher"),
    ("cloudformation:UpdateStack", f"arn:aws:cloudformation:{HERE}:stack/dayfly-lake/1"),
    ("autoscaling:SetDesiredCapacity", f"arn:aws:autoscaling:{HERE}:autoScalingGroup:1:autoScalingGroupName/x"),
    ("ssm:SendCommand", f"arn:aws:ec2:{HERE}:instance/i-0123"),
    ("tag:UntagResources", "*"),
    ("s3:PutObject", f"arn:aws:s3:::{BUCKET}/latest/pi.json"),
    ("s3:GetObject", f"arn:aws:s3:::{BUCKET}/out/pi/output/x"),
    ("s3:ListBucket", f"arn:aws:s3:::{BUCKET}"),
    ("s3:PutBucketPolicy", f"arn:aws:s3:::{BUCKET}"),
    ("s3:GetObject", f"arn:aws:s3:{HERE}:accesspoint/lake/object/latest/pi.json"),
    ("sns:Publish", f"arn:aws:sns:{HERE}:dayfly-lake"),
    ("sqs:DeleteMessage", f"arn:aws:sqs:{HERE}:dayfly-lake-dead-letters"),
    ("logs:PutLogEvents", f"arn:aws:logs:{HERE}:log-group:/dayfly/lake/sweeper:log-stream:x"),
    ("cloudwatch:PutMetricData", "*"),
    ("kms:CreateGrant", f"arn:aws:kms:{HERE}:key/1"),
    ("ecs:RunTask", "*"),
    ("batch:SubmitJob", "*"),
)  # fmt: skip


def allowed(policy: dict[str, Any], action: str, resource: str) -> bool:
    """Return whether a policy allows a request, as IAM's documentation says; a condition counts as true. Written for these tests alone."""
    statements = policy["Statement"]
    statements = statements if isinstance(statements, list) else [statements]
    return any(each["Effect"] == "Allow" and _applies(each, action, resource) for each in statements)


def _applies(statement: dict[str, Any], action: str, resource: str) -> bool:
    acts = _matches(statement, "Action", action)
    reaches = _matches(statement, "Resource", resource)
    if action == "cloudwatch:PutMetricData" and "Condition" in statement:
        return acts and statement["Condition"]["StringEquals"]["cloudwatch:namespace"] == "dayfly"
    return acts and reaches


def _matches(statement: dict[str, Any], key: str, text: str) -> bool:
    if f"Not{key}" in statement:
        return not _any(statement[f"Not{key}"], text)
    return _any(statement.get(key, []), text)


def _any(patterns: str | list[str], text: str) -> bool:
    listed = [patterns] if isinstance(patterns, str) else patterns
    return any(re.fullmatch(_expression(each), text, re.IGNORECASE | re.DOTALL) for each in listed)


def _expression(pattern: str) -> str:
    parts = re.split(r"(\$\{[^}]*\}|[*?])", pattern)
    return "".join(
        {"?": ".", "*": ".*"}.get(part, ".*" if part.startswith("${") else re.escape(part)) for part in parts
    )


def policy(**statement: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*", **statement}]}


GOOD = (
    policy(Action="athena:StartQueryExecution"),
    policy(Action=["glue:GetTable", "glue:GetPartition*", "glue:BatchCreatePartition"]),
    policy(Action=["kms:Decrypt", "kms:GenerateDataKey*"], Condition={"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}}),
    policy(Action=["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], Resource=["arn:aws:s3:::acme-lake/raw/*"]),
    policy(Action="s3:ListBucket", Resource="arn:aws:s3:::acme-*"),
    policy(Action="s3:ListAllMyBuckets"),
    policy(Action="S3:getobject", Resource="arn:aws:s3:::acme-lake/${aws:PrincipalTag/team}/*"),
    policy(Action="lambda:InvokeFunction", Resource=f"arn:aws:lambda:{HERE}:function:convert"),
    policy(Action="sns:Publish", Resource=f"arn:aws:sns:{HERE}:ours-*"),
    policy(Action="cloudwatch:PutMetricData", Condition={"StringEquals": {"cloudwatch:namespace": "acme"}}),
    policy(Action="ec2:Describe*"),
    policy(Effect="Deny", Action="*"),
    policy(Effect="Deny", NotAction=["s3:*"]),
    {"Version": "2012-10-17", "Statement": {"Sid": "One", "Effect": "Allow", "Action": "dynamodb:Query", "Resource": "*"}},
)  # fmt: skip
BAD = (
    (policy(Action="*"), ("Statement", 0, "Action"), "covers launching servers"),
    (policy(Action="*:*"), ("Statement", 0, "Action"), "covers launching servers"),
    (policy(Action=["athena:GetWorkGroup", "iam:PassRole"]), ("Statement", 0, "Action", 1), "pass a role"),
    (policy(Action="ec2:*"), ("Statement", 0, "Action"), "launch a server"),
    (policy(Action="EC2:runinstances"), ("Statement", 0, "Action"), "launch a server"),
    (policy(Action="ec2:D*"), ("Statement", 0, "Action"), "launch a server"),
    (policy(Action="s3:*", Resource="arn:aws:s3:::acme/*"), ("Statement", 0, "Action"), "reach no server"),
    (policy(Action="s?:GetObject"), ("Statement", 0, "Action"), ""),
    (policy(Action="neptune-db:connect"), ("Statement", 0, "Action"), "reach no server"),
    (policy(NotAction="iam:*"), ("Statement", 0, "NotAction"), "everything that it does not name"),
    (policy(Action="s3:GetObject"), ("Statement", 0, "Resource"), "change other runs"),
    (policy(Action="s3:GetObject", Resource=f"arn:aws:s3:::{BUCKET}/*"), ("Statement", 0, "Resource"), "change other runs"),
    (policy(Action="s3:GetObject", Resource="arn:aws:s3:::d*/x"), ("Statement", 0, "Resource"), "change other runs"),
    (policy(Action="s3:GetObject", Resource="arn:aws:s3:::${aws:PrincipalTag/x}/y"), ("Statement", 0, "Resource"), "change other"),
    (policy(Action="s3:GetObject", Resource=f"arn:aws:s3:{HERE}:accesspoint/x"), ("Statement", 0, "Resource"), ""),
    (policy(Action="lambda:InvokeFunction"), ("Statement", 0, "Resource"), "change other runs"),
    (policy(Action="cloudwatch:PutMetricData"), ("Statement", 0), "metric"),
    (policy(Action="cloudwatch:Put*", Resource="*"), ("Statement", 0, "Action"), "reach no server"),
    ({"Version": "2008-10-17", "Statement": []}, ("Version",), ""),
    ({"Version": "2012-10-17", "Statement": []}, ("Statement",), ""),
    (policy(Action="sqs:SendMessage", Principal="*", Resource="arn:aws:sqs:::x"), ("Statement", 0, "Principal"), ""),
    ([], (), ""),
)  # fmt: skip


@pytest.mark.parametrize("good", GOOD, ids=str)
def test_what_jobs_need_is_accepted(good: dict[str, Any]) -> None:
    assert refusals(good) == []


@pytest.mark.parametrize(("bad", "path", "why"), BAD, ids=[str(each[0]) for each in BAD])
def test_what_reaches_servers_roles_or_projects_is_refused(bad: Any, path: tuple, why: str) -> None:
    found = refusals(bad)
    assert path in [each.path for each in found]
    assert any(why in each.why for each in found)


@pytest.mark.parametrize(
    "value",
    [
        policy(Action="sns:Publish", Resource={"Fn::Sub": "x"}),
        policy(Action={"Ref": "x"}),
        policy(Action="kms:Decrypt", Condition={"StringEquals": {"Fn::Sub": "x"}}),
        policy(Action="kms:Decrypt", Condition={"Fn::If": ["a", "b", "c"]}),
        policy(Action="kms:Decrypt", Condition={"Ref": {"aws:x": "y"}}),
        policy(Action="kms:Decrypt", Resource="{{resolve:ssm:/x}}"),
        policy(Action="kms:Decrypt", Sid={"Ref": "x"}),
        {**policy(Action="kms:Decrypt"), "Fn::Transform": {"Name": "AWS::Include"}},
    ],
    ids=str,
)
def test_what_cloudformation_would_evaluate_is_refused(value: dict[str, Any]) -> None:
    assert refusals(value)


@pytest.mark.parametrize(("action", "resource"), ATTACKS)
def test_each_attack_is_refused_as_it_is(action: str, resource: str) -> None:
    assert refusals(policy(Action=action, Resource=resource))
    assert allowed(policy(Action=action, Resource=resource), action, resource)


@st.composite
def covering(draw: st.DrawFn, text: str) -> str:
    """Return a pattern that covers this text: parts of it are replaced by wildcards."""
    parts = []
    while text:
        end = draw(st.integers(1, len(text)))
        part, text = text[:end], text[end:]
        parts.append(draw(st.sampled_from([part, part, "*", "?" * len(part), part.upper(), "*" + part])))
    return "".join(parts)


@st.composite
def attacking(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[str, str]]:
    """Return a statement that allows an attack, among what is accepted, and the attack."""
    attack = draw(st.sampled_from(ATTACKS))
    resource = draw(covering(attack[1]) | st.just("*") | st.just("${aws:PrincipalTag/x}"))
    action = draw(covering(attack[0]) | st.just(attack[0]))
    statement: dict[str, Any] = {"Effect": "Allow", "Action": action, "Resource": resource}
    if draw(st.booleans()):
        statement["Action"] = draw(st.permutations(["kms:Decrypt", "glue:Get*", action]))
        statement["Resource"] = draw(st.permutations(["arn:aws:s3:::acme/*", resource]))
    if draw(st.booleans()):
        statement["Condition"] = {"StringEquals": {"cloudwatch:namespace": "dayfly"}}
    for key, other in (("Action", "kms:Decrypt"), ("Resource", "arn:aws:s3:::acme/*")):
        if draw(st.integers(0, 5)) == 0:
            del statement[key]
            statement[f"Not{key}"] = other
    return statement, attack


GOOD_STATEMENTS = [each["Statement"] for each in GOOD if isinstance(each["Statement"], list)]


@settings(max_examples=800, deadline=None)
@given(attacking(), st.sampled_from(GOOD_STATEMENTS), st.booleans())
def test_no_accepted_policy_allows_an_attack(
    attacking: tuple[dict[str, Any], tuple[str, str]], good: list[dict[str, Any]], first: bool
) -> None:
    statement, attack = attacking
    statements = [statement, *good] if first else [*good, statement]
    one = {"Version": "2012-10-17", "Statement": statements}
    assert allowed(one, *attack)
    assert refusals(one)


@st.composite
def varied(draw: st.DrawFn) -> str:
    return draw(covering(draw(st.sampled_from([each for pair in ATTACKS for each in pair]))))


@settings(max_examples=200, deadline=None)
@given(varied(), st.text("abAB:-*?", max_size=8))
def test_patterns_overlap_when_a_text_matches_both(one: str, text: str) -> None:
    if "*" not in text and "?" not in text:
        assert own_policy.overlaps(one, text) == bool(re.fullmatch(_expression(one), text, re.IGNORECASE))
    assert own_policy.overlaps(one, one)
    assert own_policy.overlaps(one, text) == own_policy.overlaps(text, one)
