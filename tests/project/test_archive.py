"""A zip depends on names, modes and contents alone."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

from project.sample_folders import fill, names, pack


def test_same_files_give_same_bytes(tmp_path: Path) -> None:
    files = {"b.py": "b", "a/x.py": "x", "é.txt": "e"}
    one, two = fill(tmp_path / "one", files), fill(tmp_path / "two", dict(reversed(files.items())))
    os.utime(one / "b.py", (1, 1))
    (one / "b.py").chmod(0o600)
    (two / "b.py").chmod(0o664)
    first, second = pack(one, tmp_path / "out"), pack(two, tmp_path / "other")
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.path.name == f"{first.sha256}.zip"
    assert (first.size, first.files) == (first.path.stat().st_size, 3)
    assert names(first) == ["a/x.py", "b.py", "é.txt"]
    (two / "b.py").write_text("c")
    assert pack(two, tmp_path / "other").sha256 != first.sha256


def test_modes_are_755_or_644_and_links_stay_links(tmp_path: Path) -> None:
    home = fill(tmp_path / "home", {"run.sh": "#!/bin/sh\n", "data/x": "x"})
    (home / "run.sh").chmod(0o711)
    (home / "link").symlink_to("data/x")
    (home / "data" / "up").symlink_to("../run.sh")
    with zipfile.ZipFile(pack(home, tmp_path / "out").path) as archive:
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
        assert archive.read("link") == b"data/x"
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert modes["run.sh"] == stat.S_IFREG | 0o755
    assert modes["data/x"] == stat.S_IFREG | 0o644
    assert stat.S_ISLNK(modes["link"])
    assert stat.S_ISLNK(modes["data/up"])
