"""Unpack the bundle, which is the project's code, into the job's folder.

The archive is not trusted: no entry may leave the folder. boot/download.py checked its size and SHA-256.
"""

from __future__ import annotations

import os
import shutil
import stat
import zipfile

_BLOCK = 256 << 10


class BadBundle(Exception):
    """The bundle is not a valid archive."""


def unpack(path: str, folder: str) -> None:
    """Write the archive's files, folders and symbolic links with their modes.

    Raises BadBundle (nothing outside the folder was touched) or OSError.
    """
    root = os.path.realpath(folder)
    try:
        with zipfile.ZipFile(path) as archive:
            links = [entry for entry in archive.infolist() if stat.S_ISLNK(entry.external_attr >> 16)]
            for entry in archive.infolist():
                if entry not in links:
                    _extract(archive, entry, root)
            # Links are made last, so that no file is written through one.
            for entry in links:
                target = archive.read(entry).decode()
                os.symlink(target, _path_inside(root, entry.filename))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as problem:
        raise BadBundle(f"cannot unpack the bundle: {problem}") from problem


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, root: str) -> None:
    """Write one folder or file. The owner can always read and write it (and enter a folder)."""
    path = _path_inside(root, entry.filename)
    mode = (entry.external_attr >> 16) & 0o777
    owner = 0o600
    if entry.is_dir():
        owner = 0o700
        os.makedirs(path, exist_ok=True)
    else:
        with archive.open(entry) as source, open(path, "wb") as file:
            shutil.copyfileobj(source, file, _BLOCK)
    if mode:
        os.chmod(path, mode | owner)


def _path_inside(root: str, name: str) -> str:
    """Return where an entry belongs, and make its parent folders. Raises ValueError for a path outside `root`."""
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or "\\" in name or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"path outside the folder: {name!r}")
    path = os.path.join(root, *parts)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path
