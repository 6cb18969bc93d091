"""Starting what the rows are asked of, and collecting every row: what the tests and the table have in common."""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from moto.server import ThreadedMotoServer
from rows import AREAS, ROWS, Row
from targets import LocalCloud, Moto

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "localcloud"))

from running_cloud import begin, command  # noqa: E402 - the folder is on the path only now


def all_rows() -> list[Row]:
    """Every row, area by area, in the order of its file."""
    for path in sorted(HERE.glob("*_rows.py")):
        _load(path.stem)
    return sorted(ROWS.values(), key=lambda one: AREAS.index(one.area))


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
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    try:
        yield Moto(port)
    finally:
        server.stop()


def _load(name: str) -> ModuleType:
    return importlib.import_module(name)
