"""AssumeRole: trust policies beside the caller's own policies, limits of sessions, and the identity that a session has."""

import json
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

import rows
from iam_rows import code_of
from probe import Probe
from targets import Keys, Target, allow, deny, keys_of

LOGIC = "IAM User Guide, Policy evaluation logic, Determining whether a request is allowed or denied within an account"
TRUST = "IAM User Guide, Update a role trust policy"
ASSUME = "STS API Reference, AssumeRole"
CHAINING = "IAM User Guide, Roles terms and concepts, Role chaining"

row = partial(rows.row, "iam")


def caller(target: Target, *statements: dict[str, Any], called: str = "conformance") -> tuple[Keys, str]:
    """Return the keys of a session of a new role with these statements, and the role's ARN."""
    arn = target.role("account", list(statements))
    sts = target.client("sts")
    said = target.retried(lambda: sts.assume_role(RoleArn=arn, RoleSessionName=called))["Credentials"]
    return keys_of(said), arn


def trusting(target: Target, principal: Any, *statements: dict[str, Any], **more: Any) -> str:
    """Return a new role with these statements whose trust policy names a principal; `more` is of the trust's statement."""
    trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"} | more
    return target.role("", list(statements), trust)


def refusal(target: Target, keys: Keys, role: str, **more: Any) -> str:
    """Return the code with which AssumeRole answers for these keys; "" when it assumes the role."""
    return code_of(target, keys, "sts", "assume_role", RoleArn=role, **({"RoleSessionName": "chained"} | more))


def assumed(target: Target, keys: Keys, role: str, **more: Any) -> Keys:
    """Return the keys of a session of `role` that these keys assume."""
    sts = target.client("sts", keys=keys)
    parameters = {"RoleArn": role, "RoleSessionName": "chained"} | more
    return keys_of(target.retried(lambda: sts.assume_role(**parameters))["Credentials"])


@row("A trust policy that names a role of its account is enough: that role needs no policy of its own", LOGIC)
def trust_of_a_role_is_enough(target: Target) -> None:
    keys, arn = caller(target)
    stranger, _ = caller(target, allow("sts:AssumeRole"))
    role = trusting(target, {"AWS": arn})
    target.retried(lambda: target.client("sts", keys=keys).assume_role(RoleArn=role, RoleSessionName="chained"))
    assert refusal(target, stranger, role) == "AccessDenied"


@row("Where a trust policy names the account, the caller's own policies must allow AssumeRole too", LOGIC)
def trust_of_the_account_is_not_enough(target: Target) -> None:
    role = target.role("account")
    without, _ = caller(target, allow("s3:*"))
    allowed, _ = caller(target, allow("sts:AssumeRole", role))
    another, _ = caller(target, allow("sts:AssumeRole", role + "-other"))
    assert [refusal(target, keys, role) for keys in (without, allowed, another)] == ["AccessDenied", "", "AccessDenied"]


@row("A Deny in the caller's policies overrides a trust policy that names the caller", LOGIC)
def deny_overrides_trust(target: Target) -> None:
    keys, arn = caller(target, deny("sts:AssumeRole"))
    assert refusal(target, keys, trusting(target, {"AWS": arn})) == "AccessDenied"


@row("A caller cannot assume a role that trusts only a service, whatever its own policies allow", TRUST)
def trust_of_a_service(target: Target) -> None:
    keys, _ = caller(target, allow("sts:*"))
    role = target.role("ec2")
    with_error: str = ""
    try:
        target.client("sts", keys=keys).assume_role(RoleArn=role, RoleSessionName="chained")
    except ClientError as error:
        with_error = error.response["Error"]["Message"]
    who = target.client("sts", keys=keys).get_caller_identity()["Arn"]
    assert with_error == f"User: {who} is not authorized to perform: sts:AssumeRole on resource: {role}"
    assert refusal(target, keys, role + "-none") == "AccessDenied"


@row(
    "Conditions of a trust policy hold: sts:ExternalId, sts:RoleSessionName, aws:PrincipalArn (a role's ARN, not its session's)",
    "IAM User Guide, AWS STS condition keys; AWS global condition context keys, aws:PrincipalArn",
)
def conditions_of_trust(target: Target) -> None:
    keys, arn = caller(target)
    tests: list[tuple[str, str, dict[str, str], str]] = [
        ("sts:ExternalId", "secret", {"ExternalId": "secret"}, ""),
        ("sts:ExternalId", "secret", {"ExternalId": "other"}, "AccessDenied"),
        ("sts:ExternalId", "secret", {}, "AccessDenied"),
        ("sts:RoleSessionName", "chained", {}, ""),
        ("sts:RoleSessionName", "other", {}, "AccessDenied"),
        ("aws:PrincipalArn", arn, {}, ""),
        ("aws:PrincipalArn", "arn:aws:sts::*:assumed-role/*", {}, "AccessDenied"),
    ]
    for key, value, asked, code in tests:
        role = trusting(target, {"AWS": arn}, Condition={"StringLike": {key: value}})
        if not code:
            assumed(target, keys, role, **asked)
        assert refusal(target, keys, role, **asked) == code, (key, value, asked)


@row("A session that a session assumes lasts at most one hour: ValidationError", CHAINING)
def chained_sessions_last_an_hour(target: Target) -> None:
    keys, arn = caller(target)
    role = trusting(target, {"AWS": arn})
    target.client("iam").update_role(RoleName=role.rsplit("/", 1)[-1], MaxSessionDuration=7200)
    assumed(target, keys, role, DurationSeconds=3600)
    assert refusal(target, keys, role, DurationSeconds=3601) == "ValidationError"


@row("DurationSeconds is at least 900 and at most the role's MaxSessionDuration: ValidationError", ASSUME)
def duration_of_a_session(target: Target) -> None:
    sts, role = target.client("sts"), target.role("account")

    def code(seconds: int) -> str:
        keys: Any = None
        return code_of(
            target, keys, "sts", "assume_role", RoleArn=role, RoleSessionName="long", DurationSeconds=seconds
        )

    assert [code(seconds) for seconds in (3601, 43201)] == ["ValidationError"] * 2
    target.client("iam").update_role(RoleName=role.rsplit("/", 1)[-1], MaxSessionDuration=7200)
    said = target.retried(lambda: sts.assume_role(RoleArn=role, RoleSessionName="long", DurationSeconds=7200))
    assert said["AssumedRoleUser"]["Arn"].endswith("/long")


@row("A session's name has 2 to 64 of the characters a-z A-Z 0-9 _+=,.@-: ValidationError", ASSUME)
def name_of_a_session(target: Target) -> None:
    role = target.role("account")
    nobody: Any = None
    asked = {"RoleArn": role}
    codes = [
        code_of(target, nobody, "sts", "assume_role", RoleSessionName=name, **asked) for name in ("a b", "a:b", "a/b")
    ]
    assert codes == ["ValidationError"] * 3


@row(
    "A session is judged as its role: it has the role's rights, not the caller's, and is ROLEID:SESSION in `${aws:userid}`",
    "IAM User Guide, IAM policy elements: Variables and tags; Compare AWS STS credentials",
)
def identity_of_a_session(target: Target) -> None:
    bucket = target.bucket()
    where = f"arn:aws:s3:::{bucket}"
    keys, arn = caller(target, allow("s3:PutObject", f"{where}/first/*"))
    role = trusting(target, {"AWS": arn}, allow("s3:PutObject", f"{where}/second/${{aws:userid}}/*"))
    session = assumed(target, keys, role)
    who = target.client("sts", keys=session).get_caller_identity()
    name = role.rsplit("/", 1)[-1]
    identifier = target.client("iam").get_role(RoleName=name)["Role"]["RoleId"]
    assert who["Arn"] == f"arn:aws:sts::{target.account}:assumed-role/{name}/chained"
    assert who["UserId"] == f"{identifier}:chained"

    def put(key: str, by: Keys) -> str:
        return code_of(target, by, "s3", "put_object", Bucket=bucket, Key=key, Body=b"1")

    assert put(f"second/{who['UserId']}/a", session) == ""
    denied = (put("second/other/a", session), put("first/a", session), put(f"second/{who['UserId']}/a", keys))
    assert denied == ("AccessDenied",) * 3
    assert put("first/a", keys) == ""


@row("An instance's role assumes a role that trusts it; the session carries the permissions of that role", CHAINING)
def chained_from_an_instance(target: Target) -> None:
    bucket = target.bucket()
    profile, arn = target.profile()
    role = trusting(target, {"AWS": arn}, allow("s3:PutObject", f"arn:aws:s3:::{bucket}/chained/*"))
    probe = target.retried(lambda: Probe(target, IamInstanceProfile={"Name": profile}))
    said = probe.get(f"meta-data/iam/security-credentials/{arn.rsplit('/', 1)[-1]}").text
    keys = keys_of(json.loads(said))
    session = assumed(target, keys, role, RoleSessionName=probe.instance)
    who = target.client("sts", keys=session).get_caller_identity()["Arn"]
    assert who.endswith(f"/{probe.instance}")
    put = {"Bucket": bucket, "Key": "chained/a", "Body": b"1"}
    assert code_of(target, session, "s3", "put_object", **put) == ""
    assert code_of(target, keys, "s3", "put_object", **put) == "AccessDenied"


@row(
    "A policy can refuse credentials that IMDSv1 gave (ec2:RoleDelivery), and name the instance (ec2:SourceInstanceARN)",
    "EC2 User Guide, Use IAM to control access to instance metadata; IAM User Guide, ec2:SourceInstanceARN",
)
def keys_of_an_instances_session(target: Target) -> None:
    bucket = target.bucket()
    where = f"arn:aws:s3:::{bucket}"
    old = {"NumericLessThan": {"ec2:RoleDelivery": "2.0"}}
    mine = {"ArnLike": {"ec2:SourceInstanceARN": f"arn:aws:ec2:*:{target.account}:instance/*"}}
    other = {"ArnLike": {"ec2:SourceInstanceARN": f"arn:aws:ec2:*:{target.account}:instance/i-other"}}
    statements = [
        deny("s3:*", Condition=old),
        allow("s3:PutObject", f"{where}/mine/*", Condition=mine),
        allow("s3:PutObject", f"{where}/other/*", Condition=other),
    ]
    profile, arn = target.profile(statements)
    options = {"HttpTokens": "optional"}
    probe = target.retried(lambda: Probe(target, IamInstanceProfile={"Name": profile}, MetadataOptions=options))
    path = f"/latest/meta-data/iam/security-credentials/{arn.rsplit('/', 1)[-1]}"
    second = keys_of(json.loads(probe.get(path.removeprefix("/latest/")).text))
    first = keys_of(json.loads(probe.ask("GET", path).text))

    def put(keys: Keys, folder: str) -> str:
        return code_of(target, keys, "s3", "put_object", Bucket=bucket, Key=f"{folder}/a", Body=b"1")

    codes = (put(second, "mine"), put(second, "other"), put(first, "mine"))
    assert codes == ("", "AccessDenied", "AccessDenied")


@row(
    "A trust policy that names a role or user that does not exist is refused: MalformedPolicyDocument",
    "IAM User Guide, AWS JSON policy elements: Principal; IAM API Reference, CreateRole, Errors",
)
def principal_must_exist(target: Target) -> None:
    iam, role = target.client("iam"), target.role("account")
    absent = f"arn:aws:iam::{target.account}:role/conf-no-such-role"
    trust = {"Effect": "Allow", "Principal": {"AWS": [role, absent]}, "Action": "sts:AssumeRole"}
    codes = []
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    nobody: Any = None
    name = target.name_for("role")
    codes.append(code_of(target, nobody, "iam", "create_role", RoleName=name, AssumeRolePolicyDocument=document))
    target.undo_after_row(iam.delete_role, RoleName=name)
    changed = {"RoleName": role.rsplit("/", 1)[-1], "PolicyDocument": document}
    codes.append(code_of(target, nobody, "iam", "update_assume_role_policy", **changed))
    assert codes == ["MalformedPolicyDocument"] * 2
