"""Reading records: any body is the record or a BadRecord, and what was written is read again."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.core import reasons
from dayfly.core.reasons import Flaw
from dayfly.core.record_json import BadRecord, decode, encode, moment
from dayfly.core.records import Cancel, Ended, Heartbeat, Intent, Opened, Slot
from dayfly.core.versions import read_version, write_version
from model.cloud import TICK, version

KINDS = (Opened, Slot, Intent, Ended, Heartbeat)
ENDED = json.loads(encode(Ended(at=TICK, outcome=reasons.Outcome.FAILED, reason="exit 3", exit=3)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def flaw_of(kind: type[Any], body: bytes) -> Flaw:
    with pytest.raises(BadRecord) as raised:
        decode(kind, body)
    return raised.value.flaw


@given(body=st.binary() | JSON.map(lambda content: json.dumps(content).encode()), kind=st.sampled_from(KINDS))
def test_any_body_is_a_record_or_bad(body, kind):
    flaw_of(kind, body)


@given(field=st.sampled_from(sorted(ENDED)), value=JSON)
def test_any_value_of_a_field_gives_a_record_or_a_bad_one(field, value):
    try:
        record = decode(Ended, json.dumps({**ENDED, field: value}).encode())
    except BadRecord:
        return
    assert decode(Ended, encode(record)) == record


@given(field=st.sampled_from(sorted(json.loads(write_version(version())))), value=JSON)
def test_any_value_in_a_version_gives_a_version_or_a_bad_one(field, value):
    body = json.dumps({**json.loads(write_version(version())), field: value}).encode()
    try:
        read_version(body)
    except BadRecord:
        return


@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59+00:00",
        "0001-01-01T00:00:00+23:59",
        "2026-11-24T22:41:00",
        "never",
    ],
)
def test_times_are_of_this_age_and_have_a_zone(text):
    with pytest.raises(ValueError, match=r"."):
        moment(text)
    assert flaw_of(Cancel, json.dumps({"at": text, "by": "ben"}).encode()) == Flaw.WRONG_CONTENT


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("holder", "nobody"),
        ("holder", "pi@0001-01-01T00:00:00Z"),
        ("attempt", True),
        ("attempt", 1.0),
        ("attempt", 10**400),
        ("at", 5),
    ],
)
def test_slot_with_a_wrong_value_is_bad(field, value):
    good = {"holder": "pi@2026-11-24T22:41:00Z", "attempt": 0, "at": "2026-11-24T22:41:00Z"}
    assert decode(Slot, json.dumps(good).encode()).attempt == 0
    flaw_of(Slot, json.dumps({**good, field: value}).encode())


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_json_are_bad(number):
    assert flaw_of(Slot, json.dumps({"attempt": number}).encode()) == Flaw.NOT_JSON


def test_unknown_fields_are_ignored():
    body = json.dumps({**ENDED, "added_later": {"x": [1]}}).encode()
    assert decode(Ended, body).reason == "exit 3"


@pytest.mark.parametrize(
    "changes",
    [{"time_limit_s": 10**12}, {"start_within_s": -1}, {"schedule": "x"}, {"market": "x"}, {"command": 3}, {"env": []}],
)
def test_job_that_no_file_can_declare_is_bad(changes):
    content = json.loads(write_version(version()))
    content["job"] |= changes
    with pytest.raises(BadRecord):
        read_version(json.dumps(content).encode())
