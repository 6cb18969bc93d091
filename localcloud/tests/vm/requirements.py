"""Checks whether this machine can run VM guests now. It installs, builds and starts nothing."""

import platform
import shutil

from localcloud.guests.vm import image


def missing_requirement() -> str | None:
    """Return why VM guests cannot run here, or None when they can."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return f"VM guests need Linux on x86_64; this is {platform.system()} on {platform.machine()}"
    for program in (f"qemu-system-{platform.machine()}", "qemu-img"):
        if shutil.which(program) is None:
            return f"VM guests need {program}; run scripts/setup-vm"
    if image.find(image.cache_directory()) is None:
        return "the guest image is not built; run scripts/setup-vm"
    return None
