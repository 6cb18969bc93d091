"""Run by `setup` as root: give the server a disk that looks like an instance store, and let the agent's own code make scratch of it."""

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, "/run/dayfly/agent")
from dayfly.remote.agent import disks

Path("/var/tmp/store").write_bytes(b"")
os.truncate("/var/tmp/store", 64 << 20)
device = subprocess.run(
    ["losetup", "-f", "--show", "/var/tmp/store"], check=True, capture_output=True, text=True
).stdout
Path("/dev/disk/by-id").mkdir(parents=True, exist_ok=True)
os.symlink(device.strip(), "/dev/disk/by-id/nvme-Amazon_EC2_NVMe_Instance_Storage_AWS0123")
folder = disks.scratch("/var/tmp/none")
mounted = [line for line in Path("/proc/mounts").read_text().splitlines() if line.startswith(device.strip())]
Path("store.txt").write_text("\n".join([folder, *mounted]))
