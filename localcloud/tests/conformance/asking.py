"""Starts the local cloud that the rows are asked of. The tests and scripts/conformance share it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from running_cloud import begin, command
from targets import LocalCloud


@contextlib.contextmanager
def local_cloud(state: Path) -> Iterator[LocalCloud]:
    """Yield a local cloud that keeps its state in a directory; stop it at the end."""
    target = LocalCloud(begin(state))
    try:
        yield target
        target.close()
    finally:
        command(state, "down")
