"""Checks that this machine has what the build of a guest image needs, and says how to get what is missing.

Nothing here changes the machine or uses the network. The build itself lives in build.py.
"""

import os
import platform
import pwd
import shutil
import tempfile
from pathlib import Path

from localcloud.errors import CloudError
from localcloud.guests.vm import recipe

NEEDED_BYTES = 2 << 30
"""Free bytes that a build needs in each of `build_directories`; measured: 1.2 GB."""
KEYRINGS = Path("/usr/share/keyrings")
SUBUID, SUBGID = Path("/etc/subuid"), Path("/etc/subgid")
SUBIDS = 65536
"""How many user ids a build without root maps."""
_FIRST_SUBID = 100000


def check_host(cache: Path) -> None:
    """Check that this machine can build an image in `cache`. Raises CloudError with a remedy if it cannot."""
    debian_architecture()
    missing = missing_packages()
    if missing:
        raise CloudError(
            f"Building a guest image needs {', '.join(missing)}, which this machine lacks.",
            f"On Debian and Ubuntu: sudo apt-get install --no-install-recommends {' '.join(missing)}",
        )
    if os.geteuid() != 0 and not has_subids():
        raise CloudError(
            "Building a guest image without root needs subordinate user ids in /etc/subuid and /etc/subgid.",
            f"Once, as root: {_add_subids_command()}",
        )
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise CloudError(
            f"Cannot make {cache}: {error.strerror}.", "Set LOCALCLOUD_CACHE to a directory that you may write to."
        ) from error
    for directory, variable in build_directories(cache):
        free = shutil.disk_usage(directory).free
        if free < NEEDED_BYTES:
            raise CloudError(
                f"Building a guest image needs 2 GiB in {directory}, which has {free / (1 << 30):.1f} GiB.",
                f"Free some space, or set {variable} to a directory with more.",
            )


def build_directories(cache: Path) -> list[tuple[Path, str]]:
    """Return (directory that needs NEEDED_BYTES, the variable that chooses another) for each.

    Root's temporary files are in the cache, where the next build deletes what a killed one left. Other users' are where the
    mapped user ids may go.
    """
    directories = [(cache, "LOCALCLOUD_CACHE")]
    if os.geteuid() != 0:
        directories.append((Path(tempfile.gettempdir()), "TMPDIR"))
    return directories


def debian_architecture() -> str:
    """Return Debian's name of this machine's architecture. Raises CloudError if guests cannot have it."""
    machine = platform.machine()
    if platform.system() != "Linux" or machine not in recipe.ARCHITECTURES:
        raise CloudError(
            f"vm guests need Linux on x86_64; this is {platform.system()} on {machine}.", "Use guests of kind process."
        )
    return recipe.ARCHITECTURES[machine][0]


def missing_packages() -> list[str]:
    """Return the names of the Debian packages that a build needs and this machine lacks."""
    root = os.geteuid() == 0
    found = {
        "mmdebstrap": find_program("mmdebstrap") is not None,
        "uidmap": root or (find_program("newuidmap") is not None and find_program("newgidmap") is not None),
        "e2fsprogs": find_program("mke2fs") is not None,
        "debian-archive-keyring": any(KEYRINGS.glob(f"debian-archive-{recipe.SUITE}-*")),
    }
    return [name for name, installed in found.items() if not installed]


def find_program(name: str) -> str | None:
    """Return the path of a program, also from the directories that only root has on PATH."""
    return shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")


def has_subids() -> bool:
    """Whether this user has the subordinate user and group ids that a build without root needs."""
    return _has_entry(SUBUID) and _has_entry(SUBGID)


def free_subids(*files: str) -> int:
    """Return the first id above all ranges in `files`, the texts of /etc/subuid and /etc/subgid (lines NAME:FIRST:COUNT)."""
    highest = _FIRST_SUBID
    for line in "\n".join(files).splitlines():
        fields = line.split(":")
        if len(fields) == 3 and fields[1].isdigit() and fields[2].isdigit():
            highest = max(highest, int(fields[1]) + int(fields[2]))
    return highest


def _has_entry(path: Path) -> bool:
    owners = (f"{_user_name()}:", f"{os.geteuid()}:")
    try:
        return any(line.startswith(owners) for line in path.read_text().splitlines())
    except OSError:
        return False


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _add_subids_command() -> str:
    """Return the command that gives this user unused ids."""
    first = free_subids(*(path.read_text() for path in (SUBUID, SUBGID) if path.exists()))
    ids = f"{first}-{first + SUBIDS - 1}"
    return f"usermod --add-subuids {ids} --add-subgids {ids} {_user_name()}"
