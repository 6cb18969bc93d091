"""Download the files of a run, all or none, each checked against its hash. Writes nothing in the bucket.

The caller chooses the run. `fetch` is a flow; `arriving` creates and replaces folders on this laptop.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from dayfly.core.records import Output
from dayfly.errors import FileError, NotFoundError, UnfinishedError
from dayfly.flows.calls import Download, Flow, Log, ask


def fetch(outputs: Iterable[Output], folder: Path, prefix: str) -> Flow[None]:
    """Download these files into `folder`. The path of each is logged before it is downloaded.

    `prefix`: where in the bucket they must be. Raises NotFoundError for a file that is no longer there, UnfinishedError for one that is
    not what was stored, or that belongs to another run.
    """
    files = tuple(outputs)
    for output in files:
        refuse_foreign(output, prefix)
    for output in files:
        yield from ask(Log(output.path, {}))
        path = folder / output.path
        arrived = yield from ask(Download(output.key, str(path)))
        if arrived is None:
            raise NotFoundError(f"{output.path} is no longer in the bucket", hint="dayfly runs")
        if (arrived.size, arrived.sha256) != (output.size, output.sha256):
            raise UnfinishedError(
                f"{output.path} is not what was stored: its hash differs; nothing of it was kept",
                hint="repeat the command",
            )


def refuse_foreign(output: Output, prefix: str) -> None:
    """Raise UnfinishedError for a path outside the run's folder and for an object of another run.

    The record was written on the job's own server, so the paths and keys in it are not trusted.
    """
    parts = PurePosixPath(output.path).parts
    if not parts or output.path.startswith("/") or ".." in parts or "\0" in output.path:
        raise UnfinishedError(
            f"the record of this run names a file outside its folder: {output.path!r}; nothing was written"
        )
    if not output.key.startswith(prefix):
        raise UnfinishedError(f"the record of this run names an object of another: {output.key!r}; nothing was written")


@contextmanager
def arriving(to: Path) -> Iterator[Path]:
    """Yield a new empty folder, which replaces `to` if the block succeeds. If the block raises, `to` is unchanged.

    Raises FileError for a folder that cannot be written.
    """
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{to.name}-unfinished-", dir=to.parent))
    except OSError as error:
        raise FileError(f"{to} cannot be written: {error.strerror}") from error
    try:
        unfinished.chmod(0o755)
        yield unfinished
        _replace(to, unfinished)
    except OSError as error:
        raise FileError(f"{to} cannot be written: {error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _replace(to: Path, unfinished: Path) -> None:
    if not to.exists():
        unfinished.rename(to)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{to.name}-old-", dir=to.parent))
    try:
        to.rename(old / to.name)
        try:
            unfinished.rename(to)
        except OSError:
            (old / to.name).rename(to)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
