"""The names of guest disks in a guest's directory, and how they are deleted.

How a disk is made and booted lives with each backend.
"""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROCESS_DISK = "disk"
"""The directory that a process guest keeps from boot to boot."""
PROCESS_ROOT = "root"
"""The mount point of a process guest's root file system."""
VM_DISK = "disk.qcow2"
"""What a VM guest wrote, as a layer over its image."""
_STORE = "store{}.raw"
"""A disk of a VM guest's instance storage. The file takes only the room of what was written to it."""


def stores(directory: Path, sizes: tuple[int, ...]) -> list[Path]:
    """Return the disks of the instance storage of these sizes in GB; make those that are missing, empty. Raises OSError."""
    found = [directory / _STORE.format(number) for number in range(len(sizes))]
    for path, size in zip(found, sizes, strict=True):
        if not path.exists():
            path.touch(mode=0o600)
            os.truncate(path, size * 10**9)
    return found


def remove_stores(directory: Path) -> None:
    """Delete the instance storage of the guest in `directory`, which does not outlive a stop."""
    for path in directory.glob(_STORE.format("*")):
        path.unlink(missing_ok=True)


def remove_disk(directory: Path) -> None:
    """Delete the disk of the guest in `directory`, whatever modes its files have. The console stays."""
    for name in (PROCESS_DISK, PROCESS_ROOT):
        shutil.rmtree(directory / name, onerror=_make_writable_and_retry)
    (directory / VM_DISK).unlink(missing_ok=True)
    remove_stores(directory)


def _make_writable_and_retry(failed: Callable[..., Any], path: str, _: Any) -> None:
    with contextlib.suppress(OSError):
        os.chmod(os.path.dirname(path), 0o700)
        os.chmod(path, 0o700)
        if failed in (os.open, os.scandir, os.listdir, os.lstat):
            shutil.rmtree(path, ignore_errors=True)
        else:
            failed(path)
