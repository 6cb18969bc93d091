"""An event is refused unless each field has exactly its type, and a text in it can be stored, sent and shown."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dayfly.core import names, texts
from dayfly.core.event import LaunchAt, LaunchNow, Retry, launch_request
from dayfly.errors import FileError

TICK = "2026-11-24T22:41:00Z"
ODD = [None, 0, 1, 1.5, True, False, "", "false", "x\0", "x\x1b[31m", "\ud800", [], ["x"], {}, {"a": 1}]
"""Values of every JSON type; strings that EC2, S3 or a screen cannot take."""


def is_same(value, other) -> bool:
    return type(value) is type(other) and value == other


def read(**event):
    return launch_request({"job": "pi", **event}, "request-1")


def refusal(event, request: str = "request-1") -> str:
    with pytest.raises(FileError, match="not a launcher event") as refused:
        launch_request(event, request)
    assert refused.value.message == texts.escaped(refused.value.message)
    assert len(refused.value.message) < 400
    return refused.value.message


def test_whole_event_is_read():
    asked = read(tick=TICK, source="schedule", request="r", by="ben", env={"A": "1\n2"}, publish=True)
    tick = datetime(2026, 11, 24, 22, 41, tzinfo=UTC)
    assert asked == LaunchAt(
        job="pi", tick=tick, source="schedule", request="r", by="ben", env={"A": "1\n2"}, publish=True
    )
    assert read() == LaunchNow(job="pi", request="request-1")
    again = launch_request({"retry": f"pi@{TICK}", "same_code": True}, "r")
    assert again == Retry(run=names.RunName("pi", tick), same_code=True, request="r")


def test_text_false_does_not_mean_publish():
    assert "publish must be true or false" in refusal({"job": "pi", "publish": "false"})


def test_empty_list_is_no_source():
    assert "source must be a string" in refusal({"job": "pi", "source": []})


FIELDS = ["job", "tick", "source", "request", "by", "env", "publish", "retry", "same_code"]
GOOD = {"job": ["false"], "request": ["", "false"], "by": ["", "false"], "env": [{}], "publish": [True, False]}
GOOD |= {"same_code": [True, False]}
WRONG = [
    (field, value) for field in FIELDS for value in ODD if not any(is_same(value, good) for good in GOOD.get(field, []))
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_value_of_another_type_or_odd_text_is_refused(field, value):
    event = {"retry": f"pi@{TICK}"} if field == "same_code" else {"job": "pi"}
    assert field in refusal({**event, field: value})


@pytest.mark.parametrize("event", [None, 1, "pi", [], ["pi"], {}, {"job": "pi", "when": "now"}, {"\ud800\x1b": 1}])
def test_other_documents_are_refused(event):
    refusal(event)


@pytest.mark.parametrize(
    "tick", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]
)
def test_tick_has_a_range(tick):
    assert "from 1970 to 2199" in refusal({"job": "pi", "tick": tick})


@pytest.mark.parametrize(
    "tick", ["2026-11-24", "2026-11-24T22:41:00", "2026-13-24T22:41:00Z", "٢٠٢٦-11-24T22:41:00Z", TICK + "\n"]
)
def test_tick_has_one_form(tick):
    assert "tick" in refusal({"job": "pi", "tick": tick})


@pytest.mark.parametrize(
    "env",
    [
        {"A": 1},
        {"A": None},
        {"": "x"},
        {"A=B": "x"},
        {"1A": "x"},
        {"A" * 129: "x"},
        {"A": "\0"},
        {"A": "\x1b"},
        {"A": "\ud800"},
        {"\ud800": "x"},
        {"DAYFLY_TICK": "x"},
        {"AWS_REGION": "x"},
        {"A": "x" * (texts.TEXT_BYTES + 1)},
        {"A": "é" * (texts.TEXT_BYTES // 2 + 1)},
        {f"A{number}": "x" * 60_000 for number in range(5)},
    ],
    ids=range(15),
)
def test_variable_that_a_server_cannot_take_is_refused(env):
    assert "env" in refusal({"job": "pi", "env": env})


@pytest.mark.parametrize("field", ["by", "request"])
def test_long_word_is_refused(field):
    assert "has more than 256 characters" in refusal({"job": "pi", field: "x" * 257})
