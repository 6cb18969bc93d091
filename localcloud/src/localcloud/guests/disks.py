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


def remove_disk(directory: Path) -> None:
    """Delete the disk of the guest in `directory`, whatever modes its files have. The console stays."""
    for name in (PROCESS_DISK, PROCESS_ROOT):
        shutil.rmtree(directory / name, onerror=_make_writable_and_retry)
    (directory / VM_DISK).unlink(missing_ok=True)


def _make_writable_and_retry(failed: Callable[..., Any], path: str, _: Any) -> None:
    with contextlib.suppress(OSError):
        os.chmod(os.path.dirname(path), 0o700)
        os.chmod(path, 0o700)
        if failed in (os.open, os.scandir, os.listdir, os.lstat):
            shutil.rmtree(path, ignore_errors=True)
        else:
            failed(path)
