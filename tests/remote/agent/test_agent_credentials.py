"""A job's credentials are those of its own role, found by an SDK as on any container; without a role it has none."""

from __future__ import annotations

import json

from dayfly.core import names
from remote.agent.conftest import ROLE, Server

ARN = "arn:aws:iam::123456789012:role/dayfly-lake-job-0a1b2c3d"
SDK = """
import botocore.session, json, sys
found = botocore.session.Session().get_credentials()
print(json.dumps(found and [found.method, found.access_key, found.secret_key, found.token]))
"""
"""What botocore finds by itself, as every SDK does."""


def asked(server: Server, command: str, **changes: object) -> bytes:
    """Run a command as the job, and return its log."""
    server.go(["sh", "-euc", command], **changes)
    server.agent()
    assert server.ended()["outcome"] == "succeeded", server.log()
    return server.log()


def by_sdk(server: Server, **changes: object) -> object:
    return json.loads(asked(server, f"python3 -c '{SDK}'", **changes))


def test_sdk_finds_the_credentials_of_the_job_role(server: Server) -> None:
    server.aws.roles.add(ARN)
    session = f"{server.aws.instance}=="
    assert by_sdk(server, job_role=ARN) == ["container-role", "ASIAJOB1", "job/+secret", session]


def test_job_without_a_role_finds_no_credentials(server: Server) -> None:
    assert by_sdk(server) is None
    assert "POST /" not in server.aws.seen


def test_job_variables_name_no_metadata_service(server: Server) -> None:
    env = asked(server, "env")
    assert b"AWS_EC2_METADATA_DISABLED=true" in env
    assert b"AWS_EC2_METADATA_SERVICE_ENDPOINT" not in env


def test_setup_uses_the_role_of_the_server(server: Server) -> None:
    server.aws.roles.add(ARN)
    setup = f"python3 -c '{SDK}' > found"
    found = json.loads(asked(server, "cat found", setup=setup, job_role=ARN, time_limit_s=20))
    assert found[:2] == ["iam-role", "ASIATEST"]


def test_credentials_are_given_only_for_the_token(server: Server) -> None:
    server.aws.roles.add(ARN)
    ask = 'code() { curl -s -o /dev/null -w "%{http_code} " "$@"; }\n'
    ask += 'code -H "Authorization: $AWS_CONTAINER_AUTHORIZATION_TOKEN" $AWS_CONTAINER_CREDENTIALS_FULL_URI\n'
    ask += 'code $AWS_CONTAINER_CREDENTIALS_FULL_URI; code -H "Authorization: x" $AWS_CONTAINER_CREDENTIALS_FULL_URI\n'
    ask += 'code -H "Authorization: $AWS_CONTAINER_AUTHORIZATION_TOKEN" ${AWS_CONTAINER_CREDENTIALS_FULL_URI}/x\n'
    assert asked(server, ask, job_role=ARN) == b"200 403 403 403 "


TWICE = """
curl -sH "Authorization: $AWS_CONTAINER_AUTHORIZATION_TOKEN" $AWS_CONTAINER_CREDENTIALS_FULL_URI; echo
curl -sH "Authorization: $AWS_CONTAINER_AUTHORIZATION_TOKEN" $AWS_CONTAINER_CREDENTIALS_FULL_URI; echo
"""


def keys(log: bytes) -> list[str]:
    return [json.loads(line)["AccessKeyId"] for line in log.splitlines()]


def test_credentials_that_end_soon_are_renewed(server: Server) -> None:
    server.aws.roles.add(ARN)
    server.aws.session_s = 1000
    assert keys(asked(server, TWICE, job_role=ARN)) == ["ASIAJOB2", "ASIAJOB3"]


def test_credentials_with_time_left_are_given_again(server: Server) -> None:
    server.aws.roles.add(ARN)
    assert keys(asked(server, TWICE, job_role=ARN)) == ["ASIAJOB1", "ASIAJOB1"]


def test_credentials_that_cannot_be_renewed_are_given_while_they_last(server: Server) -> None:
    server.aws.roles.add(ARN)
    server.aws.session_s = 1000
    server.aws.fault = lambda method, path, before: 403 if (method, path) == ("POST", "/") and before > 0 else None
    assert keys(asked(server, TWICE, job_role=ARN)) == ["ASIAJOB1", "ASIAJOB1"]


def test_young_role_is_asked_for_again(server: Server) -> None:
    def fault(method: str, path: str, before: int) -> int | str | None:
        if (method, path) == ("POST", "/") and before == 1:
            server.aws.roles.add(ARN)
        return None

    server.aws.fault = fault
    assert keys(asked(server, TWICE, job_role=ARN)) == ["ASIAJOB2", "ASIAJOB2"]


def test_role_that_cannot_be_assumed_ends_the_run(server: Server) -> None:
    server.aws.fault = lambda method, path, _before: 400 if (method, path) == ("POST", "/") else None
    server.go("echo never", job_role=ARN)
    server.agent()
    ended = server.ended()
    assert (ended["outcome"], ended["reason"]) == ("failed", "no-role")
    assert ended["detail"] == f"cannot assume {ARN}: Planted: m"
    assert server.prefix + "started.json" not in server.aws.objects


def test_links_of_go_json_are_in_no_file_that_is_left(server: Server) -> None:
    server.aws.roles.add(ARN)
    log = asked(server, 'grep -rls X-Amz-Signature "$HOME" || true', job_role=ARN)
    assert names.go_key(ROLE, server.aws.instance) in server.aws.objects
    left = set(log.decode().split()) - {str(server.control / "given.json")}
    assert not [path for path in left if path.endswith(".json")], left
