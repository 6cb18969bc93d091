"""The limit of a bundle, and a job without files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dayfly.errors import FileError
from dayfly.project.bundle.job_bundle import build_job_bundle
from project.sample_folders import OLD_X86, fill, pack


def test_bundle_over_the_limit_names_its_largest_parts(tmp_path: Path) -> None:
    home = fill(tmp_path / "home", {"a.py": "a", "notebooks/n.ipynb": "n" * 3000})
    (home / "data").mkdir()
    (home / "data" / "history.parquet").write_bytes(os.urandom(90_000))
    (home / "models").mkdir()
    for number in range(4):
        (home / "models" / f"{number}.bin").write_bytes(os.urandom(10_000))
    with pytest.raises(FileError) as refused:
        pack(home, tmp_path / "out", limit=50_000)
    error = refused.value
    assert "jobs.pi.bundle has 133 kB of files" in error.message
    assert "limit of 50 kB" in error.message
    lines = dict(error.lines)
    assert lines["largest"] == "data/history.parquet 90 kB | models/ 40 kB, 4 files | notebooks/n.ipynb 3 kB"
    assert "data/history.parquet and models/" in lines["do"]
    assert list((tmp_path / "out").iterdir()) == []


def test_limit_applies_to_the_packed_size(tmp_path: Path) -> None:
    home = fill(tmp_path / "home", {"zeros": "0" * 2_000_000})
    assert pack(home, tmp_path / "out", limit=50_000).size < 50_000


def test_job_without_files_has_no_bundle(tmp_path: Path) -> None:
    home = fill(tmp_path / "home", {"requirements.txt": "words"})
    assert build_job_bundle(home, (), "auto", OLD_X86, tmp_path / "out") is None
