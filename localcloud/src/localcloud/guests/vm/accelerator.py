"""Chooses the accelerator of VM guests on this machine: starts the guests' kernel with KVM once and waits for its output.

A /dev/kvm that opens proves nothing: on some machines no ordinary kernel runs with it. How guests are started does not
live here.
"""

import contextlib
import json
import os
import platform
import re
import selectors
import shutil
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from localcloud.errors import CloudError
from localcloud.guests.vm.image import GuestImage

KVM, TCG = "kvm", "tcg"
DEVICE = Path("/dev/kvm")
PATIENCE = 20.0
"""Seconds until the kernel must have printed its first line. Under emulation, which is slower, that takes 0.6 to 2.6 s; on a
busy machine several times as long."""

_FIRST_LINE = b"Linux version"
_FILE = "accelerator.json"


@dataclass(frozen=True)
class Accelerator:
    """`name` is "kvm" or "tcg"; `why` is a sentence for the user."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


def find_qemu() -> str:
    """Return the path of the QEMU that runs guests. Raises CloudError if there is none."""
    found = shutil.which(f"qemu-system-{platform.machine()}")
    if found is None:
        raise CloudError(
            "vm guests need QEMU, which is not installed.",
            "On Debian and Ubuntu: sudo apt-get install --no-install-recommends qemu-system-x86 qemu-utils",
        )
    return found


def qemu_version(program: str) -> str:
    """Return QEMU's version, such as "7.2.22". Raises CloudError if QEMU does not run."""
    try:
        output = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise CloudError(f"{program} does not run: {error}.", "Reinstall QEMU.") from error
    found = re.search(r"version (\S+)", output)
    if found is None:
        return output.strip()[:40]
    return found[1]


def choose(
    image: GuestImage, cache: Path, device: Path = DEVICE, patience: float = PATIENCE, *, again: bool = False
) -> Accelerator:
    """Return KVM if a kernel of `image` starts with it, or TCG. Takes up to `patience` seconds and the time QEMU takes to end.

    The result holds for one kernel of this machine, one QEMU and one image. It is kept in `cache`, unless the kernel printed
    nothing, which a busy machine can cause. `again` ignores the kept result. Raises CloudError without QEMU.
    """
    program = find_qemu()
    if not device.exists():
        return Accelerator(TCG, f"there is no {device}")
    if not os.access(device, os.R_OK | os.W_OK):
        return Accelerator(TCG, f"{device} exists, but this user may not use it")
    key = f"{platform.release()} {qemu_version(program)} {image.manifest.digest} {device}"
    if not again:
        kept = _read_kept(cache, key)
        if kept is not None:
            return kept
    found = _try_kvm(program, image, device, patience)
    if found is None:
        return Accelerator(TCG, f"{device} exists, but a kernel started with it printed nothing for {patience:.0f} s")
    _keep(cache, key, found)
    return found


def _try_kvm(program: str, image: GuestImage, device: Path, patience: float) -> Accelerator | None:
    """Start the kernel with KVM, without a disk, since it need not boot. None if it printed nothing."""
    command = [
        *(program, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-machine", "q35", "-accel", "kvm", "-cpu", "host", "-smp", "1", "-m", "256"),
        *("-kernel", str(image.kernel), "-append", "console=ttyS0 panic=-1"),
        *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
    ]
    # `timeout` ends QEMU even if this process is killed.
    timeout = shutil.which("timeout")
    if timeout is not None:
        command = [timeout, "-s", "KILL", str(patience + 5), *command]
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        output, ended = _read_output(child, patience)
    finally:
        _end(child)
    if _FIRST_LINE in output:
        return Accelerator(KVM, "a kernel started with it and printed its first line")
    if not ended:
        return None
    why = f"{device} exists, but QEMU with it ended at once"
    complaint = _error_line(output.decode(errors="replace"))
    if complaint:
        why += f" ({complaint})"
    return Accelerator(TCG, why)


def _read_output(child: subprocess.Popen[bytes], patience: float) -> tuple[bytes, bool]:
    """Read until the kernel's first line, QEMU's end, or the end of `patience`. Returns (output, whether QEMU ended)."""
    assert child.stdout is not None
    output, until = b"", time.monotonic() + patience
    with selectors.DefaultSelector() as waiting:
        waiting.register(child.stdout, selectors.EVENT_READ)
        while (left := until - time.monotonic()) > 0 and _FIRST_LINE not in output:
            if not waiting.select(left):
                continue
            chunk = os.read(child.stdout.fileno(), 65536)
            if not chunk:
                return output, True
            output += chunk
    return output, False


def _end(child: subprocess.Popen[bytes]) -> None:
    """End QEMU: TERM first, so that the `timeout` around it can reap its child."""
    for number, seconds in ((signal.SIGTERM, 5.0), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
            break
    if child.stdout is not None:
        child.stdout.close()


def _error_line(text: str) -> str:
    """Return QEMU's first line about an error, without QEMU's name, or ""."""
    for line in text.splitlines():
        if "error" in line.lower() or "failed" in line.lower():
            return re.sub(r"^(\S*qemu-system-\S+: )?(error: )?", "", line.strip())[:120]
    return ""


def _read_kept(cache: Path, key: str) -> Accelerator | None:
    try:
        values = json.loads((cache / _FILE).read_text(encoding="utf-8"))
        found = Accelerator(str(values["name"]), str(values["why"]))
        if values["key"] != key or found.name not in (KVM, TCG):
            return None
        return found
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(cache: Path, key: str, found: Accelerator) -> None:
    """Write the result atomically, because two processes may do this at the same time."""
    temporary = cache / f".{_FILE}.{os.getpid()}"
    try:
        temporary.write_text(json.dumps({"key": key} | asdict(found)) + "\n", encoding="utf-8")
        temporary.replace(cache / _FILE)
    except OSError:
        temporary.unlink(missing_ok=True)  # a read-only cache: the next start tries again
