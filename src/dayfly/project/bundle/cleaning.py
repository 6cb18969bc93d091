"""Remove traces of this machine from a folder of installed packages, so that the same wheels give the same bytes.

This module knows the layout of installed wheels (dist-info, RECORD, scripts). It installs nothing.
"""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

_INSTALLER_FILES = frozenset({"INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"})
"""Files in dist-info that the installer writes about itself."""
_UV_FILES = (".lock", ".gitignore", "CACHEDIR.TAG")
"""Files that uv writes beside the packages."""
_SHEBANG = b"#!/usr/bin/env python3\n"


def clean(site: Path, scripts: Path) -> list[str]:
    """Clean `site`, move its scripts to the new folder `scripts`, and return the names of the installed wheels."""
    site.mkdir(exist_ok=True)
    scripts.mkdir()
    _remove_installer_files(site)
    _move_scripts(site / "bin", scripts)
    names = []
    for info in sorted(site.glob("*.dist-info")):
        names.append(_wheel_name(info))
        _shorten_record(info, site)
    return names


def _remove_installer_files(site: Path) -> None:
    for path in sorted(site.rglob("*"), reverse=True):
        if path.name == "__pycache__" and path.is_dir():
            shutil.rmtree(path)
        elif path.name in _INSTALLER_FILES and path.parent.name.endswith(".dist-info"):
            path.unlink()
    for name in _UV_FILES:
        (site / name).unlink(missing_ok=True)


def _move_scripts(source: Path, scripts: Path) -> None:
    if not source.is_dir():
        return
    for script in sorted(source.iterdir()):
        moved = scripts / script.name
        moved.write_bytes(_portable(script.read_bytes()))
        moved.chmod(0o755)
    shutil.rmtree(source)


def _portable(script: bytes) -> bytes:
    """Return a script whose first line names any Python instead of this machine's. Other programs stay as they are."""
    first, _, rest = script.partition(b"\n")
    if first == b"#!/bin/sh" and rest.startswith(b"'''exec'"):  # how installers write a long path of an interpreter
        return _SHEBANG + rest.split(b"\n", 2)[2]
    if first.startswith(b"#!") and b"python" in first:
        return _SHEBANG + rest
    return script


def _shorten_record(info: Path, site: Path) -> None:
    """Leave only files in RECORD that still exist: the hashes of scripts depend on this machine's paths."""
    record = info / "RECORD"
    if not record.is_file():
        return
    rows = csv.reader(io.StringIO(record.read_text(encoding="utf-8")))
    kept = sorted(row for row in rows if row and (site / row[0]).is_file())
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(kept)
    record.write_text(out.getvalue(), encoding="utf-8")


def _wheel_name(info: Path) -> str:
    """Return name, version and compressed tags: `python_flint-0.9.0-cp313-cp313-manylinux_2_28_aarch64`."""
    name = info.name.removesuffix(".dist-info")
    tags = _tags(info / "WHEEL")
    if not tags:
        return f"{name}-unknown"
    compressed = [".".join(dict.fromkeys(values)) for values in zip(*tags, strict=True)]
    return "-".join([name, *compressed])


def _tags(file: Path) -> list[list[str]]:
    """Return Python, ABI and platform of each tag in a WHEEL file."""
    if not file.is_file():
        return []
    lines = file.read_text(encoding="utf-8").splitlines()
    return [line.partition(":")[2].strip().split("-") for line in lines if line.startswith("Tag:")]
