"""Fake programs and a fake guest image, for tests that start no guest."""

import platform
from pathlib import Path

import pytest

from localcloud.guests.vm import image, recipe

X86 = platform.system() == "Linux" and platform.machine() == "x86_64"
QEMU = "qemu-system-x86_64"
PRINTS_FIRST_LINE = "echo 'Linux version 6.12'; exec sleep 60"
needs_x86 = pytest.mark.skipif(not X86, reason="VM guests need Linux on x86_64")


def program(folder: Path, name: str, text: str) -> None:
    """Write an executable shell script."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def put_image(directory: Path, made_at: str = "2026-11-24T00:00:00+00:00") -> Path:
    """Write an image that is complete, small and not bootable; return its directory."""
    directory.mkdir(parents=True)
    (directory / image.ROOT).write_bytes(b"root")
    (directory / image.KERNEL).write_bytes(b"kernel")
    manifest = image.Manifest(
        digest=recipe.digest(),
        suite="trixie",
        architecture="x86_64",
        python="3.13",
        kernel="6.12.1",
        packages={"cloud-init": "25.1"},
        size=8192,
        lengths={image.ROOT: 4, image.KERNEL: 6},
        made_at=made_at,
        built_s=60.0,
    )
    (directory / image.MANIFEST).write_text(manifest.text())
    return directory
