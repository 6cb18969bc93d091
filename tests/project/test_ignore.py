"""The rules of .gitignore files, read without git, give the same files as git."""

from __future__ import annotations

from pathlib import Path

import pytest

from dayfly.project.bundle.files import list_files
from project.sample_folders import fill, git

RULES = {
    ".gitignore": "*.log\n/build/\ndata/*\n!data/keep.txt\ndeep/**/tmp\n# a comment\n\\#odd\ntrail/ \n",
    "sub/.gitignore": "!important.log\nlocal.txt\n",
    "a.log": "",
    "build/x": "",
    "sub/build/x": "",
    "data/big.bin": "",
    "data/keep.txt": "",
    "deep/1/2/tmp/x": "",
    "deep/1/2/stay": "",
    "sub/important.log": "",
    "sub/other.log": "",
    "sub/local.txt": "",
    "local.txt": "",
    "#odd": "",
    "trail/x": "",
    "excluded.txt": "",
}
STAY = {"a.log", "build/x", "data/big.bin", "deep/1/2/tmp/x", "sub/other.log", "sub/local.txt", "#odd", "trail/x"}


def test_ignore_rules_give_the_same_files_as_git(tmp_path: Path) -> None:
    plain = fill(tmp_path / "plain", RULES)
    known = fill(tmp_path / "known", RULES)
    git(known, "init", "-q")
    assert set(list_files(known)) == set(RULES) - STAY
    assert set(list_files(plain)) == set(RULES) - STAY


def test_rules_of_the_repository_above_apply_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = fill(tmp_path / "top", {".gitignore": "*.log\n/jobs/pi/out\n", "jobs/pi/a.py": "", "jobs/pi/b.log": ""})
    fill(top, {"jobs/pi/out/x": "", "jobs/pi/secret": "", "jobs/pi/.gitignore": "!b.log\n"})
    git(top, "init", "-q")
    fill(top, {".git/info/exclude": "secret\n"})
    with_git = set(list_files(top / "jobs" / "pi"))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert set(list_files(top / "jobs" / "pi")) == with_git == {"a.py", "b.log", ".gitignore"}
