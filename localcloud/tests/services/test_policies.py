"""Policies decide a request as the IAM User Guide says: tables of cases, without a cloud."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.services.iam.conditions import holds, parse_operator
from localcloud.services.iam.patterns import expand, matches
from localcloud.services.iam.policy import Decision, Grant, Request, combine, decide, decide_for, grant, mentions, parse

ACCOUNT = "111122223333"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/i-0abc"
USER = f"arn:aws:iam::{ACCOUNT}:user/ann"
READ = Request("s3:GetObject", "arn:aws:s3:::bucket/out/a", {"aws:userid": "AROA1:i-0abc", "s3:prefix": "out/"})

TEXT = st.text(st.characters(exclude_characters="*?$", exclude_categories=["Cs"]), max_size=20)


def statement(effect: str = "Allow", **elements: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": "s3:GetObject", "Resource": "*"} | elements


def policy(*statements: dict[str, Any], version: str | None = "2012-10-17") -> Any:
    document: dict[str, Any] = {"Statement": list(statements)}
    if version:
        document["Version"] = version
    return parse(document)


def allows(one: dict[str, Any], request: Request = READ, version: str | None = "2012-10-17") -> bool:
    return decide(request, [policy(one, version=version)])[0] is Decision.ALLOW


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"Action": "s3:GetObject"}, True),
        ({"Action": "S3:getOBJECT"}, True),
        ({"Action": ["s3:PutObject", "s3:Get*"]}, True),
        ({"Action": "s3:Get?bject"}, True),
        ({"Action": "s3:GetObjectAcl"}, False),
        ({"Action": "s3:Get"}, False),
        ({"Action": None, "NotAction": "s3:Put*"}, True),
        ({"Action": None, "NotAction": ["s3:PUT*", "s3:get*"]}, False),
        ({"Resource": "arn:aws:s3:::bucket/*"}, True),
        ({"Resource": "arn:aws:s3:::BUCKET/*"}, False),
        ({"Resource": "arn:aws:s3:::bucket"}, False),
        ({"Resource": ["arn:aws:s3:::other/*", "arn:aws:s3:::bucket/out/?"]}, True),
        ({"Resource": None, "NotResource": "arn:aws:s3:::other/*"}, True),
        ({"Resource": None, "NotResource": "arn:aws:s3:::bucket/*"}, False),
    ],
)
def test_action_and_resource_choose_statements(elements: dict[str, Any], expected: bool) -> None:
    assert allows(statement(**elements)) is expected


def test_nothing_is_allowed_by_default() -> None:
    assert decide(READ, []) == (Decision.NOTHING, None)
    assert decide(READ, [policy()])[0] is Decision.NOTHING


def test_deny_wins_in_any_order_and_layer() -> None:
    allow, deny = policy(statement()), policy(statement("Deny", Sid="no"))
    assert decide(READ, [allow, deny])[0] is Decision.DENY
    decision, decided = decide(READ, [deny, allow])
    assert (decision, decided and decided.sid) == (Decision.DENY, "no")
    assert decide(READ, [allow], [[deny, allow]])[0] is Decision.DENY


def test_limit_must_allow_too() -> None:
    allow, other = policy(statement()), policy(statement(Action="s3:PutObject"))
    assert decide(READ, [allow], [[other, allow]])[0] is Decision.ALLOW
    assert decide(READ, [allow], [[other]])[0] is Decision.NOTHING
    assert decide(READ, [allow], [[allow], []])[0] is Decision.NOTHING
    assert decide(READ, [], [[allow]])[0] is Decision.NOTHING


@pytest.mark.parametrize(
    ("elements", "version", "expected"),
    [
        ({"Resource": "arn:aws:s3:::bucket/${s3:prefix}*"}, "2012-10-17", True),
        ({"Resource": "arn:aws:s3:::bucket/${S3:Prefix}a"}, "2012-10-17", True),
        ({"Resource": "arn:aws:s3:::bucket/${s3:prefix}*"}, "2008-10-17", False),
        ({"Resource": "arn:aws:s3:::bucket/${s3:prefix}*"}, None, False),
        ({"Resource": "arn:aws:s3:::bucket/${aws:username}*"}, "2012-10-17", False),
        ({"Resource": "arn:aws:s3:::bucket/${aws:username, 'out'}/a"}, "2012-10-17", True),
        ({"Resource": ["*", "arn:aws:s3:::${aws:username}"]}, "2012-10-17", False),
        ({"Condition": {"StringEquals": {"s3:prefix": "${s3:prefix}"}}}, "2012-10-17", True),
        ({"Condition": {"StringNotEquals": {"s3:prefix": "${aws:username}"}}}, "2012-10-17", False),
    ],
)
def test_only_the_newest_version_replaces_variables(
    elements: dict[str, Any], version: str | None, expected: bool
) -> None:
    assert allows(statement(**elements), version=version) is expected


@pytest.mark.parametrize(
    ("operator", "actual", "wanted", "expected"),
    [
        ("StringEquals", "a", ["b", "a"], True),
        ("StringEquals", "A", ["a"], False),
        ("StringEquals", "ab", ["a*"], False),
        ("StringEquals", None, ["a"], False),
        ("StringEqualsIfExists", None, ["a"], True),
        ("StringEqualsIfExists", "b", ["a"], False),
        ("StringNotEquals", "c", ["a", "b"], True),
        ("StringNotEquals", "a", ["a", "b"], False),
        ("StringNotEquals", None, ["a"], True),
        ("StringEqualsIgnoreCase", "A", ["a"], True),
        ("StringNotEqualsIgnoreCase", "A", ["a"], False),
        ("StringLike", "out/a", ["out/*"], True),
        ("StringLike", "Out/a", ["out/*"], False),
        ("StringNotLike", "out/a", ["in/*", "out/*"], False),
        ("NumericLessThan", "9", ["10"], True),
        ("NumericLessThan", "10", ["10"], False),
        ("NumericLessThanEquals", "10.0", ["10"], True),
        ("NumericGreaterThan", "11", ["10"], True),
        ("NumericEquals", "x", ["10"], False),
        ("NumericNotEquals", "11", ["10"], True),
        ("DateGreaterThan", "2026-11-24T00:00:00Z", ["2026-11-23T23:59:59Z"], True),
        ("DateLessThan", "2026-11-24T00:00:00+00:00", ["1"], False),
        ("DateEquals", "0", ["1970-01-01T00:00:00Z"], True),
        ("DateEquals", "not a date", ["1970-01-01T00:00:00Z"], False),
        ("Bool", "true", ["TRUE"], True),
        ("Bool", "false", ["true"], False),
        ("BinaryEquals", "QQ==", ["QQ=="], True),
        ("IpAddress", "10.1.2.3", ["192.168.0.0/16", "10.0.0.0/8"], True),
        ("IpAddress", "11.1.2.3", ["10.0.0.0/8"], False),
        ("NotIpAddress", "11.1.2.3", ["10.0.0.0/8"], True),
        ("IpAddress", "nowhere", ["10.0.0.0/8"], False),
        ("ArnLike", "arn:aws:s3:::a/b", ["arn:aws:s3:::a/*"], True),
        ("ArnEquals", "arn:aws:s3:::a/b", ["arn:aws:s3:::a/*"], True),
        ("ArnNotLike", "arn:aws:s3:::a/b", ["arn:aws:s3:::b/*"], True),
        ("Null", None, ["true"], True),
        ("Null", "a", ["true"], False),
        ("Null", "a", ["false"], True),
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "b", "c"], True),
        ("ForAllValues:StringEquals", ["a", "d"], ["a", "b", "c"], False),
        ("ForAllValues:StringEquals", None, ["a"], True),
        ("ForAnyValue:StringEquals", ["d", "a"], ["a"], True),
        ("ForAnyValue:StringEquals", ["d"], ["a"], False),
        ("ForAnyValue:StringEquals", None, ["a"], False),
        ("ForAnyValue:StringNotEquals", ["a", "d"], ["a"], True),
        ("ForAnyValue:StringNotEquals", None, ["a"], False),
        ("ForAllValues:StringNotLike", ["b", "c"], ["a*"], True),
        ("forallvalues:stringlikeifexists", None, ["a"], True),
        ("StringSounds", "a", ["a"], False),
        ("StringSoundsIfExists", None, ["a"], False),
    ],
)
def test_condition_operators(operator: str, actual: Any, wanted: list[str], expected: bool) -> None:
    assert holds(parse_operator(operator), actual, wanted) is expected


def test_all_operators_and_keys_of_a_condition_must_hold() -> None:
    both = {
        "StringEquals": {"s3:prefix": "out/", "aws:userid": ["x", "AROA1:i-0abc"]},
        "Null": {"aws:username": "true"},
    }
    assert allows(statement(Condition=both))
    assert not allows(statement(Condition=both | {"Null": {"aws:username": "false"}}))
    assert not allows(statement(Condition=both | {"StringLike": {"s3:prefix": "in/*"}}))


@pytest.mark.parametrize(
    ("principal", "caller", "expected"),
    [
        ("*", SESSION, Grant.CALLER),
        ({"AWS": "*"}, SESSION, Grant.CALLER),
        ({"AWS": ACCOUNT}, SESSION, Grant.ACCOUNT),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, USER, Grant.ACCOUNT),
        ({"AWS": "444455556666"}, SESSION, Grant.NONE),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:role/worker"}, SESSION, Grant.CALLER),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:role/path/worker"}, SESSION, Grant.CALLER),
        ({"AWS": "arn:aws:iam::444455556666:role/worker"}, SESSION, Grant.NONE),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:role/other"}, SESSION, Grant.NONE),
        ({"AWS": [USER, SESSION]}, SESSION, Grant.SELF),
        ({"AWS": USER}, USER, Grant.SELF),
        ({"AWS": USER.upper()}, USER, Grant.NONE),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:user/*"}, USER, Grant.NONE),
        ({"Service": "ec2.amazonaws.com"}, SESSION, Grant.NONE),
        ({"Federated": "ec2.amazonaws.com"}, SESSION, Grant.NONE),
        (None, SESSION, Grant.NONE),
    ],
)
def test_principal_names_caller(principal: Any, caller: str, expected: Grant) -> None:
    assert grant(principal, caller) is expected


def test_service_is_named_only_as_a_service() -> None:
    lambda_ = "lambda.amazonaws.com"
    assert grant({"Service": [lambda_, "ec2.amazonaws.com"]}, lambda_, lambda_) is Grant.CALLER
    assert grant({"AWS": lambda_}, "", lambda_) is Grant.NONE
    assert grant({"Service": "ec2.amazonaws.com"}, lambda_, lambda_) is Grant.NONE


ALLOW, DENY, NOTHING = Decision.ALLOW, Decision.DENY, Decision.NOTHING
NAMED, BY_ACCOUNT = {"AWS": f"arn:aws:iam::{ACCOUNT}:role/worker"}, {"AWS": ACCOUNT}
LIMIT = [[policy(statement(Action="s3:PutObject"))]]


@pytest.mark.parametrize(
    ("identity", "effect", "principal", "same_account", "required", "limits", "expected"),
    [
        (ALLOW, "Allow", None, True, False, [], ALLOW),
        (ALLOW, "Allow", None, True, True, [], NOTHING),
        (ALLOW, "Allow", BY_ACCOUNT, True, True, [], ALLOW),
        (ALLOW, "Allow", None, False, False, [], NOTHING),
        (ALLOW, "Allow", NAMED, False, False, [], ALLOW),
        (ALLOW, "Deny", NAMED, True, False, [], DENY),
        (DENY, "Allow", NAMED, True, False, [], DENY),
        (NOTHING, "Allow", NAMED, True, False, [], ALLOW),
        (NOTHING, "Allow", BY_ACCOUNT, True, False, [], NOTHING),
        (NOTHING, "Allow", NAMED, False, False, [], NOTHING),
        (NOTHING, "Allow", NAMED, True, False, LIMIT, NOTHING),
        (NOTHING, "Allow", {"AWS": SESSION}, True, False, LIMIT, ALLOW),
        (NOTHING, "Deny", NAMED, True, False, [], DENY),
    ],
)
def test_identity_and_resource_policies_are_combined(
    identity: Decision,
    effect: str,
    principal: Any,
    same_account: bool,
    required: bool,
    limits: Any,
    expected: Decision,
) -> None:
    of_resource = policy(statement(effect, Principal=principal))
    decision, by_resource = combine(READ, identity, of_resource, SESSION, same_account, required, limits)
    assert decision is expected
    assert by_resource is (effect == "Deny" and identity is not DENY)


def test_resource_policy_counts_only_statements_that_name_the_caller() -> None:
    document = policy(statement(Principal={"AWS": USER}), statement("Deny", Principal={"AWS": SESSION}))
    assert decide_for(READ, document, USER)[0] is ALLOW
    assert decide_for(READ, document, SESSION)[0] is DENY
    assert decide_for(READ, document, f"arn:aws:iam::{ACCOUNT}:user/bob")[0] is NOTHING


@pytest.mark.parametrize(
    "document", ["", "[]", '"text"', "{", None, 3, {}, {"Statement": "x"}, {"Statement": [3, None]}]
)
def test_unreadable_document_has_no_statements(document: Any) -> None:
    assert parse(document) == ()


def test_text_and_object_are_the_same_document() -> None:
    document = {"Version": "2012-10-17", "Statement": statement(Condition={"Bool": {"a:b": True}})}
    assert parse(json.dumps(document)) == parse(document)
    assert parse(document)[0].conditions[0].values == ("true",)


def test_mentioned_keys_are_found() -> None:
    layer = [policy(statement()), policy(statement(Condition={"StringEquals": {"aws:ResourceTag/Owner": "me"}}))]
    assert mentions([layer], "aws:resourcetag/")
    assert not mentions([layer[:1]], "aws:resourcetag/")


@given(TEXT, TEXT)
def test_pattern_without_wildcard_matches_only_itself(pattern: str, text: str) -> None:
    assert matches(pattern, text) is (pattern == text)


@given(TEXT, TEXT, TEXT)
def test_star_matches_any_text_between(before: str, between: str, after: str) -> None:
    assert matches(f"{before}*{after}", before + between + after)


@given(st.text(max_size=20), TEXT)
def test_value_of_a_variable_matches_only_itself(value: str, other: str) -> None:
    pattern = expand("${a:b}/*", {"a:b": value}, pattern=True)
    assert pattern is not None
    assert matches(pattern, f"{value}/x")
    assert matches(pattern, f"{other}/x") is f"{other}/x".startswith(f"{value}/")


@given(st.lists(st.sampled_from(["Allow", "Deny"]), max_size=5))
def test_order_of_statements_does_not_matter(effects: list[str]) -> None:
    decided = {decide(READ, [policy(*(statement(one) for one in order))])[0] for order in (effects, effects[::-1])}
    expected = Decision.NOTHING
    if effects:
        expected = Decision.DENY if "Deny" in effects else Decision.ALLOW
    assert decided == {expected}


def test_literal_characters_are_written_as_variables() -> None:
    assert expand("${*}${?}${$}{a}", {}) == "*?${a}"
    pattern = expand("a${*}", {}, pattern=True)
    assert pattern is not None
    assert matches(pattern, "a*")
    assert not matches(pattern, "ab")
