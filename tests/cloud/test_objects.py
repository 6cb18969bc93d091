"""Reads and lists of objects, by a real client of botocore and answers on the wire."""

from __future__ import annotations

import pytest

from cloud.wire import Wire
from dayfly.cloud.clients import Aws
from dayfly.cloud.interpreter import Interpreter
from dayfly.flows import calls


@pytest.fixture
def wired() -> tuple[Interpreter, Wire]:
    """An interpreter, and the bucket that it reads."""
    aws = Aws(region="eu-west-1", endpoint="http://127.0.0.1:9", keys=("k", "s"))
    names = {"project": "pi", "bucket": "b", "group": "g", "kill_role": "r", "dead_letters": "q"}
    return Interpreter(aws=aws, log=lambda _line, _fields: None, **names), Wire(aws, bucket="b", services=("s3",))


def test_object_larger_than_asked_for_is_not_read(wired):
    interpreter, wire = wired
    wire.objects["a"] = b"12345"
    assert interpreter.answer(calls.Get("a", most=5)) == calls.Stored(b"12345", "e")
    assert interpreter.answer(calls.Get("a", most=4)) == calls.TooLarge("e")
    assert interpreter.answer(calls.Get("b")) is None


def test_listing_gives_sizes(wired):
    interpreter, wire = wired
    wire.objects |= {"p/a": b"1", "p/b": b"", "p/c": b"123", "q": b"1"}
    assert interpreter.answer(calls.ListSizes("p/", after="p/a")) == {"p/b": 0, "p/c": 3}
