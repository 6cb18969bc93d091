"""Lines of requirements files, and the user's own projects among them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dayfly.errors import FileError
from dayfly.project.bundle.requirements import read_requirements
from project.sample_folders import fill

PROJECT = {"libs/pyproject.toml": '[project]\nname = "libs"\n'}


def lines(folder: Path, text: str) -> list[str]:
    fill(folder, {"requirements.txt": text})
    return read_requirements(folder / "requirements.txt", "python").lines


def test_comments_and_empty_lines_are_left_out(tmp_path: Path) -> None:
    assert lines(tmp_path, "# a\n\nwords  # b\nurl#egg=c\n") == ["words", "url#egg=c"]


def test_continued_lines_are_joined(tmp_path: Path) -> None:
    [line] = lines(tmp_path, "words==1 \\\n    --hash=sha256:aa\n")
    assert line.split() == ["words==1", "--hash=sha256:aa"]


def test_included_file_is_read_relative_to_its_includer(tmp_path: Path) -> None:
    fill(tmp_path, {"more/a.txt": "-r b.txt\nlast\n", "more/b.txt": "first\n"})
    assert lines(tmp_path, "-r more/a.txt\n") == ["first", "last"]


@pytest.mark.parametrize("option", ["-f", "--find-links", "-c", "--constraint"])
def test_relative_path_of_an_option_becomes_absolute(tmp_path: Path, option: str) -> None:
    assert lines(tmp_path, f"{option} ./wheels\n") == [f"{option} {tmp_path}/wheels"]
    assert lines(tmp_path, f"{option} https://host/wheels\n") == [f"{option} https://host/wheels"]


def test_relative_path_of_a_wheel_becomes_absolute(tmp_path: Path) -> None:
    assert lines(tmp_path, "./words.whl\n") == [f"{tmp_path}/words.whl"]


@pytest.mark.parametrize("line", ["-e ./libs", "--editable=libs", "./libs[a, b]", './libs ; python_version > "3"'])
def test_folder_of_a_project_is_separated(tmp_path: Path, line: str) -> None:
    fill(tmp_path, {**PROJECT, "requirements.txt": f"words\n{line}\n"})
    required = read_requirements(tmp_path / "requirements.txt", "python")
    assert required == (["words"], [(tmp_path / "libs").resolve()])


def test_name_that_is_also_a_folder_is_a_package(tmp_path: Path) -> None:
    fill(tmp_path, PROJECT)
    assert lines(tmp_path, "libs\n") == ["libs"]


def test_missing_included_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"python: more\.txt cannot be read"):
        lines(tmp_path, "-r more.txt\n")
