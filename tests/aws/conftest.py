"""A local cloud for the trial: one per test file, or one that a test may stop."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_trial import LocalTrial


def cloud(folder: Path) -> Iterator[LocalTrial]:
    command = [sys.executable, "-m", "dayfly", "local"]
    up = subprocess.run([*command, "up"], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert up.returncode == 0, up.stderr
    yield LocalTrial(folder)
    subprocess.run([*command, "down"], cwd=folder, capture_output=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTrial]:
    """One cloud for all tests of a file."""
    yield from cloud(tmp_path_factory.mktemp("acceptance"))


@pytest.fixture
def own_trial(tmp_path: Path) -> Iterator[LocalTrial]:
    """One cloud for a test that stops it."""
    yield from cloud(tmp_path)
