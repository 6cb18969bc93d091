"""A running local cloud for the tests of this folder: one per test file, in a directory of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from running_cloud import Running, begin, command


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One cloud for all tests of a file."""
    running = begin(tmp_path_factory.mktemp("cloud") / "state")
    yield running
    command(running.directory, "down")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start (or start again) the cloud of this test; ended after it."""
    yield lambda *words: begin(tmp_path / "state", *words)
    command(tmp_path / "state", "down")
