"""Which files are included in a bundle, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dayfly.errors import FileError
from project.sample_folders import fill, git, names, pack


def test_only_the_listed_paths_are_included(tmp_path: Path) -> None:
    home = fill(tmp_path / "home", {"train/a.py": "", "train2/b.py": "", "pyproject.toml": "", "c.py": ""})
    assert names(pack(home, tmp_path / "out", "train/", "./c.py")) == ["c.py", "train/a.py"]


@pytest.mark.parametrize(
    ("path", "words"),
    [("../other", "is outside"), ("/etc", "is outside"), ("nowhere", "there is no"), ("data", "no file to include")],
)
def test_path_that_cannot_be_included_is_refused(tmp_path: Path, path: str, words: str) -> None:
    home = fill(tmp_path / "home", {".gitignore": "data/\n", "data/x": "", "a.py": ""})
    with pytest.raises(FileError, match=f"jobs.pi.bundle.*{words}") as refused:
        pack(home, tmp_path / "out", "a.py", path)
    assert refused.value.exit_code == 2
    assert any(label == "do" for label, _ in refused.value.lines)


def test_excluded_names_are_left_out_even_if_tracked(tmp_path: Path) -> None:
    files = {".dayfly/state": "", ".venv/a": "", "a/__pycache__/m.pyc": "", "a/m.py": "", "a/.venv/b": ""}
    home = fill(tmp_path / "home", files)
    assert names(pack(home, tmp_path / "out")) == ["a/m.py"]
    git(home, "init", "-q")
    git(home, "add", "-Af")
    assert names(pack(home, tmp_path / "out")) == ["a/m.py"]


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", ".venv/python"])
def test_link_that_leads_out_is_refused_by_name(tmp_path: Path, target: str) -> None:
    home = fill(tmp_path / "home", {"a.py": "", ".venv/x": ""})
    fill(tmp_path, {"secret": "s"})
    (home / ".venv" / "python").symlink_to("/usr/bin/python3")
    (home / "way").symlink_to(target)
    with pytest.raises(FileError, match=f"jobs.pi.bundle.*way -> {target}"):
        pack(home, tmp_path / "out")


@pytest.mark.parametrize("name", [b"caf\xe9.txt", b"a\\b.txt"])
def test_unsafe_file_name_is_refused(tmp_path: Path, name: bytes) -> None:
    home = fill(tmp_path / "home", {"a.py": ""})
    Path(os.fsdecode(os.fsencode(home) + b"/" + name)).write_text("")
    with pytest.raises(FileError, match=r"jobs\.pi\.bundle: 1 file name"):
        pack(home, tmp_path / "out")
