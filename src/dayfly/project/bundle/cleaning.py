"""Takes this machine's traces out of a folder of installed packages, so that the same wheels give the same bytes.

Knows the layout of installed wheels (dist-info, RECORD, scripts); runs nothing, resolves nothing.
"""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

_NOISE = frozenset({"INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"})
_SHEBANG = b"#!/usr/bin/env python3\n"


def clean(site: Path, scripts: Path) -> list[str]:
    """Clean `site`, move its scripts to the new folder `scripts`; both exist afterwards. The names of the wheels in it."""
    site.mkdir(exist_ok=True)
    scripts.mkdir()
    for path in sorted(site.rglob("*"), reverse=True):
        if path.name == "__pycache__" and path.is_dir():
            shutil.rmtree(path)
        elif path.name in _NOISE and path.parent.name.endswith(".dist-info"):
            path.unlink()
    for name in (".lock", ".gitignore", "CACHEDIR.TAG"):  # uv's own, beside the packages
        (site / name).unlink(missing_ok=True)
    if (site / "bin").is_dir():
        for script in sorted((site / "bin").iterdir()):
            _take_script(script, scripts / script.name)
        shutil.rmtree(site / "bin")
    wheels = []
    for info in sorted(site.glob("*.dist-info")):
        wheels.append(_wheel_name(info))
        _mend_record(info, site)
    return wheels


def _take_script(script: Path, place: Path) -> None:
    """A script without this machine's interpreter in its first line; a compiled one as it is."""
    content = script.read_bytes()
    first, _, rest = content.partition(b"\n")
    if first == b"#!/bin/sh" and rest.startswith(b"'''exec'"):  # how the long path of an interpreter is written
        content = _SHEBANG + rest.split(b"\n", 2)[2]
    elif first.startswith(b"#!") and b"python" in first:
        content = _SHEBANG + rest
    place.write_bytes(content)
    place.chmod(0o755)


def _mend_record(info: Path, site: Path) -> None:
    """Leave in RECORD only what is still there: hashes of scripts hold this machine's paths."""
    record = info / "RECORD"
    if not record.is_file():
        return
    rows = [row for row in csv.reader(io.StringIO(record.read_text(encoding="utf-8"))) if row]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(sorted(row for row in rows if (site / row[0]).is_file()))
    record.write_text(out.getvalue(), encoding="utf-8")


def _wheel_name(info: Path) -> str:
    """`python_flint-0.9.0-cp313-cp313-manylinux_2_28_aarch64`: name, version and compressed tags."""
    file = info / "WHEEL"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    tags = [line.split(":", 1)[1].strip().split("-") for line in text.splitlines() if line.startswith("Tag:")]
    parts = [".".join(dict.fromkeys(tag[place] for tag in tags)) for place in range(3)] if tags else ["unknown"]
    return "-".join([info.name.removesuffix(".dist-info"), *parts])
