"""A guest image that was built, where it is kept, and how it is found again.

Looking only: building lives in `build`, what an image is made of in `recipe`. Nothing here writes.
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
"""What the image's kernel must be told: its root is the first NVMe disk, whole, and there is no initial RAM disk."""


@dataclass(frozen=True)
class Manifest:
    """What an image is. `architecture` as EC2 names it; `python` as "3.13"; `size` is what root and kernel take on disk, in
    bytes; `lengths` are their apparent sizes, in bytes; `made_at` is UTC, ISO 8601; `built_s` are seconds."""

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
        """The manifest as it stands on disk."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def read(cls, text: str) -> "Manifest":
        """The manifest that `text` says. Raises ValueError where it says none."""
        said: Any = json.loads(text)
        try:
            return cls(
                digest=str(said["digest"]),
                suite=str(said["suite"]),
                architecture=str(said["architecture"]),
                python=str(said["python"]),
                kernel=str(said["kernel"]),
                packages={str(name): str(version) for name, version in said["packages"].items()},
                size=int(said["size"]),
                lengths={str(name): int(length) for name, length in said["lengths"].items()},
                made_at=str(said["made_at"]),
                built_s=float(said["built_s"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a manifest: {error!r}") from error


@dataclass(frozen=True)
class GuestImage:
    """A whole image. `root` is a raw ext4 file system, never to be written to: guests put their own layer over it."""

    directory: Path
    root: Path
    kernel: Path
    manifest: Manifest


def cache_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Where images are kept: `LOCALCLOUD_CACHE`, else `localcloud/images` under the user's cache directory."""
    own = environment.get("LOCALCLOUD_CACHE")
    if own:
        return Path(own).absolute()
    base = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME") or "~").expanduser() / ".cache")
    return Path(base).absolute() / "localcloud" / "images"


def find(cache: Path) -> GuestImage | None:
    """The newest whole image of this version's recipe, or None when there is none. Takes milliseconds."""
    return next((found for one in reversed(_built(cache)) if (found := read(one)) is not None), None)


def free_directory(cache: Path) -> Path:
    """Where a new image goes: never where one was, for a guest that was stopped may still stand on that one."""
    built = _built(cache)
    return cache / (f"{recipe.digest()}.{_turn(built[-1]) + 1}" if built else recipe.digest())


def _built(cache: Path) -> list[Path]:
    """The directories of this recipe's images, oldest first: DIGEST, DIGEST.2, DIGEST.3, ..."""
    digest = recipe.digest()
    return sorted((one for one in cache.glob(f"{digest}*") if one.name == digest or _turn(one) > 1), key=_turn)


def _turn(directory: Path) -> int:
    _, _, number = directory.name.partition(".")
    return int(number) if number.isdecimal() else 1


def read(directory: Path) -> GuestImage | None:
    """The image in a directory, or None when a part is missing or not of the length that the manifest says."""
    root, kernel = directory / ROOT, directory / KERNEL
    try:
        manifest = Manifest.read((directory / MANIFEST).read_text(encoding="utf-8"))
        lengths = {part.name: part.stat().st_size for part in (root, kernel)}
    except (OSError, ValueError):
        return None
    if manifest.digest != directory.name.partition(".")[0] or lengths != manifest.lengths:
        return None
    return GuestImage(directory, root, kernel, manifest)
