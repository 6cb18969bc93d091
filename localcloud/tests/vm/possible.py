"""Whether this machine can have vm guests now; nothing is installed, built or started to find out."""

from __future__ import annotations

import platform
import shutil

from localcloud.guests.vm import image


def why_not() -> str | None:
    """Why the tests of vm guests are skipped here, or None when they run."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return f"vm guests need Linux on x86_64, this is {platform.system()} on {platform.machine()}"
    for program in (f"qemu-system-{platform.machine()}", "qemu-img"):
        if shutil.which(program) is None:
            return f"vm guests need {program}: scripts/setup-vm"
    if image.find(image.cache_directory()) is None:
        return "the image of vm guests was not built: scripts/setup-vm"
    return None
