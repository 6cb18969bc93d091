"""Make the job's scratch folder: on the server's own NVMe disk if it has one, else on the root disk.

Instance store is empty at every start and gone with the server. Root volumes, and volumes of EBS, are never formatted.
"""

from __future__ import annotations

import glob
import os
import subprocess

from dayfly.remote.boot.names import say

MOUNT = "/mnt/scratch"
_BY_ID = "/dev/disk/by-id"
_STORES = "nvme-Amazon_EC2_NVMe_Instance_Storage_*"


def scratch(root_disk: str) -> str:
    """Return the scratch folder: MOUNT, with the largest instance store mounted, or `root_disk` if there is none."""
    stores = instance_stores(_BY_ID)
    if stores:
        try:
            _format_and_mount(stores[0])
            return MOUNT
        except (OSError, subprocess.SubprocessError) as problem:
            say(f"scratch is on the root disk: cannot use {stores[0]}: {problem}")
    os.makedirs(root_disk, exist_ok=True)
    return root_disk


def instance_stores(by_id: str, sizes: str = "/sys/class/block") -> list[str]:
    """Return the instance's own NVMe disks that hold no partition, largest first. `by_id`: the folder with udev's links."""
    found: dict[str, int] = {}
    for link in glob.glob(f"{by_id}/{_STORES}"):
        device = os.path.realpath(link)
        found[device] = _sectors(f"{sizes}/{os.path.basename(device)}")
    return sorted((device for device in found if found[device]), key=lambda device: (-found[device], device))


def _sectors(folder: str) -> int:
    """Return the size of a whole disk, or 0 for a partition, a disk with partitions, and one that is not there."""
    if os.path.exists(folder + "/partition") or glob.glob(folder + "/*/partition"):
        return 0
    try:
        with open(folder + "/size") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def _format_and_mount(device: str) -> None:
    """Make a file system and mount it at MOUNT. Raises OSError or SubprocessError."""
    os.makedirs(MOUNT, exist_ok=True)
    options = ("-q", "-F", "-m", "0", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1")
    for command in (["mkfs.ext4", *options, device], ["mount", "-o", "noatime,nodev,nosuid", device, MOUNT]):
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300
        )
        if done.returncode:
            raise OSError(f"{command[0]}: {done.stdout.decode('utf-8', 'replace').strip()}")
