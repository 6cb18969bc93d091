"""A job's secrets: read as the server's role, given to the command alone, masked in what is stored of the run."""

from __future__ import annotations

import json

import pytest

from remote.agent.conftest import Server

WORD = "hunter2-correct-horse"
PEM = "-----BEGIN KEY-----\nMIIEvQIBADAN\nBgkqhkiG9w0B\n-----END KEY-----\n"


def everything(server: Server) -> bytes:
    """Return all that is stored or printed of the run, but the given objects of the test itself."""
    stored = b"".join(server.aws.read(key) for key in server.aws.keys(server.prefix))
    return stored + server.console_text().encode()


def test_secrets_are_in_the_environment_of_the_command(server: Server) -> None:
    server.aws.parameters["/lake/db"] = WORD
    server.aws.secrets["plain"], server.aws.secrets["login"] = (
        "a whole secret",
        json.dumps({"pw": "p#ss=w/rd", "port": 5432}),
    )
    server.go(
        'test "$A $B $C $D" = "hunter2-correct-horse a whole secret p#ss=w/rd 5432"',
        secrets={
            "A": "ssm:/lake/db",
            "B": "secretsmanager:plain",
            "C": "secretsmanager:login#pw",
            "D": "secretsmanager:login#port",
        },
    )
    server.agent()
    assert server.ended()["outcome"] == "succeeded"


def test_secret_replaces_a_plain_value_and_no_variable_of_dayfly(server: Server) -> None:
    server.aws.parameters["/x"] = WORD
    server.go(
        'test "$A" = hunter2-correct-horse -a "$DAYFLY_JOB" = pi',
        env={"A": "plain"},
        secrets={"A": "ssm:/x", "DAYFLY_JOB": "ssm:/x"},
    )
    server.agent()
    assert server.ended()["outcome"] == "succeeded"


def test_secret_is_masked_wherever_the_job_prints_it(server: Server) -> None:
    server.aws.parameters["/x"] = WORD
    slow = "for c in $(echo $A | sed 's/./& /g'); do printf $c; sleep 0.05; done; echo"
    server.go(f'echo "at start $A, $A."; {slow}; echo end $A >&2; exit 3', secrets={"A": "ssm:/x"})
    server.agent()
    ended = server.ended()
    assert server.log() == b"at start ***, ***.\n***\nend ***\n"
    assert ended["log"]["last"] == ["at start ***, ***.", "***", "end ***"]
    assert ended["log"]["bytes"] == len(server.log())
    assert WORD.encode() not in everything(server)


def test_each_line_of_a_long_secret_is_masked(server: Server) -> None:
    server.aws.parameters["/x"] = PEM
    server.go('printf %s "$A" | while read -r line; do echo "line: $line"; done', secrets={"A": "ssm:/x"})
    server.agent()
    server.ended()
    assert server.log() == b"line: ***\n" * 4


def test_secret_that_crosses_pieces_of_the_log_is_masked(server: Server) -> None:
    server.aws.parameters["/x"] = WORD
    code = "import os\nfor _ in range(400_000): print('x' * 7 + os.environ['A'])"
    server.go(["python3", "-c", code], secrets={"A": "ssm:/x"})
    server.agent()
    ended = server.ended(60)
    assert ended["outcome"] == "succeeded"
    assert server.log() == b"xxxxxxx***\n" * 400_000
    assert ended["agent_peak_memory_mb"] < 64


def test_setup_gets_no_secret(server: Server) -> None:
    server.aws.parameters["/x"] = WORD
    server.go("true", setup='test -z "${A:-}"', secrets={"A": "ssm:/x"}, time_limit_s=5)
    server.agent()
    assert server.ended()["outcome"] == "succeeded"


def test_no_process_has_a_secret_on_its_command_line(server: Server) -> None:
    server.aws.parameters["/x"] = WORD
    server.go(
        "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' > ps || true", secrets={"A": "ssm:/x"}, outputs=["ps"]
    )
    server.agent()
    assert server.ended()["outcome"] == "succeeded"
    assert b"/proc" in server.aws.read(server.prefix + "output/ps")
    assert WORD.encode() not in everything(server)


@pytest.mark.parametrize(
    ("place", "detail"),
    [
        ("ssm:/none", "DB_URL (ssm:/none): ParameterNotFound: no message"),
        ("secretsmanager:none", "DB_URL (secretsmanager:none): AccessDeniedException: not authorized"),
        ("secretsmanager:json#no", "DB_URL (secretsmanager:json#no) is JSON, but has no such key"),
        ("secretsmanager:json#nothing", "DB_URL (secretsmanager:json#nothing) has no text"),
        ("secretsmanager:text#key", "DB_URL (secretsmanager:text#key) is not JSON, so it has no such key"),
        ("ssm:/short", "DB_URL (ssm:/short) has fewer than 4 characters, so the log could not mask it"),
        ("ssm:/zero", "DB_URL (ssm:/zero) has a zero byte, which no variable can hold"),
        ("vault:x", "DB_URL (vault:x) is neither ssm: nor secretsmanager:"),
    ],
)
def test_secret_that_cannot_be_used_ends_the_run(server: Server, place: str, detail: str) -> None:
    server.aws.secrets.update(json='{"a": "hunter2-a", "nothing": null}', text="hunter2-text")
    server.aws.parameters.update({"/short": "hun", "/zero": "hunter2\0zero"})
    server.go("echo never", secrets={"DB_URL": place})
    server.agent()
    ended = server.ended()
    assert (ended["outcome"], ended["reason"], ended["detail"]) == ("failed", "no-secret", detail)
    assert server.prefix + "started.json" not in server.aws.objects
    assert b"hun" not in everything(server)


@pytest.mark.parametrize("fault", [500, 503, 429, "ExpiredToken"])
def test_secret_is_asked_for_again_after_a_passing_failure(server: Server, fault: int | str) -> None:
    server.aws.parameters["/x"] = WORD
    server.aws.fault = lambda method, path, before: fault if (method, path) == ("POST", "/") and before < 2 else None
    server.go('test "$A" = hunter2-correct-horse', secrets={"A": "ssm:/x"})
    server.agent()
    assert server.ended()["outcome"] == "succeeded"
