"""Finds built guest images in the cache and reads their manifests.

Nothing here writes: building lives in build.py, the content of an image in recipe.py.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from localcloud.guests.vm import recipe

ROOT, KERNEL, MANIFEST = "root.ext4", "vmlinuz", "manifest.json"

KERNEL_ARGUMENTS = "root=/dev/nvme0n1 rw rootfstype=ext4 console=ttyS0 quiet mitigations=off"
"""The command line that the image's kernel needs: the root is the first NVMe disk, and there is no initial RAM disk."""


@dataclass(frozen=True)
class Manifest:
    """Facts about an image.

    `architecture` by EC2's name; `python` as "3.13"; `size` is what root and kernel take on disk, `lengths` are their
    apparent sizes, all in bytes; `made_at` is ISO 8601 in UTC; `built_s` are seconds.
    """

    digest: str
    suite: str
    architecture: str
    python: str
    kernel: str
    packages: Mapping[str, str]
    size: int
    lengths: Mapping[str, int]
    made_at: str
    built_s: float

    def text(self) -> str:
        """Return the text of the manifest's file."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def read(cls, text: str) -> "Manifest":
        """Parse the text of a manifest's file. Raises ValueError."""
        values: Any = json.loads(text)
        try:
            return cls(
                digest=str(values["digest"]),
                suite=str(values["suite"]),
                architecture=str(values["architecture"]),
                python=str(values["python"]),
                kernel=str(values["kernel"]),
                packages={str(name): str(version) for name, version in values["packages"].items()},
                size=int(values["size"]),
                lengths={str(name): int(length) for name, length in values["lengths"].items()},
                made_at=str(values["made_at"]),
                built_s=float(values["built_s"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a manifest: {error!r}") from error


@dataclass(frozen=True)
class GuestImage:
    """A complete image. `root` is a raw ext4 file system, never written to: each guest has its own layer over it."""

    directory: Path
    root: Path
    kernel: Path
    manifest: Manifest


def cache_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where images are kept: `LOCALCLOUD_CACHE`, or `localcloud/images` in the user's cache directory."""
    chosen = environment.get("LOCALCLOUD_CACHE")
    if chosen:
        return Path(chosen).absolute()
    user_cache = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME") or "~").expanduser() / ".cache")
    return Path(user_cache).absolute() / "localcloud" / "images"


def find(cache: Path) -> GuestImage | None:
    """Return the newest complete image of this version's recipe, or None. Takes milliseconds."""
    for directory in reversed(_built(cache)):
        found = read(directory)
        if found is not None:
            return found
    return None


def free_directory(cache: Path) -> Path:
    """Return an unused directory for a new image. No name is used twice, because a stopped guest may still use the old image."""
    built = _built(cache)
    if not built:
        return cache / recipe.digest()
    return cache / f"{recipe.digest()}.{_number(built[-1]) + 1}"


def read(directory: Path) -> GuestImage | None:
    """Return the image in a directory, or None if a part is missing or has another length than its manifest has."""
    root, kernel = directory / ROOT, directory / KERNEL
    try:
        manifest = Manifest.read((directory / MANIFEST).read_text(encoding="utf-8"))
        lengths = {part.name: part.stat().st_size for part in (root, kernel)}
    except (OSError, ValueError):
        return None
    if manifest.digest != directory.name.partition(".")[0] or lengths != manifest.lengths:
        return None
    return GuestImage(directory, root, kernel, manifest)


def _built(cache: Path) -> list[Path]:
    """Return the directories of this recipe's images, oldest first: DIGEST, DIGEST.2, DIGEST.3, ..."""
    digest = recipe.digest()
    found = [path for path in cache.glob(f"{digest}*") if path.name == digest or _number(path) > 1]
    return sorted(found, key=_number)


def _number(directory: Path) -> int:
    number = directory.name.partition(".")[2]
    if number.isdecimal():
        return int(number)
    return 1
