"""A local cloud whose guests are QEMU machines, for the tests of this folder; skipped where there can be none."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "localcloud"))

from possible import why_not
from running_cloud import Running, begin, command


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where a vm is not possible its tests say why."""
    for item in items:
        if item.get_closest_marker("vm") and Path(__file__).parent in item.path.parents and (why := why_not()):
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start (or start again) the cloud of this test with those words; ended after it."""
    yield lambda *words: begin(tmp_path / "state", *words)
    command(tmp_path / "state", "down")
