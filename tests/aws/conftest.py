"""A local cloud for the trial: one per test file, or one that a test may end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from trial_here import Here


def cloud(folder: Path) -> Iterator[Here]:
    command = [sys.executable, "-m", "dayfly", "local"]
    up = subprocess.run([*command, "up"], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert up.returncode == 0, up.stderr
    yield Here(folder)
    subprocess.run([*command, "down"], cwd=folder, capture_output=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    """One for all tests of a file."""
    yield from cloud(tmp_path_factory.mktemp("acceptance"))


@pytest.fixture
def here_too(tmp_path: Path) -> Iterator[Here]:
    """One for a test that ends it."""
    yield from cloud(tmp_path)
