"""Which projects are built to a wheel, and which declare dependencies."""

from __future__ import annotations

from pathlib import Path

import pytest

from dayfly.errors import FileError
from dayfly.project.bundle.pyproject import declares_dependencies, is_package, project_name, read_pyproject
from project.sample_folders import fill

PROJECT = '[project]\nname = "greet"\n'
BUILD_SYSTEM = "[build-system]\nrequires = []\n"


@pytest.mark.parametrize(
    ("text", "built"),
    [
        ("", False),
        (PROJECT, False),
        (BUILD_SYSTEM, False),
        (PROJECT + BUILD_SYSTEM, True),
        (PROJECT + '[project.scripts]\na = "b:c"\n', True),
        (PROJECT + BUILD_SYSTEM + "[tool.uv]\npackage = false\n", False),
        (PROJECT + "[tool.uv]\npackage = true\n", True),
    ],
)
def test_package_has_a_build_system_scripts_or_asks_for_it(tmp_path: Path, text: str, built: bool) -> None:
    assert is_package(fill(tmp_path, {"pyproject.toml": text})) == built


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        (PROJECT, False),
        (PROJECT + "dependencies = []\n", False),
        (PROJECT + 'dependencies = ["words"]\n', True),
        (PROJECT + 'dynamic = ["dependencies"]\n', True),
    ],
)
def test_dependencies_are_listed_or_dynamic(tmp_path: Path, text: str, declared: bool) -> None:
    assert declares_dependencies(fill(tmp_path, {"pyproject.toml": text})) == declared


def test_project_without_a_name_has_that_of_its_folder(tmp_path: Path) -> None:
    assert project_name(fill(tmp_path / "pi", {"pyproject.toml": ""})) == "pi"
    assert project_name(fill(tmp_path / "pi", {"pyproject.toml": PROJECT})) == "greet"


def test_invalid_pyproject_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"pyproject\.toml in .* cannot be read"):
        read_pyproject(fill(tmp_path, {"pyproject.toml": "x ="}))
