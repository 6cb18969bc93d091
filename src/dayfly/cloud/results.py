"""A run's files and log out of the bucket: files whole or not at all, each checked against its hash; a log piece by piece.

Which run, and whether it is a good one, is decided before. Nothing is written in the bucket.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from botocore.exceptions import ClientError

from dayfly.cloud import objects
from dayfly.cloud.clients import Aws, code_of, told
from dayfly.core.records import Output
from dayfly.errors import FileError, LeftError, NotFoundError, RightsError

_PIECE = 1 << 20


def fetch(
    aws: Aws,
    bucket: str,
    outputs: Iterable[Output],
    to: Path,
    *,
    prefix: str = "",
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Downloads these files into the folder `to`: beside it first, checked, then in its place; what was there goes.

    `prefix`: where in the bucket they must lie. `say` hears each path before it is downloaded. Raises NotFoundError for a file
    that is not there any more, LeftError for one that is not what was stored or not this run's, FileError for a folder that
    can not be written. In each case `to` is as it was.
    """
    files = list(outputs)
    for output in files:
        _refuse_outside(output, prefix)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{to.name}-unfinished-", dir=to.parent))
    except OSError as error:
        raise FileError(f"{to} can not be written: {error.strerror}") from error
    try:
        unfinished.chmod(0o755)
        for output in files:
            say(output.path)
            _download(aws, bucket, output, unfinished / output.path)
        _put_in_place(unfinished, to)
    except OSError as error:
        raise FileError(f"{to} can not be written: {error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def present(aws: Aws, bucket: str) -> bool:
    """Whether the project's bucket is there: without it nothing was ever deployed."""
    s3 = aws.client("s3")

    def looked() -> bool:
        try:
            s3.head_bucket(Bucket=bucket)
        except ClientError as error:
            if code_of(error) in ("404", "NoSuchBucket"):
                return False
            if code_of(error) == "403":
                hint = "use the profile of its account"
                raise RightsError(f"these credentials may not read {bucket}", hint=hint) from error
            raise
        return True

    return told("look for the bucket", looked)


def piece(aws: Aws, bucket: str, key: str) -> bytes:
    """One piece of a log (at most 4 MiB). Raises NotFoundError when it is not there any more."""
    found = told("read the log", lambda: objects.read(aws.client("s3"), bucket, key))
    if found is None:
        raise NotFoundError(f"{key} is not in the bucket any more")
    return found.body


def _refuse_outside(output: Output, prefix: str) -> None:
    # The record was written on the job's own server: its word about paths and keys is not to be trusted.
    path = output.path
    if not PurePosixPath(path).parts or path.startswith("/") or ".." in PurePosixPath(path).parts or "\0" in path:
        raise LeftError(f"the record of this run names a file outside its folder: {path!r}; nothing was written")
    if not output.key.startswith(prefix):
        raise LeftError(
            f"the record of this run names an object that is not its own: {output.key!r}; nothing was written"
        )


def _download(aws: Aws, bucket: str, output: Output, to: Path) -> None:
    s3 = aws.client("s3")

    def body() -> str:
        digest = hashlib.sha256()
        try:
            found = s3.get_object(Bucket=bucket, Key=output.key)
        except s3.exceptions.NoSuchKey as error:
            raise NotFoundError(f"{output.path} is not in the bucket any more", hint="dayfly runs") from error
        to.parent.mkdir(parents=True, exist_ok=True)
        with to.open("wb") as file:
            for block in found["Body"].iter_chunks(_PIECE):
                file.write(block)
                digest.update(block)
        return digest.hexdigest()

    got = told(f"fetch {output.path}", body)
    if got != output.sha256 or to.stat().st_size != output.size:
        raise LeftError(
            f"{output.path} is not what was stored: its hash differs; nothing was kept of it",
            hint="the same command again",
        )


def _put_in_place(unfinished: Path, to: Path) -> None:
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
