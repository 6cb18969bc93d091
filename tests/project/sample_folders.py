"""Folders of user files for tests of bundles: fill one, put it under git, bundle it without packages."""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

from dayfly.project.bundle.archive import Zip
from dayfly.project.bundle.job_bundle import LIMIT_BYTES, Bundle, build_job_bundle
from dayfly.project.bundle.target import Target

OLD_X86 = Target(machine="x86_64", python="3.11", glibc="2.36")


def fill(folder: Path, files: Mapping[str, str]) -> Path:
    """Write files with these texts, by path, and return the folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def git(folder: Path, *arguments: str) -> str:
    """Run git in the folder and return its stdout."""
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def pack(folder: Path, out: Path, *paths: str, limit: int = LIMIT_BYTES) -> Bundle:
    """Build the bundle of a job `pi` that needs no packages."""
    built = build_job_bundle(folder, paths or (".",), "none", OLD_X86, out, limit, job="pi")
    assert built is not None
    return built


def names(built: Zip) -> list[str]:
    """Return the names in a zip."""
    with zipfile.ZipFile(built.path) as archive:
        return archive.namelist()
