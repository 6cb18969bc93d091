"""The random worlds catch known bugs that are planted in a copy of the source."""

from __future__ import annotations

import pytest

from model import planted


@pytest.mark.slow
@pytest.mark.parametrize("bug", planted.BUGS, ids=lambda bug: bug.name)
def test_planted_bug_is_caught(bug):
    found = planted.caught_by(bug)
    assert found.startswith(("seed ", "FAILED "))
    assert "an error of dayfly itself" not in found
