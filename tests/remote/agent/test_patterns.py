"""The agent and core have one rule for patterns of outputs, written twice: the agent cannot import core."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dayfly.core import patterns
from dayfly.remote.agent import outputs

PARTS = st.sampled_from(["a", "b", "ab", ".a", "..", "a.txt", "*", "**", "?", "[ab]", "*.txt", ".*", ".", "", "[!a]"])


@given(path=st.lists(PARTS.filter(bool), min_size=1, max_size=4), pattern=st.lists(PARTS, min_size=1, max_size=4))
def test_core_and_agent_match_alike(path, pattern):
    text = "/".join(pattern)
    parts = outputs._parts(text)
    if parts:
        assert patterns.matches("/".join(path), text) == outputs.matches(path, parts)
