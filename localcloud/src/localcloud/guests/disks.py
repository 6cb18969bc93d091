"""The disks of guests, of either body, in the directory of each guest: their names, and how they are taken away.

How a disk is made and what boots from it is each body's own.
"""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = "disk"
"""What a process guest keeps from boot to boot."""
ROOT = "root"
"""Where a process guest's file system is put together."""
LAYER = "disk.qcow2"
"""What a machine guest wrote, over its image."""


def remove_disk(directory: Path) -> None:
    """Delete what a guest wrote, whatever modes it gave to it; its console stays."""
    for name in (FOLDER, ROOT):
        shutil.rmtree(directory / name, onerror=_open_and_retry)
    (directory / LAYER).unlink(missing_ok=True)


def _open_and_retry(act: Callable[..., Any], path: str, _: Any) -> None:
    with contextlib.suppress(OSError):
        os.chmod(os.path.dirname(path), 0o700)
        os.chmod(path, 0o700)
        if act in (os.open, os.scandir, os.listdir, os.lstat):
            shutil.rmtree(path, ignore_errors=True)
        else:
            act(path)
