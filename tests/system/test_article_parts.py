"""Parts of the article's system by themselves: the template, the idempotency token, the digits, the user data."""

from __future__ import annotations

import importlib.util
import itertools
import subprocess
import sys

import pytest

from system.article import BIN, EXAMPLE, pi


def load(name):
    """Import a file of the launcher as a module, without writing bytecode into its folder."""
    spec = importlib.util.spec_from_file_location(f"article_{name}", EXAMPLE / "launcher" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


@pytest.fixture(scope="module")
def handler():
    return load("handler")


def test_template_passes_cfn_lint():
    words = [str(BIN / "cfn-lint"), str(EXAMPLE / "template.yaml")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def tick(**changed):
    return {
        "id": "1",
        "source": "aws.events",
        "detail-type": "Scheduled Event",
        "time": "2026-11-24T23:00:00Z",
        "resources": ["arn:aws:events:eu-west-1:111122223333:rule/pi"],
    } | changed


def test_tick_delivered_twice_has_one_token(handler):
    token = handler.token_of(tick(), "request-1")
    assert handler.token_of(tick(id="2"), "request-2") == token
    assert handler.token_of(tick(time="2026-11-25T23:00:00Z"), "request-1") != token
    assert handler.token_of(tick(resources=["arn:aws:events:eu-west-1:111122223333:rule/e"]), "request-1") != token


def test_other_events_are_identified_by_id_else_by_request(handler):
    assert handler.token_of({"id": "a"}, "request-1") == handler.token_of({"id": "a"}, "request-2")
    for nameless in ({}, None, [], "now", {"source": "aws.events"}):
        assert handler.token_of(nameless, "request-1") == handler.token_of(nameless, "request-1")
        assert handler.token_of(nameless, "request-1") != handler.token_of(nameless, "request-2")


def test_token_has_the_length_that_ec2_accepts(handler):
    assert len(handler.token_of({"id": "a" * 1000}, "request")) == 64


def test_user_data_fits_and_quotes_its_settings(handler):
    text = handler.user_data("10", "bucket'; shutdown -r now; '", "eu-west-1")
    assert len(text.encode()) < 16 * 1024
    checked = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True, timeout=30, check=False)
    assert checked.returncode == 0, checked.stderr
    quiet = text.replace("python3 -", "printf '%s|' ", 1).replace("shutdown -h now\n", "")
    said = subprocess.run(["sh"], input=quiet, capture_output=True, text=True, timeout=30, check=True).stdout
    assert said == "10|bucket'; shutdown -r now; '|eu-west-1|"
    assert text.endswith("\nshutdown -h now\n")


def test_digits_are_those_of_pi():
    digits = "".join(map(str, itertools.islice(load("server").digits(), 2000)))
    assert digits.startswith("31415926535897932384626433832795028841971693993751058209749445923")
    assert digits == pi(2000).replace(".", "")


def test_computes_at_least_two_digits():
    assert load("server").pi_for(0) == "3.1"
    assert len(load("server").pi_for(0.5)) > 50
