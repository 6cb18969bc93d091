"""Builds a guest image: an ext4 file system with Debian's packages and the recipe's files, and the kernel as a second file.

What the image contains lives in recipe.py, where it is kept in image.py, what the machine needs in host.py. Nothing here
boots anything.
"""

import fcntl
import io
import os
import platform
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from localcloud.errors import CloudError
from localcloud.guests.child import python_command
from localcloud.guests.vm import image, recipe
from localcloud.guests.vm.host import KEYRINGS, check_host, debian_architecture, find_program

_TEMPORARY = "temporary"

_NO_NETWORK = re.compile(
    r"could not resolve|failed to fetch|could not connect|temporary failure|unable to connect", re.I
)
_HOST_APT = re.compile(r"^Acquire::(https?::|Check-Valid-Until |Check-Date )")

Say = Callable[[str], None]


def build(cache: Path, say: Say, *, again: bool = False) -> image.GuestImage:
    """Return this recipe's image; build it (about 90 s) if it is missing, or if `again`.

    `say` gets progress, a line at a time. Two builders at the same time make one image. Raises CloudError.
    """
    if not again:
        found = image.find(cache)
        if found is not None:
            return found
    check_host(cache)
    with _lock(cache, say):
        if not again:
            # Another builder may have made it meanwhile.
            found = image.find(cache)
            if found is not None:
                return found
        return _build(cache, say)


def overlay_tar() -> bytes:
    """Return the recipe's files and links as a tar archive, owned by root."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, text in sorted(recipe.FILES.items()):
            entry = tarfile.TarInfo(path)
            entry.mode, entry.size = 0o644, len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
        for path, target in sorted(recipe.links().items()):
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
            archive.addfile(entry)
    return buffer.getvalue()


@contextmanager
def _lock(cache: Path, say: Say) -> Iterator[None]:
    """Allow one build in a cache at a time; others wait."""
    with (cache / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build of a guest image is running; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(cache: Path, say: Say) -> image.GuestImage:
    for left in cache.glob(".making-*"):  # this process has the lock, so a killed build left these
        shutil.rmtree(left, ignore_errors=True)
    directory = Path(tempfile.mkdtemp(prefix=".making-", dir=cache))
    try:
        began = time.monotonic()
        facts = _bootstrap(directory, say)
        _write_manifest(directory, facts, time.monotonic() - began)
        target = image.free_directory(cache)
        directory.rename(target)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    built = image.find(cache)
    if built is None:
        raise CloudError(f"The guest image in {target} is incomplete.", "Delete that directory and try again.")
    return built


def _bootstrap(directory: Path, say: Say) -> str:
    """Run mmdebstrap; return the facts that its last hook wrote."""
    overlay, log = directory / "overlay.tar", directory.parent / "build.log"
    overlay.write_bytes(overlay_tar())
    outputs = {"ROOT": directory / image.ROOT, "KERNEL": directory / image.KERNEL, "FACTS": directory / "facts"}
    # Without root the hooks run as another user, who can write to an open file but not reach it by its path.
    opened = {name: _open_high(path) for name, path in outputs.items()}
    try:
        for descriptor in opened.values():
            os.fchmod(descriptor, 0o666)
        environment = os.environ | {name: str(descriptor) for name, descriptor in opened.items()}
        if os.geteuid() == 0:
            (directory / _TEMPORARY).mkdir()
            environment["TMPDIR"] = str(directory / _TEMPORARY)
        environment |= {"SIZE": recipe.SIZE, "HOST_APT": _host_apt(), "INITRD": "No", "LC_ALL": "C.UTF-8"}
        _run(_mmdebstrap(overlay), environment, tuple(opened.values()), log, say)
    finally:
        for descriptor in opened.values():
            os.close(descriptor)
    for path in outputs.values():
        path.chmod(0o400)
    facts = outputs["FACTS"].read_text(encoding="utf-8")
    for path in (overlay, outputs["FACTS"]):
        path.unlink()
    shutil.rmtree(directory / _TEMPORARY, ignore_errors=True)
    return facts


def _open_high(path: Path) -> int:
    """Open for writing, with a descriptor above those that mmdebstrap uses (its shell takes one digit only)."""
    low = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        return fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 50)
    finally:
        os.close(low)


def _mmdebstrap(overlay: Path) -> list[str]:
    """Return the mmdebstrap command that makes the image, for this machine and user."""
    mode = "root" if os.geteuid() == 0 else "unshare"
    command = [
        find_program("mmdebstrap") or "mmdebstrap",
        f"--mode={mode}",
        "--variant=apt",
        "--format=null",
        f"--architectures={debian_architecture()}",
        f"--keyring={KEYRINGS}",
        f"--include={','.join(recipe.packages(debian_architecture()))}",
        *(f"--dpkgopt=path-exclude={path}" for path in recipe.LEFT_OUT),
        *(f"--dpkgopt=path-include={path}" for path in recipe.KEPT),
        '--setup-hook=printf "%s" "$HOST_APT" >"$1"/etc/apt/apt.conf.d/00build',
        f"--customize-hook=tar-in {overlay} /",
        f"--customize-hook={recipe.FINISH}",
        recipe.SUITE,
        "-",
    ]
    mirror = os.environ.get("LOCALCLOUD_DEBIAN_MIRROR")
    if mirror:
        command.append(mirror)
    return command


def _host_apt() -> str:
    """Return how this machine's apt reaches Debian's packages (proxies and the like), as apt configuration."""
    program = find_program("apt-config")
    if program is None:
        return ""
    output = subprocess.run([program, "dump"], capture_output=True, text=True, timeout=30, check=False).stdout
    return "".join(f"{line}\n" for line in output.splitlines() if _HOST_APT.match(line))


def _run(command: list[str], environment: dict[str, str], kept: tuple[int, ...], log: Path, say: Say) -> None:
    """Run the command until it ends or this process does. Every line goes to the log, the names of new steps to `say`."""
    lines: deque[str] = deque(maxlen=40)
    with log.open("w", encoding="utf-8") as out:
        child = subprocess.Popen(
            python_command("localcloud.guests.vm.isolation", "main", str(os.getpid()), *command),
            env=environment,
            pass_fds=kept,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd="/",
            start_new_session=True,
        )
        try:
            assert child.stderr is not None
            for line in child.stderr:
                out.write(line)
                lines.append(line.rstrip())
                if line.startswith("I: "):
                    say(line[3:].rstrip())
            code = child.wait()
        except BaseException:
            _end(child)
            raise
    if code != 0:
        raise _build_error(list(lines), log)


def _end(child: subprocess.Popen[str]) -> None:
    """End a build and everything it started. After TERM it unmounts its own mounts."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(timeout=30)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            pass
        return


def _build_error(lines: list[str], log: Path) -> CloudError:
    all_output = f"The whole output is in {log}"
    for line in lines:
        if _NO_NETWORK.search(line):
            return CloudError(
                f"The guest image was not built: Debian's packages could not be fetched ({line[:200]}).",
                f"Check the network, or set LOCALCLOUD_DEBIAN_MIRROR to a mirror that this machine reaches. {all_output}",
            )
    return CloudError(f"The guest image was not built: {_cause(lines)}", all_output)


def _cause(lines: list[str]) -> str:
    """Return the last line before mmdebstrap's own error, which gives the reason; or that error."""
    end = next((number for number, line in enumerate(lines) if line.startswith("E:")), len(lines))
    before = [line for line in lines[:end] if line and not line.startswith(("I:", "W:"))]
    candidates = before[-1:] or lines[end : end + 1]
    if not candidates:
        return "no reason was given"
    return candidates[0][:300]


def _write_manifest(directory: Path, facts: str, seconds: float) -> None:
    words = [line.split() for line in facts.splitlines()]
    single = {line[0]: line[1] for line in words if len(line) == 2}
    parts = [directory / image.ROOT, directory / image.KERNEL]
    manifest = image.Manifest(
        digest=recipe.digest(),
        suite=recipe.SUITE,
        architecture=recipe.ARCHITECTURES[platform.machine()][1],
        python=single["python"],
        kernel=single["kernel"],
        packages={line[1]: line[2] for line in words if len(line) == 3 and line[0] == "ii"},
        size=sum(part.stat().st_blocks * 512 for part in parts),
        lengths={part.name: part.stat().st_size for part in parts},
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        built_s=round(seconds, 1),
    )
    path = directory / image.MANIFEST
    path.write_text(manifest.text(), encoding="utf-8")
    for part in (*parts, path):
        with part.open("rb") as file:
            os.fsync(file.fileno())
