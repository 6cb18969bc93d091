"""A local cloud whose guests are QEMU machines, for the tests of this folder; skipped where there can be none."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from possible import why_not

from running_cloud import Running, begin, command


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where a vm is not possible its tests say why; see `pytest_runtest_setup` for where it must be."""
    for item in items:
        if _needs_vm(item) and (why := why_not()) and not _must():
            item.add_marker(pytest.mark.skip(reason=why))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """With DAYFLY_TEST_NEEDS_VM=1 what would be skipped fails."""
    if _must() and _needs_vm(item) and (why := why_not()):
        pytest.fail(f"DAYFLY_TEST_NEEDS_VM is set: {why}", pytrace=False)


def _needs_vm(item: pytest.Item) -> bool:
    return item.get_closest_marker("vm") is not None and Path(__file__).parent in item.path.parents


def _must() -> bool:
    return os.environ.get("DAYFLY_TEST_NEEDS_VM") == "1"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start (or start again) the cloud of this test with those words; ended after it."""
    yield lambda *words: begin(tmp_path / "state", *words)
    command(tmp_path / "state", "down")
