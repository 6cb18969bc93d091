"""Making a guest image: Debian's packages, the recipe's files over them, one ext4 file system and the kernel beside it.

What the image holds is said in `recipe`, where it is kept in `image`. Nothing here boots anything.
"""

import fcntl
import io
import os
import platform
import pwd
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from localcloud.errors import CloudError
from localcloud.guests.child import call
from localcloud.guests.vm import image, recipe

ROOM = 2 << 30
"""Bytes that a build needs in each of `places`; measured: 1.2 GB."""
HOST_PACKAGES = "mmdebstrap debian-archive-keyring uidmap e2fsprogs"
KEYRINGS = Path("/usr/share/keyrings")
SUBUID, SUBGID = Path("/etc/subuid"), Path("/etc/subgid")
SUBIDS = 65536
"""How many ids a build without root maps."""

_TEMPORARY = "temporary"

_NO_NETWORK = re.compile(
    r"could not resolve|failed to fetch|could not connect|temporary failure|unable to connect", re.I
)
_HOST_APT = re.compile(r"^Acquire::(https?::|Check-Valid-Until |Check-Date )")

Say = Callable[[str], None]


def build(cache: Path, say: Say, *, again: bool = False) -> image.GuestImage:
    """The image of this recipe, made when it is not there (about 90 s), or when asked for again.

    `say` is told of progress, a line at a time. Two builders at once make one image. Raises CloudError where it cannot be made.
    """
    found = None if again else image.find(cache)
    if found is not None:
        return found
    check_host(cache)
    with _alone(cache, say):
        found = None if again else image.find(cache)
        return found if found is not None else _make(cache, say)


def check_host(cache: Path) -> None:
    """Raises CloudError, with its remedy, when this machine lacks what a build needs. Asks no network."""
    debian_name()
    absent = missing_packages()
    if absent:
        raise CloudError(
            f"To build a guest image this machine lacks {', '.join(absent)}.",
            f"On Debian and Ubuntu: sudo apt-get install --no-install-recommends {' '.join(absent)}",
        )
    if os.geteuid() != 0 and not has_subids():
        raise CloudError(
            "To build a guest image without root, your user needs user ids of its own in /etc/subuid and /etc/subgid.",
            f"Once, as root: {_give_subids()}",
        )
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise CloudError(
            f"{cache} cannot be made: {error.strerror}.", "Set LOCALCLOUD_CACHE to a folder of yours."
        ) from error
    for place, variable in places(cache):
        free = shutil.disk_usage(place).free
        if free < ROOM:
            raise CloudError(
                f"To build a guest image {place} needs 2 GiB and has {free / (1 << 30):.1f} GiB.",
                f"Make room, or set {variable} to a folder that has some.",
            )


def places(cache: Path) -> list[tuple[Path, str]]:
    """(folder that needs ROOM, the variable that names another). Root's temporary files are in the cache, where the next
    build clears what a killed one left; a plain user's stand where the ids that the build borrows may go."""
    temporary = [] if os.geteuid() == 0 else [(Path(tempfile.gettempdir()), "TMPDIR")]
    return [(cache, "LOCALCLOUD_CACHE"), *temporary]


def debian_name() -> str:
    """Debian's name of this machine's architecture. Raises CloudError for one that guests cannot have."""
    machine = platform.machine()
    if platform.system() != "Linux" or machine not in recipe.ARCHITECTURES:
        raise CloudError(
            f"vm guests need Linux on x86_64; this is {platform.system()} on {machine}.", "Use guests of kind process."
        )
    return recipe.ARCHITECTURES[machine][0]


def missing_packages() -> list[str]:
    """Names of the Debian packages that a build needs and this machine lacks."""
    root = os.geteuid() == 0
    found = {
        "mmdebstrap": program("mmdebstrap") is not None,
        "uidmap": root or (program("newuidmap") is not None and program("newgidmap") is not None),
        "e2fsprogs": program("mke2fs") is not None,
        "debian-archive-keyring": any(KEYRINGS.glob(f"debian-archive-{recipe.SUITE}-*")),
    }
    return [name for name, there in found.items() if not there]


def program(name: str) -> str | None:
    """Where a program is, looking also where only root's PATH leads."""
    return shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")


def has_subids() -> bool:
    """Whether this user was given user ids of its own, as a build without root needs."""
    wanted = tuple(f"{one}:" for one in (_user(), str(os.geteuid())))

    def given(path: Path) -> bool:
        try:
            return any(line.startswith(wanted) for line in path.read_text().splitlines())
        except OSError:
            return False

    return given(SUBUID) and given(SUBGID)


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _give_subids() -> str:
    """The command that gives this user ids which nobody has."""
    first = free_subids(*(path.read_text() if path.exists() else "" for path in (SUBUID, SUBGID)))
    given = f"{first}-{first + SUBIDS - 1}"
    return f"usermod --add-subuids {given} --add-subgids {given} {_user()}"


def free_subids(*held: str) -> int:
    """The first id behind all that the lines `NAME:FIRST:COUNT` of those files give away."""
    taken = [line.split(":") for text in held for line in text.splitlines()]
    ends = [int(one[1]) + int(one[2]) for one in taken if len(one) == 3 and one[1].isdigit() and one[2].isdigit()]
    return max([100000, *ends])


@contextmanager
def _alone(cache: Path, say: Say) -> Iterator[None]:
    """Only one build in a cache at a time; the others wait and then find its image."""
    with (cache / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build of a guest image is under way; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(cache: Path, say: Say) -> image.GuestImage:
    for left in cache.glob(".making-*"):  # the lock is ours: whoever made these is gone
        shutil.rmtree(left, ignore_errors=True)
    making = Path(tempfile.mkdtemp(prefix=".making-", dir=cache))
    try:
        began = time.monotonic()
        facts = _bootstrap(making, say)
        _write_manifest(making, facts, time.monotonic() - began)
        target = image.free_directory(cache)
        making.rename(target)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    made = image.find(cache)
    if made is None:
        raise CloudError(f"The guest image in {target} is not whole.", "Delete that folder and try again.")
    return made


def _bootstrap(making: Path, say: Say) -> str:
    """Run mmdebstrap; returns the facts that its last hook wrote down."""
    overlay, log = making / "overlay.tar", making.parent / "build.log"
    overlay.write_bytes(overlay_tar())
    outputs = {"ROOT": making / image.ROOT, "KERNEL": making / image.KERNEL, "FACTS": making / "facts"}
    # The hooks of a build without root run as another user, who may write to an open file but not reach it by its path.
    opened = {name: _open_high(path) for name, path in outputs.items()}
    try:
        for descriptor in opened.values():
            os.fchmod(descriptor, 0o666)
        environment = os.environ | {name: str(descriptor) for name, descriptor in opened.items()}
        if os.geteuid() == 0:
            (making / _TEMPORARY).mkdir()
            environment["TMPDIR"] = str(making / _TEMPORARY)
        environment |= {"SIZE": recipe.SIZE, "HOST_APT": host_apt(), "INITRD": "No", "LC_ALL": "C.UTF-8"}
        _run(command(overlay), environment, tuple(opened.values()), log, say)
    finally:
        for descriptor in opened.values():
            os.close(descriptor)
    for path in outputs.values():
        path.chmod(0o400)
    facts = outputs["FACTS"].read_text(encoding="utf-8")
    for path in (overlay, outputs["FACTS"]):
        path.unlink()
    shutil.rmtree(making / _TEMPORARY, ignore_errors=True)
    return facts


def _open_high(path: Path) -> int:
    """Open for writing, as a descriptor beyond those that mmdebstrap counts on (its shell takes one digit only)."""
    low = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        return fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 50)
    finally:
        os.close(low)


def command(overlay: Path) -> list[str]:
    """The call of mmdebstrap that makes the image, for this machine and user."""
    mirror = os.environ.get("LOCALCLOUD_DEBIAN_MIRROR")
    return [
        program("mmdebstrap") or "mmdebstrap",
        f"--mode={'root' if os.geteuid() == 0 else 'unshare'}",
        "--variant=apt",
        "--format=null",
        f"--architectures={debian_name()}",
        f"--keyring={KEYRINGS}",
        f"--include={','.join(recipe.packages(debian_name()))}",
        *(f"--dpkgopt=path-exclude={path}" for path in recipe.LEFT_OUT),
        *(f"--dpkgopt=path-include={path}" for path in recipe.KEPT),
        '--setup-hook=printf "%s" "$HOST_APT" >"$1"/etc/apt/apt.conf.d/00build',
        f"--customize-hook=tar-in {overlay} /",
        f"--customize-hook={recipe.FINISH}",
        recipe.SUITE,
        "-",
        *([mirror] if mirror else []),
    ]


def overlay_tar() -> bytes:
    """The recipe's files and links as a tar archive, owned by root."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, text in sorted(recipe.FILES.items()):
            entry = tarfile.TarInfo(path)
            entry.mode, entry.size = 0o644, len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
        for path, target in sorted(recipe.links().items()):
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
            archive.addfile(entry)
    return held.getvalue()


def host_apt() -> str:
    """How this machine reaches Debian's packages: proxies and the like of its own apt, as apt's configuration."""
    dump = program("apt-config")
    if dump is None:
        return ""
    said = subprocess.run([dump, "dump"], capture_output=True, text=True, timeout=30, check=False).stdout
    return "".join(f"{line}\n" for line in said.splitlines() if _HOST_APT.match(line))


def _run(words: list[str], environment: dict[str, str], kept: tuple[int, ...], log: Path, say: Say) -> None:
    """Run it to its end or ours; every line goes to the log, those that tell of a new step to `say`."""
    lines: list[str] = []
    with log.open("w", encoding="utf-8") as out:
        child = subprocess.Popen(
            call("localcloud.guests.vm.apart", "main", str(os.getpid()), *words),
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
                lines = [*lines[-39:], line.rstrip()]
                if line.startswith("I: "):
                    say(line[3:].rstrip())
            code = child.wait()
        except BaseException:
            _end(child)
            raise
    if code != 0:
        raise _failed(lines, log)


def _end(child: subprocess.Popen[str]) -> None:
    """End a build and everything it started; it takes its own mounts away when asked kindly."""
    for order in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, order)
            child.wait(timeout=30)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            pass
        return


def _failed(lines: list[str], log: Path) -> CloudError:
    all_said = f"All that was said: {log}"
    if any(_NO_NETWORK.search(line) for line in lines):
        said = next(line for line in lines if _NO_NETWORK.search(line))
        return CloudError(
            f"The guest image was not built: Debian's packages could not be fetched ({said[:200]}).",
            f"Check the network, or set LOCALCLOUD_DEBIAN_MIRROR to a mirror that this machine reaches. {all_said}",
        )
    # What went wrong stands before mmdebstrap's own word that something did.
    end = next((number for number, line in enumerate(lines) if line.startswith("E:")), len(lines))
    cause = [line for line in lines[:end] if line and not line.startswith(("I:", "W:"))][-1:] or lines[end : end + 1]
    return CloudError(f"The guest image was not built: {cause[0][:300] if cause else 'no reason was given'}", all_said)


def _write_manifest(making: Path, facts: str, seconds: float) -> None:
    words = [line.split() for line in facts.splitlines()]
    single = {line[0]: line[1] for line in words if len(line) == 2}
    parts = [making / image.ROOT, making / image.KERNEL]
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
    path = making / image.MANIFEST
    path.write_text(manifest.text(), encoding="utf-8")
    for part in (*parts, path):
        with part.open("rb") as whole:
            os.fsync(whole.fileno())
