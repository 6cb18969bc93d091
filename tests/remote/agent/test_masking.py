"""The masker finds every secret, wherever blocks end, and changes nothing else."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from dayfly.remote.agent.masking import Masker

SECRETS = ["hunter2", "abab", "aaaa", "hunter22", "babx", "one line\nother line"]
TEXT = st.lists(
    st.sampled_from([*SECRETS, "a", "b", "h", "hunter", "x", "\n", "aba", "other line", "ünï"]), max_size=30
).map("".join)


def masked(secrets: list[str], blocks: list[bytes]) -> bytes:
    masker = Masker(secrets)
    return b"".join([*(masker.feed(block) for block in blocks), masker.flush()])


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


@given(text=TEXT, at=st.lists(st.integers(0, 500), max_size=12))
def test_no_secret_is_left_wherever_blocks_end(text: str, at: list[int]) -> None:
    data = text.encode() + b" "
    found = masked(SECRETS, cut(data, at))
    assert not [secret for secret in SECRETS if secret.encode() in found]
    assert found == masked(SECRETS, [data])


@given(data=st.binary(max_size=200), at=st.lists(st.integers(0, 500), max_size=12))
def test_text_without_a_secret_is_unchanged(data: bytes, at: list[int]) -> None:
    assert masked(["no such text in it"], cut(data + b".", at)) == data + b"."
    assert masked([], cut(data, at)) == data


def test_overlapping_secrets_leave_nothing() -> None:
    assert masked(["abcd", "cdef"], [b"-abcdef-"]) == b"-***-"
    assert masked(["abcd", "cdef"], [b"-ab", b"cd", b"ef-"]) == b"-***-"
    assert masked(["abcd", "abcdef"], [b"abcd", b"ef!"]) == b"***!"


def test_start_of_a_secret_at_the_end_is_masked_if_it_says_much() -> None:
    assert masked(["hunter2"], [b"hunte"]) == b"***"
    assert masked(["hunter2"], [b"hun"]) == b"hun"


def test_long_secret_takes_little_time_per_block() -> None:
    masker = Masker(["x" * 60_000 + "y"])
    assert len(masker.feed(b"z" * 65_536)) == 65_536
    assert masker.feed(b"x" * 65_536).count(b"x") == 65_536 - 60_000
