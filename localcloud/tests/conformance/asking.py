"""Starting what the rows are asked of: what the tests and the printed table have in common."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from moto.server import ThreadedMotoServer
from targets import LocalCloud, Moto

from running_cloud import begin, command

HERE = Path(__file__).parent


@contextlib.contextmanager
def local_cloud(state: Path) -> Iterator[LocalCloud]:
    """A local cloud in a state directory, ended at the end."""
    target = LocalCloud(begin(state))
    try:
        yield target
        target.close()
    finally:
        command(state, "down")


@contextlib.contextmanager
def moto_server() -> Iterator[Moto]:
    """A moto server on a free port of loopback."""
    # It tells of every request, and of each of its own errors with all that led to it; the rows say what came of them.
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    try:
        yield Moto(port)
    finally:
        server.stop()
