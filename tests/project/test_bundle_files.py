"""Which files travel, in which bytes, and what is refused. No package index is asked here."""

from __future__ import annotations

import os
import stat
import subprocess
import zipfile
from pathlib import Path

import pytest

from dayfly.errors import FileError
from dayfly.project.bundle import build, files

TARGET = build.Target(machine="x86_64", python="3.11", glibc="2.36")


def git(where: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *identity, *words], cwd=where, check=True, capture_output=True)


def fill(where: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_text(text)
    return where


def names(built: build.Built) -> list[str]:
    with zipfile.ZipFile(built.path) as archive:
        return archive.namelist()


def pack(where: Path, out: Path, *paths: str, limit: int = build.LIMIT_BYTES) -> build.Built:
    built = build.build_job_bundle(where, paths or (".",), "none", TARGET, out, limit, job="pi")
    assert built is not None
    return built


def test_the_same_files_give_the_same_bytes_whatever_their_times_and_order(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", ".venv/python"])
def test_a_link_that_leads_out_is_refused_by_name(tmp_path: Path, target: str) -> None:
    home = fill(tmp_path / "home", {"a.py": "", ".venv/x": ""})
    fill(tmp_path, {"secret": "s"})
    (home / ".venv" / "python").symlink_to("/usr/bin/python3")
    (home / "way").symlink_to(target)
    with pytest.raises(FileError, match=f"jobs.pi.bundle.*way -> {target}"):
        pack(home, tmp_path / "out")


def test_what_never_travels_stays_here_even_when_tracked(tmp_path: Path) -> None:
    files = {".dayfly/state": "", ".venv/a": "", "a/__pycache__/m.pyc": "", "a/m.py": "", "a/.venv/b": ""}
    home = fill(tmp_path / "home", files)
    assert names(pack(home, tmp_path / "out")) == ["a/m.py"]
    git(home, "init", "-q")
    git(home, "add", "-Af")
    assert names(pack(home, tmp_path / "out")) == ["a/m.py"]


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


def test_without_git_the_ignore_rules_say_what_git_says(tmp_path: Path) -> None:
    plain = fill(tmp_path / "plain", RULES)
    known = fill(tmp_path / "known", RULES)
    git(known, "init", "-q")
    assert set(files.listing(known)) == set(RULES) - STAY
    assert set(files.listing(plain)) == set(RULES) - STAY


def test_without_git_the_rules_of_the_repository_above_hold_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = fill(tmp_path / "top", {".gitignore": "*.log\n/jobs/pi/out\n", "jobs/pi/a.py": "", "jobs/pi/b.log": ""})
    fill(top, {"jobs/pi/out/x": "", "jobs/pi/secret": "", "jobs/pi/.gitignore": "!b.log\n"})
    git(top, "init", "-q")
    fill(top, {".git/info/exclude": "secret\n"})
    with_git = set(files.listing(top / "jobs" / "pi"))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert set(files.listing(top / "jobs" / "pi")) == with_git == {"a.py", "b.log", ".gitignore"}


def test_a_tracked_file_travels_although_ignored_and_a_deleted_one_does_not(tmp_path: Path) -> None:
    home = fill(tmp_path / "home", {".gitignore": "*.bin\n", "kept.bin": "k", "gone.py": "", "new.bin": ""})
    git(home, "init", "-q")
    git(home, "add", "-f", "kept.bin", "gone.py", ".gitignore")
    (home / "gone.py").unlink()
    assert names(pack(home, tmp_path / "out")) == [".gitignore", "kept.bin"]


def test_a_folder_that_its_repository_ignores_travels_by_its_own_rules(tmp_path: Path) -> None:
    top = fill(
        tmp_path / "top", {".gitignore": "demo/\n", "demo/a.py": "", "demo/b.log": "", "demo/.gitignore": "*.log"}
    )
    git(top, "init", "-q")
    git(top, "add", ".gitignore")
    git(top, "commit", "-qm", "one")
    built = pack(top / "demo", tmp_path / "out")
    assert names(built) == [".gitignore", "a.py"]
    assert built.commit is None


def test_a_repository_inside_the_folder_travels_by_its_own_rules(tmp_path: Path) -> None:
    home = fill(tmp_path / "home", {"a.py": "", "lib/b.py": "", "lib/c.log": "", "lib/.gitignore": "*.log\n"})
    git(home, "init", "-q")
    git(home / "lib", "init", "-q")
    assert names(pack(home, tmp_path / "out")) == ["a.py", "lib/.gitignore", "lib/b.py"]


def test_the_commit_is_told_and_whether_the_folder_differs_from_it(tmp_path: Path) -> None:
    home = fill(tmp_path / "home", {"a.py": "", ".gitignore": "*.log\n"})
    assert pack(home, tmp_path / "out").commit is None
    git(home, "init", "-q")
    assert pack(home, tmp_path / "out").commit is None
    git(home, "add", ".")
    git(home, "commit", "-qm", "one")
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=home, check=True, capture_output=True, text=True
    ).stdout.strip()
    fill(home, {"ignored.log": ""})
    clean = pack(home, tmp_path / "out")
    assert (clean.commit, clean.dirty) == (head, False)
    fill(home, {"untracked.py": ""})
    assert pack(home, tmp_path / "out").dirty


@pytest.mark.parametrize("name", [b"caf\xe9.txt", b"a\\b.txt"])
def test_a_name_that_no_archive_carries_safely_is_refused(tmp_path: Path, name: bytes) -> None:
    home = fill(tmp_path / "home", {"a.py": ""})
    Path(os.fsdecode(os.fsencode(home) + b"/" + name)).write_text("")
    with pytest.raises(FileError, match=r"jobs\.pi\.bundle: 1 file name"):
        pack(home, tmp_path / "out")


def test_only_the_paths_named_travel(tmp_path: Path) -> None:
    home = fill(tmp_path / "home", {"train/a.py": "", "train2/b.py": "", "pyproject.toml": "", "c.py": ""})
    assert names(pack(home, tmp_path / "out", "train/", "./c.py")) == ["c.py", "train/a.py"]
    assert build.build_job_bundle(home, (), "auto", TARGET, tmp_path / "out") is None


@pytest.mark.parametrize(
    ("path", "words"),
    [("../other", "not inside"), ("/etc", "not inside"), ("nowhere", "there is no"), ("data", "nothing would travel")],
)
def test_a_path_that_can_not_travel_is_refused(tmp_path: Path, path: str, words: str) -> None:
    home = fill(tmp_path / "home", {".gitignore": "data/\n", "data/x": "", "a.py": ""})
    with pytest.raises(FileError, match=f"jobs.pi.bundle.*{words}") as refused:
        pack(home, tmp_path / "out", "a.py", path)
    assert refused.value.exit_code == 2
    assert any(label == "do" for label, _ in refused.value.lines)


def test_over_the_limit_the_largest_are_named_and_nothing_is_left(tmp_path: Path) -> None:
    home = fill(tmp_path / "home", {"a.py": "a", "notebooks/n.ipynb": "n" * 3000})
    (home / "data").mkdir()
    (home / "data" / "history.parquet").write_bytes(os.urandom(90_000))
    (home / "models").mkdir()
    for number in range(4):
        (home / "models" / f"{number}.bin").write_bytes(os.urandom(10_000))
    with pytest.raises(FileError) as refused:
        pack(home, tmp_path / "out", limit=50_000)
    error = refused.value
    assert "jobs.pi.bundle is 133 kB of files" in error.message
    assert "limit of 50 kB" in error.message
    told = dict(error.lines)
    assert told["largest"] == "data/history.parquet 90 kB | models/ 40 kB, 4 files | notebooks/n.ipynb 3 kB"
    assert "data/history.parquet and models/" in told["do"]
    assert list((tmp_path / "out").iterdir()) == []


def test_the_limit_is_of_what_is_packed(tmp_path: Path) -> None:
    home = fill(tmp_path / "home", {"zeros": "0" * 2_000_000})
    assert pack(home, tmp_path / "out", limit=50_000).size < 50_000
