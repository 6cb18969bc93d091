"""Files and revision of a folder as git knows them."""

from __future__ import annotations

from pathlib import Path

from project.sample_folders import fill, git, names, pack


def test_ignored_file_is_included_if_tracked_and_exists(tmp_path: Path) -> None:
    home = fill(tmp_path / "home", {".gitignore": "*.bin\n", "kept.bin": "k", "gone.py": "", "new.bin": ""})
    git(home, "init", "-q")
    git(home, "add", "-f", "kept.bin", "gone.py", ".gitignore")
    (home / "gone.py").unlink()
    assert names(pack(home, tmp_path / "out")) == [".gitignore", "kept.bin"]


def test_ignored_folder_follows_its_own_rules(tmp_path: Path) -> None:
    top = fill(
        tmp_path / "top", {".gitignore": "demo/\n", "demo/a.py": "", "demo/b.log": "", "demo/.gitignore": "*.log"}
    )
    git(top, "init", "-q")
    git(top, "add", ".gitignore")
    git(top, "commit", "-qm", "one")
    built = pack(top / "demo", tmp_path / "out")
    assert names(built) == [".gitignore", "a.py"]
    assert built.commit is None


def test_inner_repository_follows_its_own_rules(tmp_path: Path) -> None:
    home = fill(tmp_path / "home", {"a.py": "", "lib/b.py": "", "lib/c.log": "", "lib/.gitignore": "*.log\n"})
    git(home, "init", "-q")
    git(home / "lib", "init", "-q")
    assert names(pack(home, tmp_path / "out")) == ["a.py", "lib/.gitignore", "lib/b.py"]


def test_bundle_names_its_commit_and_whether_it_differs(tmp_path: Path) -> None:
    home = fill(tmp_path / "home", {"a.py": "", ".gitignore": "*.log\n"})
    assert pack(home, tmp_path / "out").commit is None
    git(home, "init", "-q")
    assert pack(home, tmp_path / "out").commit is None
    git(home, "add", ".")
    git(home, "commit", "-qm", "one")
    head = git(home, "rev-parse", "HEAD").strip()
    fill(home, {"ignored.log": ""})
    clean = pack(home, tmp_path / "out")
    assert (clean.commit, clean.dirty) == (head, False)
    fill(home, {"untracked.py": ""})
    assert pack(home, tmp_path / "out").dirty
