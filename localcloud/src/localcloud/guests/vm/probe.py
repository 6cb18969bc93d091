"""Which accelerator a guest gets on this machine, found by starting the guest's kernel with KVM and listening.

That /dev/kvm opens proves nothing: a machine may have one with which no ordinary kernel gets anywhere. Only the choice
lives here; how guests are started does not.
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
"""Seconds until a kernel must have said its first words. Emulated, which is the slow way, it takes 0.6 to 2.6 s; a busy
machine needs a multiple."""

_FIRST_WORDS = b"Linux version"
_FILE = "accelerator.json"


@dataclass(frozen=True)
class Accelerator:
    """`name` is "kvm" or "tcg"; `why` is a sentence for a person."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


def qemu() -> str:
    """The path of the QEMU that runs guests. Raises CloudError when there is none."""
    found = shutil.which(f"qemu-system-{platform.machine()}")
    if found is None:
        raise CloudError(
            "vm guests need QEMU, which is not installed.",
            "On Debian and Ubuntu: sudo apt-get install --no-install-recommends qemu-system-x86 qemu-utils",
        )
    return found


def qemu_version(program: str) -> str:
    """What QEMU calls its version, such as "7.2.22". Raises CloudError when it does not run."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise CloudError(f"{program} does not run: {error}.", "Install QEMU anew.") from error
    found = re.search(r"version (\S+)", said)
    return found[1] if found else said.strip()[:40]


def verdict(
    image: GuestImage, cache: Path, device: Path = DEVICE, patience: float = PATIENCE, *, again: bool = False
) -> Accelerator:
    """KVM where a kernel of `image` starts with it, else TCG. Takes up to `patience` seconds (plus QEMU's end).

    What was found holds for one kernel of this machine, one QEMU and one image, and is kept in `cache` unless it was
    silence, which may have been a busy moment's; `again` does not believe what was kept. Raises CloudError without QEMU.
    """
    program = qemu()
    if not device.exists():
        return Accelerator(TCG, f"there is no {device}")
    if not os.access(device, os.R_OK | os.W_OK):
        return Accelerator(TCG, f"{device} is there, but this user may not use it")
    key = f"{platform.release()} {qemu_version(program)} {image.manifest.digest} {device}"
    kept = None if again else _kept(cache, key)
    if kept is not None:
        return kept
    found = _try(program, image, device, patience)
    if found is None:
        return Accelerator(TCG, f"{device} is there, but a kernel started with it said nothing for {patience:.0f} s")
    _keep(cache, key, found)
    return found


def _try(program: str, image: GuestImage, device: Path, patience: float) -> Accelerator | None:
    """Start the kernel with KVM, without a disk: it is to speak, not to boot. None when it said nothing."""
    words = [
        *(program, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-machine", "q35", "-accel", "kvm", "-cpu", "host", "-smp", "1", "-m", "256"),
        *("-kernel", str(image.kernel), "-append", "console=ttyS0 panic=-1"),
        *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
    ]
    # `timeout` ends QEMU also when nobody is left here to do so.
    bound = shutil.which("timeout")
    if bound is not None:
        words = [bound, "-s", "KILL", str(patience + 5), *words]
    child = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        said, ended = _listen(child, patience)
    finally:
        _end(child)
    if _FIRST_WORDS in said:
        return Accelerator(KVM, "a kernel started with it and spoke")
    if ended:
        complaint = _complaint(said.decode(errors="replace"))
        return Accelerator(
            TCG, f"{device} is there, but QEMU with it ended at once" + (f" ({complaint})" if complaint else "")
        )
    return None


def _listen(child: subprocess.Popen[bytes], patience: float) -> tuple[bytes, bool]:
    """(what it said, whether it ended) until its first words, its end, or the end of patience."""
    assert child.stdout is not None
    said, until = b"", time.monotonic() + patience
    with selectors.DefaultSelector() as waiting:
        waiting.register(child.stdout, selectors.EVENT_READ)
        while (left := until - time.monotonic()) > 0 and _FIRST_WORDS not in said:
            if not waiting.select(left):
                continue
            some = os.read(child.stdout.fileno(), 65536)
            if not some:
                return said, True
            said += some
    return said, False


def _end(child: subprocess.Popen[bytes]) -> None:
    """End QEMU: kindly first, so that the `timeout` around it lives to take its child's end."""
    for order, seconds in ((signal.SIGTERM, 5.0), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, order)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
            break
    if child.stdout is not None:
        child.stdout.close()


def _complaint(text: str) -> str:
    """The line in which QEMU says what is wrong, without its own name."""
    lines = [line.strip() for line in text.splitlines() if "error" in line.lower() or "failed" in line.lower()]
    return re.sub(r"^(\S*qemu-system-\S+: )?(error: )?", "", lines[0])[:120] if lines else ""


def _kept(cache: Path, key: str) -> Accelerator | None:
    try:
        said = json.loads((cache / _FILE).read_text(encoding="utf-8"))
        found = Accelerator(str(said["name"]), str(said["why"]))
        return found if said["key"] == key and found.name in (KVM, TCG) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(cache: Path, key: str, found: Accelerator) -> None:
    """Written beside and renamed: two that probe at once both leave a whole file."""
    beside = cache / f".{_FILE}.{os.getpid()}"
    try:
        beside.write_text(json.dumps({"key": key} | asdict(found)) + "\n", encoding="utf-8")
        beside.replace(cache / _FILE)
    except OSError:
        beside.unlink(missing_ok=True)  # a cache that cannot be written to: found again next time
